"""Constrained answers: what comes out always matches, forced tokens cost no step, and what cannot be kept is refused."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest
import regex

from runtime.backends.base import Chunk, Logits
from runtime.engine.client import InProcessClient, stream
from runtime.engine.constraints import MAX_CHOICES, MAX_SOURCE_CHARS, Constraint, ConstraintCompiler, ConstraintKind
from runtime.engine.engine import Engine
from runtime.engine.messages import Delta, Event, Failed, Finished, Generate
from runtime.engine.sampling import SamplingParams
from runtime.errors import InvalidRequest
from runtime.model import Model
from tests.fakes.decoder import END, ByteTokenizer, ScriptedDecoder


class RandomDecoder(ScriptedDecoder):
    """A model that likes every token as much as any other, and wants to end or to go on as it is told."""

    def __init__(self, seed: int = 0, *, end_bias: float = 0.0) -> None:
        super().__init__(lambda tokens: END, context_length=600, num_cells=1200, batch_size=64)
        self._random = np.random.default_rng(seed)
        self._end_bias = end_bias

    def forward(self, chunks: Sequence[Chunk], adapter: str | None = None) -> Logits:
        rows = super().forward(chunks, adapter)
        noise = self._random.normal(0, 2, rows.shape).astype(np.float32)
        noise[:, END] += self._end_bias
        return noise


class Desk:
    def __init__(self, decoder: ScriptedDecoder) -> None:
        self.decoder = decoder
        self.events: list[Event] = []
        self.engine = Engine(decoder, ByteTokenizer(), max_waiting=8, max_draft=15, emit=self.events.append)

    def ask(self, kind: ConstraintKind, source: Any, *, name: str = "a", max_tokens: int = 400, **more: Any) -> None:
        text = source if isinstance(source, str) else json.dumps(source, ensure_ascii=False)
        params = SamplingParams(**({"temperature": 1.0, "seed": 0} | more))
        self.engine.generate(Generate(name, "prompt", params, max_tokens, constraint=Constraint(kind, text)))

    def answer(self, kind: ConstraintKind, source: Any, **more: Any) -> tuple[str, Finished]:
        self.ask(kind, source, **more)
        while self.engine.has_work:
            self.engine.step()
        last = self.events[-1]
        if isinstance(last, Failed):
            raise last.error
        assert isinstance(last, Finished)
        return "".join(event.text for event in self.events if isinstance(event, Delta)), last


PERSON = {
    "type": "object",
    "properties": {
        "име": {"type": "string", "maxLength": 8},
        "years": {"type": "integer", "minimum": 0, "maximum": 120},
        "colour": {"enum": ["red", "зелен", "蓝"]},
        "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
    },
    "required": ["име", "years", "colour", "tags"],
    "additionalProperties": False,
}
SCHEMAS: list[Any] = [
    PERSON,
    {"type": "string", "pattern": "^[a-z]{2,5}$"},
    {"type": "string", "format": "date"},
    {"type": "number", "minimum": -3, "exclusiveMaximum": 2.5},
    {"type": "array", "prefixItems": [{"type": "null"}, {"const": "да"}], "items": False, "minItems": 2},
    {"anyOf": [{"type": "boolean"}, {"type": "string", "maxLength": 3}]},
    {"$defs": {"pair": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2}}}
    | {
        "type": "object",
        "properties": {"p": {"$ref": "#/$defs/pair"}},
        "required": ["p"],
        "additionalProperties": False,
    },
    {"type": "object", "patternProperties": {"^[ab]$": {"type": "integer", "maximum": 9}}}
    | {"additionalProperties": False, "minProperties": 1, "maxProperties": 2},
    {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 30}]},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: json.dumps(schema, ensure_ascii=False)[:40])
def test_answers_of_a_model_that_knows_nothing_fit_the_schema(schema: Any) -> None:
    for seed in range(6):
        text, last = Desk(RandomDecoder(seed, end_bias=4)).answer("json_schema", schema, seed=seed)
        assert last.reason == "stop", text
        jsonschema.Draft202012Validator(schema).validate(json.loads(text))
        assert "\\u" not in text


def test_keys_punctuation_and_only_choices_cost_no_step_of_the_model() -> None:
    schema = {
        "type": "object",
        "properties": {"the only long key": {"const": "its only value"}, "really": {"type": "boolean"}},
        "required": ["the only long key", "really"],
        "additionalProperties": False,
    }
    desk = Desk(RandomDecoder())
    text, last = desk.answer("json_schema", schema)
    assert text.startswith('{"the only long key": "its only value", "really": ')
    assert last.usage.completion_tokens == len(text)
    # The prompt, and the step that decides between true and false; all else had no choice.
    assert len(desk.decoder.steps) == 2


@pytest.mark.parametrize(("source", "is_few"), [('{"enum": ["red", "green"]}', True), ('{"type": "string"}', False)])
def test_few_allowed_tokens_are_named_and_many_are_left_in_the_row(source: str, is_few: bool) -> None:
    class Wide(ByteTokenizer):
        """A vocabulary of so many words that not all of a string's tokens are few."""

        vocabulary_size = 20_000

        def token_bytes(self, token: int) -> bytes:
            return super().token_bytes(token) if token <= 256 else f"w{token}".encode()

    compiler = ConstraintCompiler(Wide())
    matcher = compiler.compile(Constraint("json_schema", source))
    matcher.accept(ord('"') + 1, may_foretell=False)
    row = np.zeros(Wide.vocabulary_size, np.float32)
    allowed = matcher.restrict(row)
    assert (allowed is not None) == is_few
    if allowed is None:
        assert np.isfinite(row[300:]).all() and not np.isfinite(row[ord("\n") + 1])
    else:
        assert {chr(token - 1) for token in allowed} == {"r", "g"} and np.isfinite(row).all()


def test_what_is_cut_at_the_length_limit_says_so_and_keeps_its_text() -> None:
    text, last = Desk(RandomDecoder()).answer("json_schema", PERSON, max_tokens=10)
    assert last.reason == "length"
    assert text == '{"име":'[: len(text)] and len(text.encode()) == 10


def test_an_answer_that_can_only_end_ends_without_another_step() -> None:
    desk = Desk(RandomDecoder(end_bias=-1e9))
    assert desk.answer("choice", ["yes", "no"])[1].reason == "stop"


@pytest.mark.parametrize("seed", range(12))
def test_a_choice_is_one_of_the_choices_also_where_one_begins_like_another(seed: int) -> None:
    choices = ["да", "данте", "не", "何か", "n", "no", "nothing"]
    text, last = Desk(RandomDecoder(seed, end_bias=3)).answer("choice", choices, seed=seed)
    assert text in choices
    assert last.reason == "stop"


def test_every_choice_can_be_reached() -> None:
    choices = ["да", "данте", "n", "no"]
    seen = {Desk(RandomDecoder(seed, end_bias=5)).answer("choice", choices, seed=seed)[0] for seed in range(60)}
    assert seen == set(choices)


@pytest.mark.parametrize(
    ("kind", "source", "pattern"),
    [
        ("regex", r"[a-z]{3}-[0-9]+", r"[a-z]{3}-[0-9]+"),
        ("regex", r"\p{Cyrillic}{2,4}", r"\p{Cyrillic}{2,4}"),
        ("lark", 'start: "<" word ("," word)* ">"\nword: /[ab]{1,2}/', r"<[ab]{1,2}(,[ab]{1,2})*>"),
        ("gbnf", 'root ::= ("yes" | "no") [0-9]?\n', r"(yes|no)[0-9]?"),
    ],
)
def test_regular_expressions_and_grammars_are_kept(kind: ConstraintKind, source: str, pattern: str) -> None:
    for seed in range(5):
        text, last = Desk(RandomDecoder(seed, end_bias=4)).answer(kind, source, seed=seed)
        assert last.reason == "stop"
        assert regex.fullmatch(pattern, text), text


@pytest.mark.parametrize(
    ("kind", "source", "sentence"),
    [
        ("json_schema", {"type": "object", "contains": {}}, "contains"),
        ("json_schema", {"properties": {"deep": {"unevaluatedItems": False}}}, "unevaluatedItems"),
        ("json_schema", {"type": "string", "format": "no-such-format"}, "no-such-format"),
        ("json_schema", {"type": "text"}, "text"),
        ("json_schema", {"$ref": "https://example.com/schema"}, "example.com"),
        ("json_schema", False, "is no JSON schema"),
        ("json_schema", [1], "is no JSON schema"),
        ("json_schema", "{", "is no JSON"),
        ("json_schema", "[" * 101, "nested deeper than 100"),
        ("regex", "(a", "invalid regex"),
        ("regex", "(?=a)b", "look-around"),
        ("lark", "start: nowhere", "nowhere"),
        ("gbnf", "root = a", "is no GBNF"),
        ("choice", [], "list of texts"),
        ("choice", ["a", ""], "none of them empty"),
        ("choice", [1], "list of texts"),
        ("choice", [str(number) for number in range(MAX_CHOICES + 1)], f"at most {MAX_CHOICES}"),
        ("regex", "a" * (MAX_SOURCE_CHARS + 1), f"at most {MAX_SOURCE_CHARS}"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_anything_is_computed(
    kind: ConstraintKind, source: Any, sentence: str
) -> None:
    desk = Desk(RandomDecoder())
    with pytest.raises(InvalidRequest) as caught:
        desk.answer(kind, source)
    assert sentence in str(caught.value)
    assert caught.value.param == "response_format"
    assert desk.decoder.steps == []


def test_constrained_and_free_requests_run_together() -> None:
    desk = Desk(RandomDecoder(end_bias=4))
    for seed in range(3):
        desk.ask("regex", "[ab]{4}c", name=f"grammar {seed}", seed=seed)
        desk.ask("choice", ["one", "two"], name=f"choice {seed}", seed=seed)
    desk.engine.generate(Generate("free", "prompt", SamplingParams(seed=1), 5))
    while desk.engine.has_work:
        desk.engine.step()
    texts = {
        event.request_id: "".join(
            e.text for e in desk.events if isinstance(e, Delta) and e.request_id == event.request_id
        )
        for event in desk.events
        if isinstance(event, Finished)
    }
    assert len(texts) == 7
    assert all(regex.fullmatch("[ab]{4}c", texts[f"grammar {seed}"]) for seed in range(3))
    assert all(texts[f"choice {seed}"] in {"one", "two"} for seed in range(3))
    assert desk.decoder.num_used == 0


def test_penalties_count_forced_tokens() -> None:
    # "aaaa" is forced, so a strong penalty must make the free letter a "b" each time.
    for seed in range(8):
        desk = Desk(RandomDecoder(seed))
        text, _ = desk.answer("regex", "aaaa[ab]", seed=seed, frequency_penalty=2.0, logit_bias={ord("a") + 1: 1.0})
        assert text == "aaaab"


def test_other_requests_go_on_while_a_constraint_is_made_ready(
    make_client: Callable[..., InProcessClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    is_begun, may_end = threading.Event(), threading.Event()
    compile_ = ConstraintCompiler.compile

    def slow(self: ConstraintCompiler, constraint: Constraint) -> Any:
        is_begun.set()
        may_end.wait(20)
        return compile_(self, constraint)

    monkeypatch.setattr(ConstraintCompiler, "compile", slow)
    client = make_client(RandomDecoder(end_bias=-1e9))
    events: list[Event] = []
    done = threading.Event()

    def sink(event: Event) -> None:
        events.append(event)
        if not isinstance(event, Delta):
            done.set()

    constrained = Generate("a", "prompt", SamplingParams(), 20, constraint=Constraint("regex", "[ab]{3}"))
    client.submit(constrained, sink)
    assert is_begun.wait(20)
    assert isinstance(list(stream(client, Generate("b", "prompt", SamplingParams(), 5)))[-1], Finished)
    taken_back = msgspec.structs.replace(constrained, request_id="c")
    others: list[Event] = []
    client.submit(taken_back, others.append)
    client.abort("c")
    assert isinstance(list(stream(client, Generate("d", "prompt", SamplingParams(), 5)))[-1], Finished)
    assert [event.reason for event in others if isinstance(event, Finished)] == ["cancelled"]
    assert not events
    may_end.set()
    assert done.wait(20)
    assert regex.fullmatch("[ab]{3}", "".join(event.text for event in events if isinstance(event, Delta)))


def test_closing_answers_what_is_being_made_ready(
    make_client: Callable[..., InProcessClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    is_begun = threading.Event()

    def slow(_self: ConstraintCompiler, _constraint: Constraint) -> None:
        is_begun.set()
        time.sleep(0.3)

    monkeypatch.setattr(ConstraintCompiler, "compile", slow)
    client = make_client(RandomDecoder())
    events: list[Event] = []
    client.submit(Generate("a", "prompt", SamplingParams(), 20, constraint=Constraint("regex", "a")), events.append)
    assert is_begun.wait(20)
    client.close()
    assert [type(event) for event in events] == [Failed]


def test_a_real_chat_model_fills_a_schema_and_spells_a_choice(smollm2: Model) -> None:
    question = smollm2.card.chat_request("Is Paris the capital of France?", temperature=0, max_tokens=60)
    choice = msgspec.structs.replace(
        question, constraint=Constraint("choice", json.dumps(["Yes, it is", "No, it is not"]))
    )
    schema = {
        "type": "object",
        "properties": {"capital": {"type": "string", "maxLength": 20}, "is_sure": {"type": "boolean"}},
        "required": ["capital", "is_sure"],
        "additionalProperties": False,
    }
    filled = msgspec.structs.replace(question, request_id="b", constraint=Constraint("json_schema", json.dumps(schema)))
    texts = [
        "".join(event.text for event in smollm2.events(request) if isinstance(event, Delta))
        for request in (choice, filled)
    ]
    assert texts[0] in {"Yes, it is", "No, it is not"}
    jsonschema.validate(json.loads(texts[1]), schema)


def test_a_text_that_the_tokenizer_reads_as_another_one_is_written_as_it_is(gemma: Model) -> None:
    # SentencePiece takes its own sign for a space.
    text = "<｜tool▁calls▁begin｜>"
    for constraint in (
        Constraint("choice", json.dumps([text])),
        Constraint("json_schema", json.dumps({"const": text})),
    ):
        request = gemma.card.completion_request("Say it:", max_tokens=60, temperature=0)
        events = gemma.events(msgspec.structs.replace(request, constraint=constraint))
        assert "".join(event.text for event in events if isinstance(event, Delta)).strip('"') == text
