"""The engine of a model that makes vectors or scores: the inputs of all requests in turn, as many as a step takes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np

from runtime.backends.base import Encoder, Vectors
from runtime.engine.messages import (
    Abort,
    Encode,
    Event,
    Failed,
    Finished,
    FinishReason,
    Generate,
    Row,
    Timings,
    Usage,
)
from runtime.engine.statistics import EngineStatistics, Totals
from runtime.engine.windows import Window, WindowMaker, to_vector
from runtime.errors import DemoticError, InferenceFailed, InvalidRequest, QueueFull
from runtime.models.encoding import Encoding
from runtime.text.tokenizer import Tokenizer


class _Job:
    """One request on its way: the windows of each input, and the rows that are there."""

    def __init__(self, request: Encode, windows: list[list[Window]]) -> None:
        self.request = request
        self.windows = windows
        self.rows: list[list[Vectors]] = [[] for _ in windows]
        every = [(index, window) for index, wanted in enumerate(windows) for window in wanted]
        # The longest first, and those of about one length together, so that little of a batch is padding.
        self.waiting = deque(sorted(every, key=lambda each: -len(each[1].tokens)))
        self.num_left = len(windows)
        self._arrived = time.perf_counter()
        self._started: float | None = None

    def take(self) -> tuple[int, Window]:
        """The next window, with the index of its input."""
        self._started = self._started or time.perf_counter()
        return self.waiting.popleft()

    def finished(self, reason: FinishReason) -> Finished:
        """Message that closes the request."""
        now = time.perf_counter()
        num_tokens = sum(len(window.tokens) for wanted in self.windows for window in wanted)
        timings = Timings(queued=(self._started or now) - self._arrived, first_token=now - self._arrived, decode=0.0)
        return Finished(self.request.request_id, reason, Usage(num_tokens, 0), timings)


class EncodingEngine:
    """Turns `Encode`s into `Row`s and exactly one `Finished` or `Failed` each. It is used from one thread only."""

    def __init__(
        self,
        encoder: Encoder,
        tokenizer: Tokenizer,
        encoding: Encoding,
        *,
        max_waiting: int,
        emit: Callable[[Event], None],
    ) -> None:
        self.encoder = encoder
        self.tokenizer = tokenizer
        self.context_length = encoder.context_length
        self._encoding = encoding
        self._windows = WindowMaker(tokenizer, encoder.context_length, encoding)
        self._max_waiting = max_waiting
        self._emit = emit
        self._jobs: dict[str, _Job] = {}
        # Those that still have windows to compute; the first one's turn is next.
        self._turns: deque[_Job] = deque()
        self._totals = Totals()

    @property
    def has_work(self) -> bool:
        """Whether another `step` would do anything."""
        return bool(self._turns)

    @property
    def statistics(self) -> EngineStatistics:
        """See `Engine.statistics`. It has no KV cache, and what runs has been computed when a step ends."""
        return EngineStatistics(totals=self._totals, num_waiting=len(self._jobs))

    def encode(self, request: Encode) -> None:
        """Take a request; a fault in it is answered with `Failed`."""
        try:
            if len(self._jobs) >= self._max_waiting:
                raise QueueFull(num_waiting=len(self._jobs))
            self._check(request)
            job = _Job(request, [self._windows.windows(request, index) for index in range(len(request.inputs))])
        except DemoticError as error:
            self._emit(Failed(request.request_id, error))
            return
        self._jobs[request.request_id] = job
        self._turns.append(job)

    def generate(self, request: Generate) -> None:
        """Refuse: this model generates no text."""
        self._emit(Failed(request.request_id, InvalidRequest(f"The model {self._encoding.purpose}.", param="model")))

    def attach(self, adapter: str, path: Path) -> None:  # noqa: ARG002  # as `Engine.attach`
        """Refuse: adapters are of models that generate text."""
        raise InvalidRequest(f"The model takes no adapter such as {adapter}: it {self._encoding.purpose}.")

    def take_prepared(self) -> None:
        """Do nothing: nothing here is made ready in another thread."""

    def abort(self, message: Abort) -> None:
        """Take a request back. One that is done already, or was never here, is left alone."""
        job = self._jobs.pop(message.request_id, None)
        if job is not None:
            if job.waiting:
                self._turns.remove(job)
            self._emit(job.finished("cancelled"))

    def step(self) -> None:
        """Compute as many windows as a step takes, one of each request in turn."""
        taken = self._schedule()
        try:
            rows = self.encoder.encode([window.passage for _, _, window in taken])
        except InferenceFailed as error:
            for job, _, _ in taken:
                self._fail(job, error)
            return
        num_tokens = sum(len(window.tokens) for _, _, window in taken)
        self._totals += Totals(steps=1, sequences=len(taken), prefill_tokens=num_tokens)
        for (job, index, _), row in zip(taken, rows, strict=True):
            if job.request.request_id in self._jobs:
                self._accept(job, index, row)

    def fail_all(self, error: DemoticError) -> None:
        """Answer every request in flight with `error`: the way out when the engine itself is at fault, or closes."""
        for job in list(self._jobs.values()):
            self._fail(job, error)

    def close(self) -> None:
        """Do nothing: the encoder is closed by whoever loaded it."""

    def _check(self, request: Encode) -> None:
        if not (self._encoding.gives_vectors or self._encoding.gives_scores):
            raise InvalidRequest(f"The model {self._encoding.purpose}.", param="model")
        width = self.encoder.width
        if request.dimensions is None:
            return
        if not self._encoding.gives_vectors:
            raise InvalidRequest("Scores have no dimensions that could be left out.", param="dimensions")
        if not 1 <= request.dimensions <= width:
            raise InvalidRequest(f"dimensions must be from 1 to {width}, not {request.dimensions}.", param="dimensions")

    def _schedule(self) -> list[tuple[_Job, int, Window]]:
        taken: list[tuple[_Job, int, Window]] = []
        num_tokens = 0
        while self._turns and len(taken) < self.encoder.max_sequences:
            job = self._turns[0]
            num_tokens += len(job.waiting[0][1].tokens)
            if taken and num_tokens > self.encoder.batch_size:
                break
            taken.append((job, *job.take()))
            self._turns.popleft()
            if job.waiting:
                self._turns.append(job)
        return taken

    def _accept(self, job: _Job, index: int, row: Vectors) -> None:
        if not np.isfinite(row).all():
            self._fail(job, InferenceFailed("The model gave numbers that are not finite."))
            return
        rows, wanted, request = job.rows[index], job.windows[index], job.request
        rows.append(row)
        if len(rows) < len(wanted):
            return
        if self._encoding.gives_vectors:
            row = to_vector(np.array(rows), [window.weight for window in wanted], request.dimensions)
        self._emit(Row(request.request_id, index, row.astype("<f4").tobytes()))
        job.num_left -= 1
        if not job.num_left:
            del self._jobs[request.request_id]
            self._emit(job.finished("stop"))

    def _fail(self, job: _Job, error: DemoticError) -> None:
        if self._jobs.pop(job.request.request_id, None) is None:
            return
        if job.waiting:
            self._turns.remove(job)
        self._emit(Failed(job.request.request_id, error))
