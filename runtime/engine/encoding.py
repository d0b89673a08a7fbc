"""The engine of a model that makes vectors, scores or labels: inputs of all requests in turn, in as few steps as go."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime.backends.base import Encoder, Vectors
from runtime.engine.messages import (
    Abort,
    EncodingRequest,
    Event,
    Failed,
    Finished,
    FinishReason,
    Generate,
    Timings,
    Usage,
)
from runtime.engine.reading import Reading, reading_of
from runtime.engine.statistics import EngineStatistics, Totals
from runtime.engine.windows import Window, WindowMaker
from runtime.errors import DemoticError, InferenceFailed, InvalidRequest, QueueFull
from runtime.models.encoding import Encoding
from runtime.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class _Turn:
    """The window at `place` of the input at `index`."""

    index: int
    place: int
    window: Window


class _Job:
    """One request on its way: how it is read, and what is there of each window of each input."""

    def __init__(self, request_id: str, reading: Reading) -> None:
        self.request_id = request_id
        self.reading = reading
        self.kept: list[dict[int, Vectors]] = [{} for _ in reading.windows]
        every = [
            _Turn(index, place, window)
            for index, windows in enumerate(reading.windows)
            for place, window in enumerate(windows)
        ]
        # The longest first, and those of about one length together, so that little of a batch is padding.
        self.waiting = deque(sorted(every, key=lambda turn: -len(turn.window.tokens)))
        self.num_left = len(reading.windows)
        self._arrived = time.perf_counter()
        self._started: float | None = None

    def take(self) -> _Turn:
        """The next window."""
        self._started = self._started or time.perf_counter()
        return self.waiting.popleft()

    def finished(self, reason: FinishReason) -> Finished:
        """Message that closes the request."""
        now = time.perf_counter()
        num_tokens = sum(len(window.tokens) for windows in self.reading.windows for window in windows)
        timings = Timings(queued=(self._started or now) - self._arrived, first_token=now - self._arrived, decode=0.0)
        return Finished(self.request_id, reason, Usage(num_tokens, 0), timings)


class EncodingEngine:
    """Turns requests into an answer for each input and exactly one `Finished` or `Failed` each.

    It is used from one thread only.
    """

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

    def encode(self, request: EncodingRequest) -> None:
        """Take a request; a fault in it is answered with `Failed`."""
        try:
            if len(self._jobs) >= self._max_waiting:
                raise QueueFull(num_waiting=len(self._jobs))
            reading = reading_of(request, self._windows, self.tokenizer, self._encoding, self.encoder)
            job = _Job(request.request_id, reading)
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
            found = self.encoder.encode([turn.window.passage for _, turn in taken])
        except InferenceFailed as error:
            for job, _ in taken:
                self._fail(job, error)
            return
        num_tokens = sum(len(turn.window.tokens) for _, turn in taken)
        self._totals += Totals(steps=1, sequences=len(taken), prefill_tokens=num_tokens)
        for (job, turn), numbers in zip(taken, found, strict=True):
            if job.request_id in self._jobs:
                self._accept(job, turn, numbers)

    def fail_all(self, error: DemoticError) -> None:
        """Answer every request in flight with `error`: the way out when the engine itself is at fault, or closes."""
        for job in list(self._jobs.values()):
            self._fail(job, error)

    def close(self) -> None:
        """Do nothing: the encoder is closed by whoever loaded it."""

    def _schedule(self) -> list[tuple[_Job, _Turn]]:
        taken: list[tuple[_Job, _Turn]] = []
        num_tokens = 0
        while self._turns and len(taken) < self.encoder.max_sequences:
            job = self._turns[0]
            num_tokens += len(job.waiting[0].window.tokens)
            if taken and num_tokens > self.encoder.batch_size:
                break
            taken.append((job, job.take()))
            self._turns.popleft()
            if job.waiting:
                self._turns.append(job)
        return taken

    def _accept(self, job: _Job, turn: _Turn, found: Vectors) -> None:
        numbers = job.reading.keep(turn.index, turn.place, found)
        if not np.isfinite(numbers).all():
            self._fail(job, InferenceFailed("The model gave numbers that are not finite."))
            return
        kept = job.kept[turn.index]
        kept[turn.place] = numbers
        if len(kept) < len(job.reading.windows[turn.index]):
            return
        self._emit(job.reading.answer(turn.index, [kept[place] for place in sorted(kept)]))
        kept.clear()
        job.num_left -= 1
        if not job.num_left:
            del self._jobs[job.request_id]
            self._emit(job.finished("stop"))

    def _fail(self, job: _Job, error: DemoticError) -> None:
        if self._jobs.pop(job.request_id, None) is None:
            return
        if job.waiting:
            self._turns.remove(job)
        self._emit(Failed(job.request_id, error))
