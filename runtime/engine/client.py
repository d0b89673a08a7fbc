"""How the rest of the program speaks to an engine, wherever it runs."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from runtime.engine.engine import Engine
from runtime.engine.messages import Abort, Delta, Event, Failed, Finished, Generate
from runtime.errors import InferenceFailed

_log = logging.getLogger("demotic.engine")

Sink = Callable[[Event], None]


class EngineClient(Protocol):
    """Sends requests to one engine and routes what comes back."""

    context_length: int

    def submit(self, request: Generate, sink: Sink) -> None:
        """Start a request; `sink` is called, from another thread, with each of its events up to the last."""

    def abort(self, request_id: str) -> None:
        """Take a request back; its sink still gets the last event."""

    def tokenize(self, text: str) -> list[int]:
        """Token ids of `text`, without names of control tokens read as such."""

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


def or_raise(event: Event) -> Delta | Finished:
    """`event`, unless it is a failure, which is raised."""
    if isinstance(event, Failed):
        raise event.error
    return event


class InProcessClient:
    """Runs an engine in a thread of this process."""

    def __init__(self, make_engine: Callable[[Sink], Engine], *, close_backend: Callable[[], None]) -> None:
        """`make_engine` is given the function that the engine emits its events to."""
        self._engine = make_engine(self._route)
        self.context_length = self._engine.decoder.context_length
        self._close_backend = close_backend
        self._sinks: dict[str, Sink] = {}
        self._commands: queue.SimpleQueue[Generate | Abort | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="demotic-engine", daemon=True)
        self._thread.start()

    def submit(self, request: Generate, sink: Sink) -> None:
        """See `EngineClient.submit`."""
        with self._lock:
            if not self._is_closed:
                self._sinks[request.request_id] = sink
                self._commands.put(request)
                return
        sink(Failed(request.request_id, InferenceFailed("The model is being unloaded.")))

    def abort(self, request_id: str) -> None:
        """See `EngineClient.abort`."""
        self._commands.put(Abort(request_id))

    def tokenize(self, text: str) -> list[int]:
        """See `EngineClient.tokenize`."""
        return self._engine.tokenizer.encode(text, parse_special=False)

    def close(self) -> None:
        """See `EngineClient.close`."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._commands.put(None)
        self._thread.join()
        self._close_backend()

    def _route(self, event: Event) -> None:
        is_last = not isinstance(event, Delta)
        sink = self._sinks.pop(event.request_id, None) if is_last else self._sinks.get(event.request_id)
        if sink is not None:
            sink(event)

    def _run(self) -> None:
        engine = self._engine
        while self._take_commands():
            try:
                engine.step()
            except Exception:  # noqa: BLE001  # every request must be answered, also when the fault is our own
                _log.exception("the engine failed in a step")
                engine.fail_all(InferenceFailed("The engine failed; its log says more."))
        engine.fail_all(InferenceFailed("The model is being unloaded."))

    def _take_commands(self) -> bool:
        """Carry out all commands that have come, waiting for one when there is nothing else to do."""
        while True:
            try:
                command = self._commands.get(block=not self._engine.has_work)
            except queue.Empty:
                return True
            match command:
                case None:
                    return False
                case Generate():
                    self._engine.generate(command)
                case Abort():
                    self._engine.abort(command)
