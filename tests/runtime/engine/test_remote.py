"""An engine in a process of its own answers as one in this process does, and every fault of it answers each request."""

from __future__ import annotations

import dataclasses
import os
import queue
import signal
import time
from collections.abc import Callable, Iterator

import msgspec
import psutil
import pytest

from runtime.config import WorkerConfig
from runtime.engine import frames
from runtime.engine.client import stream, tokenize
from runtime.engine.messages import Delta, Event, Failed, Finished, Generate, Load
from runtime.engine.remote import WorkerClient
from runtime.engine.sampling import SamplingParams
from runtime.errors import (
    Cancelled,
    CardFailed,
    DemoticError,
    InferenceFailed,
    InvalidRequest,
    ModelLoadFailed,
    WorkerDied,
)
from tests.fakes.worker import PLAN, command

GREEDY = SamplingParams(temperature=0)
LOAD = Load(b"/nowhere/model.gguf", PLAN, max_waiting=4, max_draft=0)
QUICK = WorkerConfig(silence_seconds=3, step_seconds=2, close_seconds=3)
PATIENCE = 60.0

Start = Callable[..., WorkerClient]


@pytest.fixture
def start() -> Iterator[Start]:
    clients: list[WorkerClient] = []

    def make(fault: str = "", config: WorkerConfig = QUICK, load: Load = LOAD) -> WorkerClient:
        clients.append(WorkerClient("scripted", load, config, command=command(fault)))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


class Caller:
    """One request, and what came of it."""

    def __init__(self, client: WorkerClient, name: str = "a", max_tokens: int | None = None) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        client.submit(Generate(name, "a", GREEDY, max_tokens), self.events.put)

    def first(self) -> Event:
        return self.events.get(timeout=PATIENCE)

    def last(self) -> Event:
        """Its last event, after which none comes."""
        while isinstance(event := self.first(), Delta):
            pass
        with pytest.raises(queue.Empty):
            self.events.get(timeout=0.1)
        return event

    def error(self) -> DemoticError:
        event = self.last()
        assert isinstance(event, Failed)
        return event.error


def text_of(client: WorkerClient, max_tokens: int = 5) -> str:
    events = stream(client, Generate("text", "a", GREEDY, max_tokens))
    return "".join(event.text for event in events if isinstance(event, Delta))


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)


def test_it_answers_tells_tokens_and_refuses_like_an_engine_in_this_process(start: Start) -> None:
    client = start()
    assert client.context_length == 100_000
    assert text_of(client) == "bcdef"
    assert tokenize(client, "Аб") == [byte + 1 for byte in "Аб".encode()]
    with pytest.raises(InvalidRequest, match="empty"):
        list(stream(client, Generate("b", "", GREEDY)))
    with pytest.raises(InvalidRequest, match="surrogate"):
        list(stream(client, Generate("c", "\ud800", GREEDY)))


def test_a_request_that_is_taken_back_ends_as_cancelled(start: Start) -> None:
    client = start()
    caller = Caller(client)
    caller.first()
    assert client.idle_seconds is None
    client.abort("a")
    event = caller.last()
    assert isinstance(event, Finished)
    assert event.reason == "cancelled"
    assert client.idle_seconds is not None


def test_closing_answers_what_is_in_flight_and_leaves_no_process_and_no_descriptor(start: Start) -> None:
    before = psutil.Process().num_fds()
    client = start()
    caller = Caller(client)
    caller.first()
    started = time.monotonic()
    client.close()
    client.close()
    assert time.monotonic() - started < QUICK.close_seconds
    assert isinstance(caller.error(), InferenceFailed)
    assert isinstance(Caller(client, "b").error(), InferenceFailed)
    assert is_gone(client.pid)
    assert psutil.Process().num_fds() == before


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV])
def test_a_process_that_is_ended_fails_each_request_once_and_names_the_signal(
    start: Start, ending: signal.Signals
) -> None:
    before = psutil.Process().num_fds()
    client = start()
    callers = [Caller(client, name) for name in "abc"]
    for caller in callers:
        caller.first()
    os.kill(client.pid, ending)
    for caller in callers:
        error = caller.error()
        assert isinstance(error, WorkerDied)
        assert ending.name in error.message
    assert isinstance(Caller(client, "later").error(), WorkerDied)
    assert is_gone(client.pid)
    assert psutil.Process().num_fds() == before


def test_the_telling_line_that_it_printed_last_is_named(start: Start) -> None:
    error = Caller(start("abort")).error()
    assert isinstance(error, WorkerDied)
    assert "SIGABRT" in error.message
    assert error.message.endswith("ggml.c:1: GGML_ASSERT(a == b) failed.")


def test_a_card_that_runs_out_of_memory_is_told_apart_from_other_ends(start: Start) -> None:
    on_card = msgspec.structs.replace(LOAD, plan=dataclasses.replace(PLAN, gpu_layers=8))
    aborted = Caller(start("card", load=on_card)).error()
    assert isinstance(aborted, WorkerDied) and aborted.lacked_card_memory
    assert "loaded anew, with less of it on the card" in str(aborted)
    for fault, load in (("card", LOAD), ("abort", on_card)):
        other = Caller(start(fault, load=load)).error()
        assert isinstance(other, WorkerDied) and not other.lacked_card_memory


def test_a_step_for_which_a_card_has_no_memory_fails_its_requests_and_ends_the_process(start: Start) -> None:
    client = start("no memory", load=msgspec.structs.replace(LOAD, plan=dataclasses.replace(PLAN, gpu_layers=8)))
    callers = [Caller(client, name) for name in "ab"]
    assert all(isinstance(caller.error(), CardFailed) for caller in callers)
    assert is_gone(client.pid)
    assert isinstance(client.fault, WorkerDied) and client.fault.lacked_card_memory


def test_a_model_that_was_loaded_with_less_on_the_card_says_so(start: Start) -> None:
    client = start("crowded", load=msgspec.structs.replace(LOAD, plan=dataclasses.replace(PLAN, gpu_layers=8)))
    assert client.plan.gpu_layers == 4
    assert "ran out of memory with 8 layers" in client.plan.reasons["gpu_layers"]


def test_a_process_that_ends_without_a_word_is_named_with_its_status(start: Start) -> None:
    assert "ended with status 3" in Caller(start("exit")).error().message


def test_a_process_that_is_stopped_is_noticed_and_ended(start: Start) -> None:
    client = start()
    caller = Caller(client)
    caller.first()
    os.kill(client.pid, signal.SIGSTOP)
    # More than a pipe holds: what is written to it must not hold this process up.
    for number in range(50):
        client.submit(Generate(f"late {number}", "x" * 10_000, GREEDY, 1), caller.events.put)
    while isinstance(event := caller.first(), Delta):
        pass
    assert isinstance(event, Failed)
    assert "no sign of life for 3 s" in str(event.error)
    assert sum(isinstance(caller.first(), Failed) for _ in range(50)) == 50
    assert is_gone(client.pid)


def test_a_step_without_an_end_is_noticed_and_the_process_ended(start: Start) -> None:
    error = Caller(start("hang")).error()
    assert isinstance(error, WorkerDied)
    assert "step in 2 s" in error.message


@pytest.mark.parametrize("fault", ["junk", "nonsense"])
def test_a_process_that_sends_what_is_no_message_is_ended(start: Start, fault: str) -> None:
    client = start(fault)
    assert "no message" in Caller(client).error().message
    assert is_gone(client.pid)


def test_what_native_code_prints_corrupts_nothing(start: Start) -> None:
    assert text_of(start("noise"), 20) == "bcdefghijklmnopqrstu"


def test_a_request_over_the_bound_of_a_frame_is_refused_and_the_next_is_answered(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start()
    monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 1000)
    with pytest.raises(InvalidRequest, match="too large"):
        list(stream(client, Generate("a", "x" * 1000, GREEDY)))
    assert text_of(client) == "bcdef"


def test_a_model_that_the_backend_refuses_is_told_with_its_own_error(start: Start) -> None:
    with pytest.raises(ModelLoadFailed, match=r"could not load /nowhere/model.gguf\. Fetch it again"):
        start("refuse")


def test_a_process_that_breaks_while_loading_is_told_with_its_last_line(start: Start) -> None:
    with pytest.raises(WorkerDied, match=r"status 1.*RuntimeError: the library is broken"):
        start("break")


def test_loading_that_stalls_is_given_up_and_loading_that_moves_is_not(start: Start) -> None:
    with pytest.raises(WorkerDied, match="no progress in loading for 2 s"):
        start("stall", WorkerConfig(load_stall_seconds=2))
    assert text_of(start("slow", WorkerConfig(load_stall_seconds=2))) == "bcdef"


def test_loading_can_be_stopped_and_tells_how_far_it_is() -> None:
    shares: list[float] = []

    def progress(share: float) -> bool:
        shares.append(share)
        return share < 0.5

    with pytest.raises(Cancelled):
        WorkerClient("scripted", LOAD, QUICK, progress=progress, command=command("stall"))
    assert shares[-1] == 0.5


def test_a_process_that_cannot_be_started_is_told() -> None:
    with pytest.raises(ModelLoadFailed, match="No such file"):
        WorkerClient("scripted", LOAD, QUICK, command=["/nowhere/python"])


def test_a_worker_ends_with_its_parent_and_leaves_the_terminal_s_signals_to_it(start: Start) -> None:
    client = start()
    for sent in (signal.SIGINT, signal.SIGTERM):
        os.kill(client.pid, sent)
    assert text_of(client) == "bcdef"
    # What the kernel does when the parent dies.
    client._child._outbox.put(None)
    assert client._child.wait(PATIENCE)
    assert isinstance(client.fault, WorkerDied)


def test_a_worker_tells_what_it_has_done_while_it_runs_and_all_of_it_when_it_is_closed(start: Start) -> None:
    client = start()
    deadline = time.monotonic() + PATIENCE
    caller = Caller(client)
    while client.statistics.totals.decode_tokens == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert client.statistics.num_running == 1
    assert client.statistics.num_cells == 1_000_000
    client.abort("a")
    finished = caller.last()
    assert isinstance(finished, Finished)
    assert len(text_of(client, 7)) == 7
    client.close()
    assert client.statistics.totals.prefill_tokens == 2
    assert client.statistics.totals.decode_tokens == finished.usage.completion_tokens + 7
