"""The engine: one model, many requests, one step at a time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from runtime.backends.base import Chunk, Decoder, Logits
from runtime.engine.messages import Abort, Event, Failed, FinishReason, Generate
from runtime.engine.request import Sequence
from runtime.engine.scheduler import Scheduler, Share, slot_of
from runtime.engine.statistics import EngineStatistics, Totals
from runtime.errors import DemoticError, InferenceFailed
from runtime.text.tokenizer import Tokenizer


class Engine:
    """Turns `Generate`s into `Delta`s and exactly one `Finished` or `Failed` each. It is used from one thread only."""

    def __init__(
        self, decoder: Decoder, tokenizer: Tokenizer, *, max_waiting: int, emit: Callable[[Event], None]
    ) -> None:
        self.decoder = decoder
        self.tokenizer = tokenizer
        self._emit = emit
        self._scheduler = Scheduler(decoder, max_waiting=max_waiting)

    @property
    def has_work(self) -> bool:
        """Whether another `step` would do anything."""
        return self._scheduler.has_work

    @property
    def num_kept(self) -> int:
        """Finished sequences whose cells later requests may share."""
        return self._scheduler.cache.num_kept

    @property
    def statistics(self) -> EngineStatistics:
        """What it has done, and what it holds at this moment. This alone may be asked from any thread."""
        queues, cache = self._scheduler, self._scheduler.cache
        return EngineStatistics(
            totals=queues.totals,
            num_waiting=len(queues.waiting),
            num_running=len(queues.running),
            num_kept=cache.num_kept,
            num_cells=self.decoder.num_cells,
            num_free_cells=cache.num_free_cells,
        )

    def generate(self, request: Generate) -> None:
        """Take a request; a fault in it is answered with `Failed`."""
        try:
            self._scheduler.add(Sequence(request, self.tokenizer, self.decoder.context_length))
        except DemoticError as error:
            self._emit(Failed(request.request_id, error))

    def abort(self, message: Abort) -> None:
        """Take a request back. One that is done already, or was never here, is left alone."""
        sequence = self._scheduler.find(message.request_id)
        if sequence is not None:
            self._finish(sequence, sequence.text.finish(), "cancelled")

    def step(self) -> None:
        """Advance every running sequence: schedule, forward, update."""
        shares = self._scheduler.schedule()
        try:
            logits = self._forward(shares)
        except InferenceFailed as error:
            for sequence, _ in shares:
                self._fail(sequence, error)
            return
        num_prefill, num_generated = _num_prefill(shares), _num_generated(shares)
        self._update(shares, logits)
        self._scheduler.totals += Totals(
            steps=1,
            sequences=len(shares),
            prefill_tokens=num_prefill,
            decode_tokens=_num_generated(shares) - num_generated,
        )

    def fail_all(self, error: DemoticError) -> None:
        """Answer every request in flight with `error`: the way out when the engine itself is at fault, or closes."""
        for sequence in (*self._scheduler.running, *self._scheduler.waiting):
            self._fail(sequence, error)

    def _forward(self, shares: list[Share]) -> Logits:
        return self.decoder.forward(
            [
                Chunk(
                    slot=slot_of(sequence),
                    position=sequence.num_computed,
                    tokens=sequence.tokens[sequence.num_computed : sequence.num_computed + count],
                    wants_logits=count == sequence.num_pending,
                )
                for sequence, count in shares
            ]
        )

    def _update(self, shares: list[Share], logits: Logits) -> None:
        rows = iter(logits)
        for sequence, count in shares:
            is_caught_up = count == sequence.num_pending
            self._scheduler.advance(sequence, count)
            if not is_caught_up:
                continue
            try:
                token = sequence.sampler.sample(next(rows))
            except InferenceFailed as error:
                self._fail(sequence, error)
                continue
            text, reason = sequence.accept(token, self.tokenizer)
            if reason is not None:
                self._finish(sequence, text, reason)
            elif text:
                self._emit(sequence.delta(text))

    def _finish(self, sequence: Sequence, text: str, reason: FinishReason) -> None:
        # Made before the sequence is let go: should that fail, `fail_all` still finds it, and it is answered.
        last = sequence.finished(reason)
        self._scheduler.finish(sequence)
        if text:
            self._emit(sequence.delta(text))
        self._emit(last)

    def _fail(self, sequence: Sequence, error: DemoticError) -> None:
        # A backend that just failed may fail again when asked to forget; the request must be answered all the same.
        with suppress(InferenceFailed):
            self._scheduler.discard(sequence)
        self._emit(Failed(sequence.request_id, error))


def _num_prefill(shares: list[Share]) -> int:
    """Tokens of prompts among those of a step that is not noted yet."""
    return sum(max(0, min(count, sequence.num_prompt_tokens - sequence.num_computed)) for sequence, count in shares)


def _num_generated(shares: list[Share]) -> int:
    return sum(sequence.num_generated for sequence, _ in shares)
