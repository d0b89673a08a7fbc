"""The engine: one model, many requests, one step at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from runtime.backends.base import Chunk, Decoder, Logits
from runtime.engine.messages import Abort, Event, Failed, FinishReason, Generate
from runtime.engine.prefix_store import PrefixStore
from runtime.engine.request import Sequence
from runtime.engine.scheduler import Scheduler, Share, slot_of
from runtime.errors import AdapterNotFound, DemoticError, InferenceFailed
from runtime.text.tokenizer import Tokenizer


class Engine:
    """Turns `Generate`s into `Delta`s and exactly one `Finished` or `Failed` each. It is used from one thread only."""

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: Tokenizer,
        *,
        max_waiting: int,
        emit: Callable[[Event], None],
        max_draft: int = 0,
        store: PrefixStore | None = None,
    ) -> None:
        """`store` keeps prefixes on disk."""
        self.decoder = decoder
        self.tokenizer = tokenizer
        self._emit = emit
        self._adapters: set[str] = set()
        self._store = store
        self._scheduler = Scheduler(decoder, max_waiting=max_waiting, max_draft=max_draft, store=store)

    @property
    def has_work(self) -> bool:
        """Whether another `step` would do anything."""
        return self._scheduler.has_work

    @property
    def num_kept(self) -> int:
        """Finished sequences whose cells later requests may share."""
        return self._scheduler.cache.num_kept

    def generate(self, request: Generate) -> None:
        """Take a request; a fault in it is answered with `Failed`."""
        try:
            if request.adapter is not None and request.adapter not in self._adapters:
                raise AdapterNotFound(request.adapter, known=tuple(self._adapters))
            self._scheduler.add(Sequence(request, self.tokenizer, self.decoder.context_length))
        except DemoticError as error:
            self._emit(Failed(request.request_id, error))

    def attach(self, adapter: str, path: Path) -> None:
        """Load the LoRA at `path`, for requests that name it `adapter`; one of that name that is there already stays.

        Raises:
            ModelLoadFailed: the backend refused it.
        """
        if adapter not in self._adapters:
            self.decoder.attach(adapter, path)
            self._adapters.add(adapter)
            if self._store is not None:
                self._store.add_adapter(adapter, path)

    def abort(self, message: Abort) -> None:
        """Take a request back. One that is done already, or was never here, is left alone."""
        sequence = self._scheduler.find(message.request_id)
        if sequence is not None:
            self._finish(sequence, sequence.text.finish(), "cancelled")

    def step(self) -> None:
        """Advance the running sequences: schedule, forward, update."""
        shares = self._scheduler.schedule()
        started = time.perf_counter()
        try:
            logits = self._forward(shares)
        except InferenceFailed as error:
            for share in shares:
                self._fail(share.sequence, error)
            return
        self._update(shares, logits, started)

    def fail_all(self, error: DemoticError) -> None:
        """Answer every request in flight with `error`: the way out when the engine itself is at fault, or closes."""
        for sequence in (*self._scheduler.running, *self._scheduler.waiting):
            self._fail(sequence, error)

    def close(self) -> None:
        """Save what is worth it; nothing is computed any more."""
        self._scheduler.cache.close()

    def _forward(self, shares: list[Share]) -> Logits:
        chunks = []
        for sequence, num_tokens, draft in shares:
            start, end = sequence.num_computed, sequence.num_computed + num_tokens
            tokens = (*sequence.tokens[start:end], *draft)
            num_logits = 1 + len(draft) if end == len(sequence.tokens) else 0
            chunks.append(Chunk(slot=slot_of(sequence), position=start, tokens=tokens, num_logits=num_logits))
        return self.decoder.forward(chunks, shares[0].sequence.adapter)

    def _update(self, shares: list[Share], logits: Logits, started: float) -> None:
        first = 0
        for share in shares:
            if share.num_tokens < share.sequence.num_pending:
                self._scheduler.advance(share.sequence, share.num_tokens)
                continue
            rows = logits[first : first + 1 + len(share.draft)]
            first += len(rows)
            try:
                num_right = self._accept(share, rows)
            except InferenceFailed as error:
                self._fail(share.sequence, error)
                continue
            if len(shares) == share.num_tokens == 1:
                seconds = time.perf_counter() - started
                self._scheduler.speculation.observe(len(share.draft), num_right, seconds)

    def _accept(self, share: Share, rows: Logits) -> int:
        """Sample from `rows`, one after each guess, for as long as the guesses are right; the number of those."""
        sequence, texts = share.sequence, []
        num_right = 0
        for row, guess in zip(rows, (*share.draft, None), strict=True):
            token = sequence.sampler.sample(row)
            text, reason = sequence.accept(token, self.tokenizer)
            texts.append(text)
            if reason is not None or token != guess:
                break
            num_right += 1
        self._scheduler.advance(sequence, share.num_tokens + num_right)
        if num_right < len(share.draft):
            self._scheduler.cut(sequence)
        sequence.num_drafted += len(share.draft)
        sequence.num_accepted += num_right
        text = "".join(texts)
        if reason is not None:
            self._finish(sequence, text, reason)
        elif text:
            self._emit(sequence.delta(text))
        return num_right

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
