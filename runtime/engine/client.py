"""How the rest of the program speaks to an engine, wherever it runs."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from runtime.engine.loop import AnyEngine, Emit, EngineLoop, Inbox, Wake, unloaded
from runtime.engine.messages import (
    Abort,
    Delta,
    Encode,
    Event,
    Failed,
    Finished,
    Generate,
    LoadAdapter,
    Part,
    Request,
    Shutdown,
    Tokenize,
    Tokens,
)
from runtime.engine.rows import RowCollector, Rows
from runtime.engine.statistics import EngineStatistics
from runtime.errors import DemoticError

_log = logging.getLogger("demotic.engine")

Sink = Callable[[Event], None]


class EngineClient(Protocol):
    """Sends requests to one engine and routes what comes back."""

    context_length: int

    @property
    def pid(self) -> int:
        """Id of the process that the engine runs in."""

    @property
    def statistics(self) -> EngineStatistics:
        """What the engine has done, and what it holds; from another process it is up to a second old."""

    @property
    def fault(self) -> DemoticError | None:
        """Why requests are answered no more; None while they are."""

    @property
    def idle_seconds(self) -> float | None:
        """Time since the last request ended, or since requests are answered no more; None while one is in flight."""

    def submit(self, request: Request, sink: Sink) -> None:
        """Start a request; `sink` is called, from another thread or this one, with its events up to the last."""

    def abort(self, request_id: str) -> None:
        """Take a request back; its sink still gets the last event."""

    def close(self) -> None:
        """Stop; requests in flight are answered with `Failed` first. Calling it twice is harmless."""


def stream(client: EngineClient, request: Generate) -> Iterator[Delta | Finished]:
    """Events of one request, the last a `Finished`. Leaving early takes the request back.

    Raises:
        DemoticError: the request failed.
    """
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    client.submit(request, events.put)
    is_open = True
    try:
        while is_open:
            event = events.get()
            is_open = isinstance(event, Delta)
            yield or_raise(event)
    finally:
        if is_open:
            client.abort(request.request_id)


def encode(client: EngineClient, request: Encode) -> Rows:
    """The numbers of each input of one request.

    Raises:
        DemoticError: the request failed.
    """
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    client.submit(request, events.put)
    rows = RowCollector(len(request.inputs))
    while (whole := rows.take(events.get())) is None:
        pass
    return whole


def tokenize(client: EngineClient, text: str) -> list[int]:
    """Token ids of `text`, without names of control tokens read as such.

    Raises:
        DemoticError: the engine cannot tell them.
    """
    event = _only_event(client, Tokenize(uuid.uuid4().hex, text))
    assert isinstance(event, Tokens)  # noqa: S101  # the only other answer to `Tokenize`
    return list(event.tokens)


def attach(client: EngineClient, adapter: str, path: Path) -> None:
    """Load the LoRA at `path`, whose header has been checked, for requests that name it `adapter`.

    Raises:
        DemoticError: the engine cannot load it.
    """
    _only_event(client, LoadAdapter(uuid.uuid4().hex, adapter, os.fsencode(path.absolute())))


def or_raise(event: Event) -> Delta | Finished:
    """`event` of a `Generate`, unless it is a failure, which is raised."""
    if isinstance(event, Failed):
        raise event.error
    assert isinstance(event, Delta | Finished)  # noqa: S101  # the only other answers to `Generate`
    return event


def _only_event(client: EngineClient, request: LoadAdapter | Tokenize) -> Event:
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    client.submit(request, events.put)
    event = events.get()
    if isinstance(event, Failed):
        raise event.error
    return event


class Sinks:
    """Who waits for the events of which request. Every sink gets exactly one last event, whatever happens."""

    def __init__(self) -> None:
        self._sinks: dict[str, Sink] = {}
        self._lock = threading.Lock()
        self._fault: DemoticError | None = None
        self._idle_since = time.monotonic()

    @property
    def fault(self) -> DemoticError | None:
        """What `close` was called with."""
        return self._fault

    @property
    def idle_seconds(self) -> float | None:
        """See `EngineClient.idle_seconds`."""
        with self._lock:
            return None if self._sinks else time.monotonic() - self._idle_since

    def add(self, request_id: str, sink: Sink) -> bool:
        """Note who waits for a request; once closed, the sink gets its `Failed` at once, and the answer is False."""
        with self._lock:
            fault = self._fault
            if fault is None:
                self._sinks[request_id] = sink
                return True
        _give(sink, Failed(request_id, fault))
        return False

    def deliver(self, event: Event) -> None:
        """Give an event to whoever waits for it."""
        is_last = not isinstance(event, Delta | Part)
        with self._lock:
            sink = self._sinks.pop(event.request_id, None) if is_last else self._sinks.get(event.request_id)
            if is_last:
                self._idle_since = time.monotonic()
        if sink is not None:
            _give(sink, event)

    def close(self, fault: DemoticError) -> None:
        """Fail everything in flight, and whatever is added from now on. Only the first call counts."""
        with self._lock:
            if self._fault is not None:
                return
            self._fault = fault
            self._idle_since = time.monotonic()
            left = list(self._sinks.items())
            self._sinks.clear()
        for request_id, sink in left:
            _give(sink, Failed(request_id, fault))


def _give(sink: Sink, event: Event) -> None:
    try:
        sink(event)
    except Exception:  # noqa: BLE001  # one caller's fault must not keep the others from their events
        _log.exception("a request's events could not be delivered")


class InProcessClient:
    """Runs an engine in a thread of this process."""

    def __init__(self, make_engine: Callable[[Emit, Wake], AnyEngine], *, close_backend: Callable[[], None]) -> None:
        """`make_engine` is given the function that the engine emits its events to, and the one that wakes it."""
        self._sinks = Sinks()
        self._inbox: Inbox = queue.SimpleQueue()
        self._loop = EngineLoop(make_engine, self._inbox, self._sinks.deliver)
        self._engine = self._loop.engine
        self.context_length = self._engine.context_length
        self._close_backend = close_backend
        self._lock = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="demotic-engine", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """See `EngineClient.pid`."""
        return os.getpid()

    @property
    def statistics(self) -> EngineStatistics:
        """See `EngineClient.statistics`."""
        return self._engine.statistics

    @property
    def fault(self) -> DemoticError | None:
        """See `EngineClient.fault`."""
        return self._sinks.fault

    @property
    def idle_seconds(self) -> float | None:
        """See `EngineClient.idle_seconds`."""
        return self._sinks.idle_seconds

    def submit(self, request: Request, sink: Sink) -> None:
        """See `EngineClient.submit`."""
        if self._sinks.add(request.request_id, sink):
            self._inbox.put(request)

    def abort(self, request_id: str) -> None:
        """See `EngineClient.abort`."""
        self._inbox.put(Abort(request_id))

    def close(self) -> None:
        """See `EngineClient.close`."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        self._sinks.close(unloaded())
        self._inbox.put(Shutdown())
        self._thread.join()
        self._close_backend()

    def _run(self) -> None:
        self._loop.run()
        if self._loop.fault is not None:
            self._sinks.close(self._loop.fault)
