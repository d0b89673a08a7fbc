"""Every message crosses a process border unchanged, and every error as itself."""

from __future__ import annotations

import inspect
import typing

import msgspec
import pytest

from runtime import errors
from runtime.engine.beam_search import Beams
from runtime.engine.messages import (
    LOADING,
    Abort,
    Attached,
    Between,
    Command,
    Delta,
    Describe,
    Detokenize,
    Encode,
    Entities,
    Entity,
    Failed,
    Fill,
    FillMask,
    Fills,
    Finished,
    Framed,
    Generate,
    Hypothesis,
    LabelTokens,
    Load,
    LoadAdapter,
    Pair,
    Piece,
    Pieces,
    Progress,
    Pulse,
    Ready,
    Row,
    Shutdown,
    Text,
    Timings,
    Tokenize,
    Tokens,
    Usage,
    WorkerEvent,
)
from runtime.engine.packing import decode_command, decode_event, encode
from runtime.engine.rules import Rules
from runtime.engine.sampling import SamplingParams
from runtime.engine.statistics import EngineStatistics, Totals
from runtime.language.lock import Lock
from runtime.language.regions import Span
from runtime.models.encoding import Encoding
from tests.fakes.worker import PLAN

COMMANDS: list[Command] = [
    Load(b"/models/caf\xe9.gguf", PLAN, 64, 15, 1000, None, b"/prefixes/caf\xe9"),
    Generate(
        "a", "Здравей", SamplingParams(temperature=0.5, logit_bias={7: -100.0}, seed=2**64 - 1), 12, ("\n",), True
    ),
    Generate("b", (1, 2, 262_143), SamplingParams()),
    Generate("b", "x", SamplingParams(), adapter="диалект"),
    Generate("b", "x", SamplingParams(), lock=Lock(("Cyrl",), "hard", (Span("<a>", "</a>"),)), max_characters=9),
    Generate(
        "b",
        Between((7,), "текст", (2,)),
        SamplingParams(),
        begin=(2, 7),
        prefix="Да",
        rules=Rules(2, 3, ((4,), (5, 6)), (7,), (8,), (9,)),
        beams=Beams(4, 2, 0.6, "never"),
    ),
    Load(b"/models/e.gguf", PLAN, 64, 15, None, Encoding("rank", is_causal=False, labels=("да", "не"), opening=1)),
    Encode("e", ("текст", (1, 2, 3), Pair("a", "б"), Framed("<", "в", ">")), "chunk", 64, "documents"),
    LabelTokens("t", ("текст", "l·l"), "first", ("O", "MISC"), "chunk"),
    FillMask("f", ("a [MASK]",), 3, ("Ġb",), truncate=True),
    LoadAdapter("d", "диалект", b"/adapters/caf\xe9.gguf"),
    Tokenize("c", "текст", add_special=False, parse_special=True),
    Describe("d", (1, 2, 262_143)),
    Detokenize("e", (1, 2, 262_143)),
    Abort("a"),
    Shutdown(),
]
EVENTS: list[WorkerEvent] = [
    Progress(0.5),
    Ready(2048, 262_144, PLAN),
    Pulse(1.5, EngineStatistics(Totals(1, 2, 3, 4, 5, 6), 7, 8, 9, 10, 11)),
    Delta("a", "цял", found=Hypothesis(1, -0.5, 3, "stop")),
    Delta("a", "👩‍👩‍👧"),
    Row("e", 3, b"\x00\x00\x80?"),
    Entities("t", 1, (Entity("PER", 0.5, 2, 7, "текст"),)),
    Fills("f", 0, ((Fill(7, 0.25, " b", "a b"),), ())),
    Finished("a", "stop", Usage(5, 7, 3), Timings(0.0, 0.1, 0.2)),
    Attached("d"),
    Tokens("c", (1, 2)),
    Pieces("d", (Piece("<s>", b""), Piece("\ufffd", b"\xd0"))),
    Text("e", "текст"),
]
SAMPLES: dict[type[errors.DemoticError], errors.DemoticError] = {
    errors.InvalidRequest: errors.InvalidRequest("No.", remedy="Mend it.", param="top_p"),
    errors.ContextOverflow: errors.ContextOverflow(num_tokens=9, context_length=8, param="prompt"),
    errors.AdapterNotFound: errors.AdapterNotFound("x", known=("y", "z")),
    errors.ModelNotFound: errors.ModelNotFound("x", nearest=("y", "z")),
    errors.PreviousResponseNotFound: errors.PreviousResponseNotFound("resp_1"),
    errors.ResponseNotFound: errors.ResponseNotFound("resp_1"),
    errors.QueueFull: errors.QueueFull(num_waiting=3, retry_after=2),
    errors.ConversationNotFound: errors.ConversationNotFound(7),
    errors.ModelBusy: errors.ModelBusy("x", "has requests in flight", remedy="Wait."),
    errors.TooManyRequests: errors.TooManyRequests(limit=2),
    errors.NoRoomForModel: errors.NoRoomForModel("x", retry_after=3),
    errors.UnknownLanguage: errors.UnknownLanguage("bx", nearest=("bul_Cyrl",), param="language"),
    errors.UnsupportedLanguages: errors.UnsupportedLanguages("x", "fi", known=("bul_Cyrl",), param="target"),
    errors.WorkerDied: errors.WorkerDied("x", "was ended by SIGSEGV", retry_after=4),
}
KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.DemoticError)]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_a_command_arrives_as_it_was_sent(command: Command) -> None:
    assert decode_command(encode(command)) == command


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_arrives_as_it_was_sent(event: WorkerEvent) -> None:
    assert decode_event(encode(event)) == event


def test_no_message_of_the_vocabulary_is_left_out_here() -> None:
    assert {type(command) for command in COMMANDS} == set(typing.get_args(Command))
    assert {type(event) for event in EVENTS} | {Failed} == set(typing.get_args(WorkerEvent))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_arrives_as_the_same_class_with_the_same_fields(kind: type[errors.DemoticError]) -> None:
    error = SAMPLES.get(kind) or kind("It went wrong.", remedy="Try something else.")
    arrived = decode_event(encode(Failed(LOADING, error)))
    assert isinstance(arrived, Failed)
    assert type(arrived.error) is kind
    assert vars(arrived.error) == vars(error)
    assert str(arrived.error) == str(error)
    assert arrived.error.args == error.args


def test_an_error_of_a_class_that_is_not_known_arrives_as_the_root() -> None:
    record = {"kind": "FromTheFuture", "fields": {"message": "It went wrong.", "remedy": ""}}
    data = msgspec.msgpack.encode({"type": "Failed", "request_id": "a", "error": record})
    arrived = decode_event(data)
    assert isinstance(arrived, Failed)
    assert type(arrived.error) is errors.DemoticError
    assert arrived.error.message == "It went wrong."


@pytest.mark.parametrize("data", [b"", b"\xff", b"hello", msgspec.msgpack.encode({"type": "Delta", "text": "x"})])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    for decode in (decode_command, decode_event):
        with pytest.raises(msgspec.MsgspecError):
            decode(data)


def test_text_that_is_not_unicode_is_the_caller_s_fault() -> None:
    with pytest.raises(errors.InvalidRequest, match="lone surrogate at character 2"):
        encode(Generate("a", "ab\ud800", SamplingParams()))
    with pytest.raises(errors.InvalidRequest, match="64 bits"):
        encode(Generate("a", (2**64,), SamplingParams()))
