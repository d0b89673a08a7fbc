"""Decoders as ONNX graphs, through the scheduler: the answers of transformers, whoever runs beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import transformers

from runtime.engine.messages import Delta, Failed, Finished, Generate
from runtime.engine.sampling import SamplingParams
from tests.converters.onnx.sources import Sources
from tests.runtime.onnx.writers import Writer, make_writer, texts_of, until_end

GREEDY = SamplingParams(temperature=0.0)
# Of different lengths; one is longer than the window of the tiny Gemma, two begin alike.
PROMPTS = [tuple(range(20, 60)), (9, 12, 40), (*range(20, 58), 7, 8, 9), (5,)]
LENGTH = 10


@pytest.fixture(scope="module", params=["llama", "gemma3", "gpt2", "bloom"])
def writer(request: pytest.FixtureRequest, sources: Sources) -> Iterator[Writer]:
    made = make_writer(sources, request.param)
    yield made
    made.loaded.close()


def reference(writer: Writer) -> list[str]:
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(writer.checkpoint)
    ends = list(writer.card.header.settings.tokens.eos)  # type: ignore[union-attr]
    texts = []
    for prompt in PROMPTS:
        out: Any = model.generate(
            input_ids=torch.tensor([prompt]), max_new_tokens=LENGTH, do_sample=False, eos_token_id=ends or None,
            pad_token_id=0,
        )  # fmt: skip
        tokens = until_end(out[0].tolist()[len(prompt) :], ends)
        texts.append(b"".join(map(writer.loaded.tokenizer.token_bytes, tokens)).decode("utf-8", "replace"))
    return texts


def test_answers_are_those_of_transformers_together_and_one_after_another(writer: Writer) -> None:
    wanted = reference(writer)
    requests = [Generate(f"r{at}", prompt, GREEDY, max_tokens=LENGTH) for at, prompt in enumerate(PROMPTS)]
    together = writer.run(requests)
    assert [texts_of(together[request.request_id])[0] for request in requests] == wanted
    writer.events.clear()
    for request in requests:
        writer.engine.generate(request)
        for _ in range(3):
            writer.engine.step()
    while writer.engine.has_work:
        writer.engine.step()
    assert [texts_of(writer.of(request.request_id))[0] for request in requests] == wanted


def test_guesses_change_no_answer(writer: Writer) -> None:
    from runtime.engine.engine import Engine

    prompt, events = (9, 12, 40, 9, 12, 40, 9, 12), list[Any]()
    (plain,) = texts_of(writer.run([Generate("r", prompt, GREEDY, max_tokens=24)])["r"])
    engine = Engine(writer.loaded.decoder, writer.loaded.tokenizer, max_waiting=4, max_draft=8, emit=events.append)
    engine.generate(Generate("r", prompt, GREEDY, max_tokens=24))
    while engine.has_work:
        engine.step()
    assert "".join(event.text for event in events if isinstance(event, Delta)) == plain
    assert isinstance(events[-1], Finished)


def test_beams_are_of_encoder_decoders_alone(sources: Sources) -> None:
    from runtime.engine.beam_search import Beams

    writer = make_writer(sources, "llama")
    (event,) = writer.run([Generate("r", (5, 6), GREEDY, beams=Beams(2))])["r"]
    assert isinstance(event, Failed)
    assert "num_beams" in str(event.error)
    writer.loaded.close()
