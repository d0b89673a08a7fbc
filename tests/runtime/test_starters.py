"""The two starter models, through the whole of the runtime: the same tokens as the reference, whole characters."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import regex
from llama_cpp import Llama

import demotic
from runtime.answer import Answer
from runtime.engine.messages import Delta
from runtime.errors import ContextOverflow
from runtime.model import Model

GREEDY = {"temperature": 0.0}
PROMPTS = {
    "smollm2": ["Once upon a time there was a", "def fibonacci(n):\n", "Le chat est", "Привет, меня зовут"],
    "gemma": [
        "The capital of France is",
        "Érase una vez",
        "Жили-были",
        "むかしむかし",
        "एक समय की बात है",
        "كان يا ما كان",
    ],
}


@pytest.mark.parametrize("name", ["smollm2", "gemma"])
def test_greedy_output_is_token_for_token_what_the_reference_class_gives(
    name: str, request: pytest.FixtureRequest
) -> None:
    model: Model = request.getfixturevalue(name)
    path: Path = request.getfixturevalue(f"{name}_path")
    reference = Llama(str(path), n_ctx=512, flash_attn=model.plan.flash_attention, verbose=False)
    try:
        for prompt in PROMPTS[name]:
            # Else it would reuse the first token of the prompt before, and batch the rest differently than we do.
            reference.reset()  # type: ignore[no-untyped-call]  # the package leaves it untyped
            tokens = reference.tokenize(prompt.encode(), add_bos=True, special=False)
            assert model.tokenize(prompt) == tokens
            expected = reference.create_completion(tokens, max_tokens=48, temperature=0, repeat_penalty=1.0)
            # With a seed there are no guesses, which change the shape of a batch.
            answer = model.complete(prompt, max_tokens=48, temperature=0, seed=0)
            assert answer.text == expected["choices"][0]["text"]  # type: ignore[index]  # not a stream
            assert answer.completion_tokens == expected["usage"]["completion_tokens"]  # type: ignore[index]  # not a stream
    finally:
        reference.close()


def test_the_chat_model_answers_a_question(smollm2: Model) -> None:
    answer = smollm2.chat("What is the capital of France? Answer in one sentence.", temperature=0, max_tokens=40)
    assert "Paris" in answer.text
    assert answer.finish_reason == "stop"
    assert answer.prompt_tokens > 10
    assert answer.tokens_per_second > 0
    assert answer.characters_per_second > 0


@pytest.mark.parametrize("prompt", PROMPTS["gemma"][1:])
def test_every_delta_of_a_continuation_holds_whole_characters(gemma: Model, prompt: str) -> None:
    events = gemma.events(gemma.card.completion_request(prompt, temperature=0, max_tokens=40))
    deltas = [event.text for event in events if isinstance(event, Delta)]
    text = "".join(deltas)
    assert len(text) > 20
    assert "\ufffd" not in text
    assert [cluster for delta in deltas for cluster in regex.findall(r"\X", delta)] == regex.findall(r"\X", text)


def test_the_python_api_loads_streams_and_tokenizes() -> None:
    with demotic.load("smollm2-135m-instruct", context_length=512) as model:
        whole = model.chat("Say hello.", temperature=0, max_tokens=12, seed=0).text
        assert "".join(model.stream("Say hello.", temperature=0, max_tokens=12, seed=0)) == whole
        messages = [demotic.Message("system", "Answer with one word."), demotic.Message("user", "Say hello.")]
        assert isinstance(model.chat(messages, max_tokens=4), demotic.Answer)
        assert model.tokenize("hello world") == model.tokenize("hello") + model.tokenize(" world")


def test_a_seed_makes_sampling_repeatable(smollm2: Model) -> None:
    def sample(seed: int) -> str:
        return smollm2.chat("Tell me a story.", temperature=1.0, max_tokens=24, seed=seed).text

    # The prompt is computed whole once; from then on it is kept, and each step has the same shape.
    sample(1)
    assert sample(1) == sample(1)
    assert sample(1) != sample(2)


def test_a_prompt_over_the_context_is_an_error_with_both_numbers(smollm2: Model) -> None:
    with pytest.raises(ContextOverflow) as refused:
        smollm2.complete("word " * 5000)
    assert refused.value.num_tokens > 5000
    assert refused.value.context_length == 2048


def test_control_tokens_in_plain_text_stay_text(smollm2: Model) -> None:
    assert len(smollm2.tokenize("<|im_start|>")) > 1


def test_the_beginning_of_sequence_token_is_never_doubled(gemma: Model) -> None:
    plain = gemma.card.completion_request("Hello", max_tokens=4, temperature=0)
    rendered = msgspec.structs.replace(plain, prompt="<bos>Hello", parse_special=True)
    # As above, the first one only computes the prompt.
    answers = [Answer.from_events(gemma.events(request)) for request in (plain, plain, rendered)][1:]
    assert answers[0].prompt_tokens == answers[1].prompt_tokens == len(gemma.tokenize("Hello")) == 2
    assert answers[0].text == answers[1].text
