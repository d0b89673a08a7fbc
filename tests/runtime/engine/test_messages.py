"""Every message crosses a process border unchanged, and every error as itself."""

from __future__ import annotations

import inspect
import typing

import msgspec
import pytest

from runtime import errors
from runtime.engine import messages
from runtime.engine.messages import (
    LOADING,
    Abort,
    Attached,
    Command,
    Delta,
    Failed,
    Finished,
    Generate,
    Load,
    LoadAdapter,
    Progress,
    Pulse,
    Ready,
    Shutdown,
    Timings,
    Tokenize,
    Tokens,
    Usage,
    WorkerEvent,
    decode_command,
    decode_event,
    encode,
)
from runtime.engine.sampling import SamplingParams
from tests.fakes.worker import PLAN

COMMANDS: list[Command] = [
    Load(b"/models/caf\xe9.gguf", PLAN, 64, 15, b"/prefixes/caf\xe9"),
    Generate(
        "a", "Здравей", SamplingParams(temperature=0.5, logit_bias={7: -100.0}, seed=2**64 - 1), 12, ("\n",), True
    ),
    Generate("b", (1, 2, 262_143), SamplingParams()),
    Generate("b", "x", SamplingParams(), adapter="диалект"),
    LoadAdapter("d", "диалект", b"/adapters/caf\xe9.gguf"),
    Tokenize("c", "текст"),
    Abort("a"),
    Shutdown(),
]
EVENTS: list[WorkerEvent] = [
    Progress(0.5),
    Ready(2048, 262_144),
    Pulse(1.5),
    Delta("a", "👩‍👩‍👧"),
    Finished("a", "stop", Usage(5, 7, 3), Timings(0.0, 0.1, 0.2)),
    Attached("d"),
    Tokens("c", (1, 2, 3)),
]
SAMPLES: dict[type[errors.DemoticError], errors.DemoticError] = {
    errors.InvalidRequest: errors.InvalidRequest("No.", remedy="Mend it.", param="top_p"),
    errors.ContextOverflow: errors.ContextOverflow(num_tokens=9, context_length=8, param="prompt"),
    errors.AdapterNotFound: errors.AdapterNotFound("x", known=("y", "z")),
    errors.ModelNotFound: errors.ModelNotFound("x", nearest=("y", "z")),
    errors.QueueFull: errors.QueueFull(num_waiting=3, retry_after=2),
    errors.NoRoomForModel: errors.NoRoomForModel("x", retry_after=3),
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
    for decode in (messages.decode_command, messages.decode_event):
        with pytest.raises(msgspec.MsgspecError):
            decode(data)


def test_text_that_is_not_unicode_is_the_caller_s_fault() -> None:
    with pytest.raises(errors.InvalidRequest, match="lone surrogate at character 2"):
        encode(Generate("a", "ab\ud800", SamplingParams()))
    with pytest.raises(errors.InvalidRequest, match="64 bits"):
        encode(Generate("a", (2**64,), SamplingParams()))
