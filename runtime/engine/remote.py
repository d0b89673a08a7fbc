"""An engine in a process of its own, as its clients see it: started, watched, and answered for when it dies."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Sequence

from runtime.config import WorkerConfig
from runtime.engine.client import Sink, Sinks
from runtime.engine.frames import FrameTooLarge, check_size
from runtime.engine.loop import unloaded
from runtime.engine.messages import (
    LOADING,
    Abort,
    Failed,
    Load,
    Progress,
    Pulse,
    Ready,
    Request,
    Shutdown,
)
from runtime.engine.packing import decode_event, encode
from runtime.engine.process import TICK_SECONDS, ChildProcess
from runtime.engine.statistics import EngineStatistics
from runtime.errors import Cancelled, DemoticError, InvalidRequest, ModelLoadFailed, WorkerDied
from runtime.hardware.retreat import tells_of, uses_card

# -P: what lies in the working folder must not stand in for the program's own modules.
COMMAND = (sys.executable, "-P", "-m", "runtime.engine.worker")

_News = Progress | Ready | DemoticError


class WorkerClient:
    """`EngineClient` of an engine in a child process, which it owns. `plan` is how the model is run there.

    The child is ended, and counts as died, when loading makes no progress, when it gives no sign of life, when a step
    takes too long (`WorkerConfig`), or when what it sends is no message.
    """

    def __init__(
        self,
        name: str,
        load: Load,
        config: WorkerConfig,
        *,
        progress: Callable[[float], bool] | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        """Start the child and wait until it has loaded the model.

        `progress` is told the share loaded, 0 to 1, about once a second at least; where it returns False the loading
        stops.

        Raises:
            ModelLoadFailed: the backend refused the file or the plan, or no process can be started.
            WorkerDied: the child died, or stalled, while loading.
            Cancelled: `progress` stopped it.
        """
        self.context_length = 0
        self.plan = load.plan
        self.statistics = EngineStatistics()
        self._name = name
        self._config = config
        self._sinks = Sinks()
        self._news: queue.SimpleQueue[_News] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._is_ready = False
        self._share = 0.0
        self._silent_seconds = 0.0
        self._step_seconds = 0.0
        try:
            self._child = ChildProcess(
                command,
                on_frame=self._take,
                on_tick=self._look,
                on_end=self._mourn,
                end_seconds=config.close_seconds,
            )
        except OSError as fault:
            raise ModelLoadFailed(f"No process could be started for {name}: {fault.strerror}.") from fault
        try:
            self._child.send(encode(load))
            self._wait_until_ready(progress)
        except BaseException:
            self._child.kill()
            self.close()
            raise

    @property
    def pid(self) -> int:
        """See `EngineClient.pid`: the child's."""
        return self._child.pid

    @property
    def fault(self) -> DemoticError | None:
        """See `EngineClient.fault`; a `WorkerDied` where the child has died."""
        return self._sinks.fault

    @property
    def idle_seconds(self) -> float | None:
        """See `EngineClient.idle_seconds`."""
        return self._sinks.idle_seconds

    def submit(self, request: Request, sink: Sink) -> None:
        """See `EngineClient.submit`."""
        try:
            content = encode(request)
            check_size(len(content))
        except DemoticError as error:
            sink(Failed(request.request_id, error))
        except FrameTooLarge:
            sink(Failed(request.request_id, InvalidRequest("The request is too large.", remedy="Shorten the prompt.")))
        else:
            if self._sinks.add(request.request_id, sink):
                self._child.send(content)

    def abort(self, request_id: str) -> None:
        """See `EngineClient.abort`."""
        self._child.send(encode(Abort(request_id)))

    def close(self) -> None:
        """See `EngineClient.close`. The child is killed where it does not end by itself in time."""
        self._sinks.close(unloaded())
        with self._closing:
            self._child.send(encode(Shutdown()))
            if not self._child.wait(self._config.close_seconds):
                self._child.kill()
                self._child.wait()

    def _wait_until_ready(self, progress: Callable[[float], bool] | None) -> None:
        while True:
            try:
                news = self._news.get(timeout=TICK_SECONDS)
            except queue.Empty:
                news = Progress(self._share)
            match news:
                case Progress(share=share):
                    if progress is not None and not progress(share):
                        raise Cancelled(f"Loading {self._name} was stopped.")
                case Ready():
                    return
                case error:
                    raise error

    # What follows is called from the thread that reads what the child sends.

    def _take(self, frame: bytes) -> None:
        match decode_event(frame):
            case Pulse(step_seconds=seconds, statistics=statistics):
                self._step_seconds = seconds
                self.statistics = statistics
                self._silent_seconds = 0.0
            case Progress(share=share) as progress:
                if share > self._share:
                    self._silent_seconds = 0.0
                self._share = share
                self._news.put(progress)
            case Ready() as ready:
                self.context_length = ready.context_length
                self.plan = ready.plan
                self._silent_seconds = 0.0
                self._is_ready = True
                self._news.put(ready)
            case Failed(request_id=request_id, error=error) if request_id == LOADING:
                self._news.put(error)
            case event:
                self._sinks.deliver(event)

    def _look(self) -> str | None:
        """Why the child is to be ended, if it is."""
        self._silent_seconds += TICK_SECONDS
        config = self._config
        if not self._is_ready:
            is_stalled = self._silent_seconds >= config.load_stall_seconds
            return f"made no progress in loading for {config.load_stall_seconds:g} s" if is_stalled else None
        if self._silent_seconds >= config.silence_seconds:
            return f"gave no sign of life for {config.silence_seconds:g} s"
        if self._step_seconds >= config.step_seconds:
            return f"did not finish a step in {config.step_seconds:g} s"
        return None

    def _mourn(self, how: str, lines: Sequence[str]) -> None:
        error = WorkerDied(self._name, how, lacked_card_memory=uses_card(self.plan) and tells_of(lines))
        self._news.put(error)
        self._sinks.close(error)
