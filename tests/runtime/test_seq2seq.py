"""Encoder-decoders from prompt to text, against transformers: T5, mT5 and ByT5, one request and several at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import regex
import tokenizers
import torch
import transformers

from runtime.card import ModelCard
from runtime.chat.template import Message
from runtime.config import EngineConfig
from runtime.engine.constraints import Constraint
from runtime.engine.messages import Delta, Finished, Generate
from runtime.engine.sampling import SamplingParams
from runtime.errors import ContextOverflow, InvalidRequest
from runtime.model import Model, start
from runtime.models.store import ModelFile
from tests.tiny.gguf import write_tiny_lora
from tests.tiny.seq2seq import (
    NUM_SENTINELS,
    byte_tokens,
    tiny_byt5,
    tiny_mt5,
    tiny_t5,
    unigram_vocabulary,
    write_seq2seq,
)

MAKERS = {"t5": tiny_t5, "mt5": tiny_mt5, "byt5": tiny_byt5}
TEXTS = (
    "The <extra_id_0> walks in <extra_id_1> park",
    "кот сидит на ковре",
    "a",
    "猫 坐 नमस्ते γάτα قطة חתול 고양이 แมว",
    "House is wonderful. " * 6,
)
GREEDY = SamplingParams(temperature=0)


class Family:
    """The same model twice: running, and in transformers."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.reference: Any = MAKERS[name]()
        self.path = write_seq2seq(folder / f"{name}.gguf", self.reference)
        self.card = ModelCard.read(ModelFile(name, self.path, None, "path", None))
        self.model = start(self.card, EngineConfig(max_context=256))

    def answer(self, text: str, num_tokens: int = 40) -> list[int]:
        """What transformers answers, greedily, without the start token and the end."""
        with torch.no_grad():
            found = self.reference.generate(
                torch.tensor([self.model.tokenize(text)]), max_new_tokens=num_tokens, do_sample=False
            )
        return [token for token in found[0].tolist()[1:] if token != 1]

    def text(self, tokens: list[int]) -> str:
        """The text of an answer as the vocabulary writes it, sentinels too, and no space before the first word."""
        if self.name == "byt5":
            names = [name.removeprefix(r"\xff\xfe").encode() for name in byte_tokens()[0]]
            never = {*range(0xF5, 0x100), 0xC0, 0xC1}
            shown = [b"<0x%02X>" % (one - 3) if one - 3 in never else bytes([one - 3]) for one in range(3, 259)]
            pieces = [*names[:3], *shown, *names[259:]]
            return b"".join(pieces[one] for one in tokens if one > 2).decode(errors="replace")
        texts = [piece for piece, _ in unigram_vocabulary()]
        return "".join(texts[one] for one in tokens if one > 2).replace("▁", " ").removeprefix(" ")


@pytest.fixture(scope="module", params=MAKERS)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Family]:
    made = Family(request.param, tmp_path_factory.mktemp("families"))
    yield made
    made.model.close()


@pytest.fixture(scope="module")
def mt5(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Family]:
    made = Family("mt5", tmp_path_factory.mktemp("mt5"))
    yield made
    made.model.close()


@pytest.fixture(scope="module")
def byt5(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    path = write_seq2seq(tmp_path_factory.mktemp("byt5") / "byt5.gguf", tiny_byt5(seed=3))
    with start(ModelCard.read(ModelFile("byt5", path, None, "path", None)), EngineConfig(max_context=128)) as model:
        yield model


def generate(model: Model, text: str, name: str = "a", **more: Any) -> tuple[str, Finished, list[Delta]]:
    *deltas, last = model.events(Generate(name, text, GREEDY, **more))
    assert isinstance(last, Finished)
    told = [delta for delta in deltas if isinstance(delta, Delta)]
    return "".join(delta.text for delta in told), last, told


def test_forty_greedy_tokens_are_those_of_transformers(family: Family) -> None:
    for index, text in enumerate(TEXTS):
        wanted = family.answer(text)
        answer, last, _ = generate(family.model, text, str(index), max_tokens=40)
        assert answer == family.text(wanted)
        assert last.usage.completion_tokens == len(wanted)
        assert last.usage.prompt_tokens == len(family.model.tokenize(text))


def test_several_at_once_and_of_different_lengths_answer_as_each_alone(family: Family) -> None:
    lengths = (40, 7, 33, 21, 40, 3, 28)
    wishes = list(zip(itertools.islice(itertools.cycle(TEXTS), len(lengths)), lengths, strict=True))
    wanted = [family.text(family.answer(text, length)) for text, length in wishes]

    def ask(index: int) -> str:
        text, length = wishes[index]
        return generate(family.model, text, f"many{index}", max_tokens=length)[0]

    with ThreadPoolExecutor(len(wishes)) as threads:
        assert list(threads.map(ask, range(len(wishes)))) == wanted


def test_one_that_is_taken_back_in_the_middle_leaves_the_others_as_they_are(family: Family) -> None:
    wanted = family.text(family.answer(TEXTS[1], 100))

    def leave(index: int) -> str:
        events = family.model.events(Generate(f"gone{index}", TEXTS[3], GREEDY, max_tokens=100))
        next(events)
        events.close()  # type: ignore[attr-defined]  # a generator
        return ""

    def stay(index: int) -> str:
        return generate(family.model, TEXTS[1], f"stays{index}", max_tokens=100)[0]

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda index: (leave, stay)[index % 2](index), range(8)))
    assert [answer for answer in answers if answer] == [wanted] * 4


def test_adapters_and_none_at_the_same_time_do_not_mix(family: Family, tmp_path: Path) -> None:
    lora = write_tiny_lora(tmp_path / f"{family.name}.gguf", family.path, targets=("attn_q", "cross_attn_v"))
    adapter = family.model.attach(lora)
    alone = {
        name: generate(family.model, TEXTS[1], f"alone{name}", max_tokens=20, adapter=name)[0]
        for name in (None, adapter)
    }
    assert alone[None] != alone[adapter]

    def ask(index: int) -> bool:
        name = (None, adapter)[index % 2]
        return generate(family.model, TEXTS[1], f"both{index}", max_tokens=20, adapter=name)[0] == alone[name]

    with ThreadPoolExecutor(6) as threads:
        assert all(threads.map(ask, range(6)))


def test_logprobs_are_those_of_transformers(family: Family) -> None:
    text, tokens = TEXTS[1], family.answer(TEXTS[1], 5)
    _, _, deltas = generate(family.model, text, "logprobs", max_tokens=5, logprobs=3)
    told = [one for delta in deltas for one in delta.logprobs]
    with torch.no_grad():
        rows = self_logits(family, text, tokens)
    assert [one.token for one in told] == tokens
    for one, row in zip(told, rows, strict=True):
        assert one.logprob == pytest.approx(float(row[one.token]), abs=0.05)
        assert len(one.top) == 3


def self_logits(family: Family, text: str, tokens: list[int]) -> Any:
    given = torch.tensor([[0, *tokens[:-1]]])
    return (
        family.reference(input_ids=torch.tensor([family.model.tokenize(text)]), decoder_input_ids=given)
        .logits[0]
        .log_softmax(-1)
    )


def test_a_stop_string_ends_an_answer_and_is_not_in_it(family: Family) -> None:
    whole = generate(family.model, TEXTS[2], "whole", max_tokens=40)[0]
    stop = next(part for part in (whole[8:11], whole[12:14]) if part.strip())
    cut, last, _ = generate(family.model, TEXTS[2], "cut", max_tokens=40, stop=(stop,))
    assert cut == whole[: whole.index(stop)]
    assert (last.reason, last.stopped_by) == ("stop", stop)


def test_deltas_are_whole_characters(byt5: Model) -> None:
    for index in range(6):
        sampling = SamplingParams(seed=index)
        *deltas, _ = byt5.events(Generate(f"s{index}", "ไทย", sampling, max_tokens=60))
        texts = [delta.text for delta in deltas if isinstance(delta, Delta)]
        whole = "".join(texts)
        borders = {match.end() for match in regex.finditer(r"\X", whole)}
        assert set(itertools.accumulate(map(len, texts))) <= borders


@pytest.mark.parametrize(
    "constraint",
    [
        Constraint("choice", '["да", "не знам"]'),
        Constraint("regex", "[а-я]{3}"),
        Constraint("json_schema", '{"type": "boolean"}'),
    ],
    ids=str,
)
def test_an_answer_can_be_held_to_a_constraint(byt5: Model, constraint: Constraint) -> None:
    answer, last, _ = generate(byt5, "Вали ли?", "held", constraint=constraint)
    wanted = {"choice": "да|не знам", "regex": "[а-я]{3}", "json_schema": "true|false"}[constraint.kind]
    assert regex.fullmatch(wanted, answer)
    assert last.reason == "stop"


@pytest.mark.parametrize("constraint", [Constraint("choice", '["тщ"]'), Constraint("regex", "тщт")], ids=str)
def test_a_constraint_that_the_vocabulary_cannot_write_fails_alone(mt5: Family, constraint: Constraint) -> None:
    def ask(index: int) -> str:
        if index == 1:
            with pytest.raises(InvalidRequest, match="vocabulary cannot write"):
                generate(mt5.model, "кот", "stuck", constraint=constraint)
        return generate(mt5.model, TEXTS[1], f"others{index}", max_tokens=30)[0]

    with ThreadPoolExecutor(3) as threads:
        assert len(set(threads.map(ask, range(3)))) == 1


def test_an_answer_can_be_kept_in_a_script(byt5: Model) -> None:
    answer = byt5.complete("Здравей", language="bg", mode="hard", max_tokens=60, temperature=1.0, seed=1).text
    assert not regex.search(r"[\p{Latin}--[extra_id_x]]", regex.sub(r"<[^>]*>", "", answer), flags=regex.V1)


def test_a_source_beyond_the_context_is_refused_with_its_size(byt5: Model) -> None:
    with pytest.raises(ContextOverflow, match="needs 129 tokens, but the context holds 128"):
        byt5.complete("x" * 128)
    assert byt5.complete("x" * 127, max_tokens=2).prompt_tokens == 128


def test_a_conversation_is_asked_as_what_the_user_said_last(family: Family) -> None:
    turns = [Message("user", "first"), Message("assistant", "answer"), Message("user", "The cat")]
    assert family.card.chat_request(turns).prompt == "The cat"
    assert family.card.chat_request([Message("system", "Translate."), turns[0]]).prompt == "Translate.\n\nfirst"
    assert family.card.chat_request("The cat").stop == ()
    assert not family.card.is_chat
    assert (
        family.model.chat("The cat", max_tokens=9, temperature=0.0).text
        == generate(family.model, "The cat", "chat", max_tokens=9)[0]
    )


def test_logprobs_of_the_prompt_are_refused(byt5: Model) -> None:
    with pytest.raises(InvalidRequest, match="encodes its prompt"):
        generate(byt5, "a", "echo", max_tokens=1, logprobs=1, prompt_logprobs=True)


def test_a_text_between_two_others_is_asked_for_with_a_sentinel(family: Family) -> None:
    with pytest.raises(InvalidRequest, match="extra_id_0") as caught:
        family.card.infill("def f", "return")
    assert caught.value.param == "suffix"


def test_bytes_have_the_ids_of_transformers_in_every_script(byt5: Model) -> None:
    reference = transformers.ByT5Tokenizer()
    texts = (
        "",
        "abc",
        "Добър ден",
        "ᚠᛇᚻ 𓂀 𞤀𞤣𞤤𞤢𞤥",
        "e\u0301 👩‍👩‍👧 \x00\t\n",
        "<extra_id_0> <extra_id_124>x<extra_id_9>",
    )
    for text in texts:
        assert byt5.tokenize(text) == reference(text).input_ids
    # What transformers takes for control tokens is text here, so that no text can end itself.
    assert byt5.tokenize("</s><pad>") == [*(byte + 3 for byte in b"</s><pad>"), 1]
    assert byt5.tokenize("<0xFF>a<0xFE>") == [258, ord("a") + 3, 257, 1]


def test_unigrams_have_the_ids_of_their_makers_around_sentinels(mt5: Family) -> None:
    reference = tokenizers.Tokenizer(tokenizers.models.Unigram(unigram_vocabulary(), unk_id=2))
    reference.add_special_tokens([f"<extra_id_{index}>" for index in range(NUM_SENTINELS)])
    reference.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [tokenizers.pre_tokenizers.WhitespaceSplit(), tokenizers.pre_tokenizers.Metaspace()]
    )
    reference.post_processor = tokenizers.processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    for text in (*TEXTS, "<extra_id_0>кот<extra_id_99>", " <extra_id_1>  <extra_id_2> cat", "<extra_id_100>"):
        assert mt5.model.tokenize(text) == reference.encode(text).ids
