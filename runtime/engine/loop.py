"""The loop around an engine: commands in, steps, events out, until it is told to stop.

It is the same in a thread of this process (`runtime/engine/client.py`) and in a worker (`runtime/engine/worker.py`).
"""

from __future__ import annotations

import logging
import os
import queue
import time
from collections.abc import Callable
from pathlib import Path

from runtime.engine.encoding import EncodingEngine
from runtime.engine.engine import Engine
from runtime.engine.messages import (
    Abort,
    Attached,
    Describe,
    Detokenize,
    Encode,
    Event,
    Failed,
    FillMask,
    Finished,
    Generate,
    LabelTokens,
    LoadAdapter,
    Piece,
    Pieces,
    Request,
    Shutdown,
    Text,
    Tokenize,
    Tokens,
)
from runtime.errors import CardFailed, DemoticError, InferenceFailed

_log = logging.getLogger("demotic.engine")

# A client that has its answer often asks again at once. Where several answers ended in one step, the next step waits so
# long for each of these: computed together from their beginning, they take turns at nothing and end together again.
_SUCCESSOR_SECONDS = 0.01

Emit = Callable[[Event], None]
Wake = Callable[[], None]
AnyEngine = Engine | EncodingEngine


class Woken:
    """Stands among the commands: the engine has prepared something."""


Inbox = queue.SimpleQueue[Request | Abort | Shutdown | Woken]


def unloaded() -> InferenceFailed:
    """What a request gets that meets the end of its model."""
    return InferenceFailed("The model is being unloaded.")


class EngineLoop:
    """Runs an engine in the thread that calls `run`."""

    def __init__(
        self,
        make_engine: Callable[[Emit, Wake], AnyEngine],
        inbox: Inbox,
        emit: Emit,
        flush: Callable[[], None] = lambda: None,
    ) -> None:
        """Commands come from `inbox`; `emit` is given every event.

        `make_engine` is given `emit` and what wakes this loop. `flush` is called when a step's events, or those of
        commands, are all out.
        """
        self._inbox = inbox
        self._emit = emit
        self._flush = flush
        self._step_started: float | None = None
        self._num_ended = 0
        self.fault: CardFailed | None = None
        self.engine = make_engine(self._take_event, lambda: inbox.put(Woken()))

    @property
    def step_seconds(self) -> float:
        """How long the present step has taken; 0 where there is none."""
        started = self._step_started
        return 0.0 if started is None else time.monotonic() - started

    def run(self) -> None:
        """Go on until a `Shutdown` comes, or a `fault` does; what is in flight then is answered with `Failed`."""
        while self._take_commands():
            self._step_started = time.monotonic()
            self._num_ended = 0
            try:
                self.engine.step()
            except CardFailed as fault:
                # No other step would fare better: what computes them has to be loaded anew, with less on the card.
                self.fault = fault
                break
            except Exception:  # noqa: BLE001  # every request must be answered, also when the fault is our own
                _log.exception("the engine failed in a step")
                self.engine.fail_all(_own_fault())
            self._step_started = None
        self._step_started = None
        self.engine.fail_all(self.fault or unloaded())
        self._flush()
        self.engine.close()

    def _take_event(self, event: Event) -> None:
        self._num_ended += isinstance(event, Finished)
        self._emit(event)

    def _take_commands(self) -> bool:
        """Carry out all commands that have come, waiting for one when there is nothing else to do."""
        num_expected = self._num_ended if self._num_ended > 1 else 0
        while True:
            self._flush()
            patience = 0.0 if num_expected <= 0 else _SUCCESSOR_SECONDS
            try:
                command = self._inbox.get(timeout=patience if self.engine.has_work else None)
            except queue.Empty:
                return True
            match command:
                case Shutdown():
                    return False
                case Abort():
                    self.engine.abort(command)
                case Woken():
                    self.engine.take_prepared()
                case request:
                    num_expected -= 1
                    self._begin(request)

    def _begin(self, request: Request) -> None:
        tokenizer = self.engine.tokenizer
        try:
            match request:
                case Generate():
                    self.engine.generate(request)
                case Encode() | LabelTokens() | FillMask():
                    self.engine.encode(request)
                case LoadAdapter():
                    self.engine.attach(request.adapter, Path(os.fsdecode(request.path)))
                    self._emit(Attached(request.request_id))
                case Tokenize():
                    tokens = tokenizer.encode(
                        request.text, parse_special=request.parse_special, is_beginning=request.add_special
                    )
                    self._emit(Tokens(request.request_id, tuple(tokens)))
                case Describe():
                    pieces = (Piece(tokenizer.token_text(one), tokenizer.token_bytes(one)) for one in request.tokens)
                    self._emit(Pieces(request.request_id, tuple(pieces)))
                case Detokenize():
                    data = b"".join(map(tokenizer.token_bytes, request.tokens))
                    self._emit(Text(request.request_id, data.decode("utf-8", "replace")))
        except DemoticError as error:
            self._emit(Failed(request.request_id, error))
        except Exception:  # noqa: BLE001  # as above
            _log.exception("the engine failed to begin a request")
            self._emit(Failed(request.request_id, _own_fault()))


def _own_fault() -> InferenceFailed:
    return InferenceFailed("The engine failed; its log says more.")
