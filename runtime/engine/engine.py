"""The engine: one model, many requests, one step at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from runtime.backends.base import Chunk, Decoder, Ids, Logits
from runtime.engine.beams import BeamQueue
from runtime.engine.constraints import ConstraintCompiler, restrict_rows
from runtime.engine.logprobs import token_data, token_logprob
from runtime.engine.messages import (
    Abort,
    Delta,
    EncodingRequest,
    Event,
    Failed,
    Finished,
    FinishReason,
    Generate,
    Timings,
    TokenLogprob,
    Usage,
)
from runtime.engine.prefix_store import PrefixStore
from runtime.engine.preparation import Preparation, Restrictions
from runtime.engine.request import Sequence
from runtime.engine.scheduler import Scheduler, Share, slot_of
from runtime.engine.speculation import Outcome
from runtime.engine.statistics import EngineStatistics, Spent, Totals
from runtime.errors import AdapterNotFound, DemoticError, InferenceFailed, InvalidRequest, QueueFull
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
        max_answer: int | None = None,
        store: PrefixStore | None = None,
        wake: Callable[[], None] | None = None,
    ) -> None:
        """Emit the events of requests to `emit`.

        `max_answer` is the most tokens that a request may ask for, and that one gets which asks for no length. `store`
        keeps prefixes on disk. `wake` is called from another thread when `take_prepared` has something to do; without
        it everything is done in the thread that calls.
        """
        self.decoder = decoder
        self.tokenizer = tokenizer
        self.context_length = decoder.context_length
        self._emit = emit
        self._preparation = Preparation(ConstraintCompiler(tokenizer), wake)
        self._max_waiting = max_waiting
        self._max_answer = max_answer
        self._adapters: set[str] = set()
        self._spent = dict.fromkeys(Spent.__struct_fields__, 0.0)
        self._store = store
        self._scheduler = Scheduler(decoder, max_waiting=max_waiting, max_draft=max_draft, store=store)
        self._beams = BeamQueue(decoder, tokenizer, max_waiting=max_waiting, max_answer=max_answer, emit=emit)

    @property
    def has_work(self) -> bool:
        """Whether another `step` would do anything."""
        return self._scheduler.has_work or self._beams.has_work

    @property
    def num_kept(self) -> int:
        """Finished sequences whose cells later requests may share."""
        return self._scheduler.cache.num_kept

    @property
    def statistics(self) -> EngineStatistics:
        """What it has done, and what it holds at this moment. This alone may be asked from any thread."""
        queues, cache = self._scheduler, self._scheduler.cache
        return EngineStatistics(
            totals=queues.totals + self._beams.totals,
            num_waiting=len(queues.waiting) + self._beams.num_waiting,
            num_running=len(queues.running) + self._beams.num_running,
            num_kept=cache.num_kept,
            num_cells=self.decoder.num_cells,
            num_free_cells=cache.num_free_cells,
            spent=Spent(**self._spent),
        )

    def generate(self, request: Generate) -> None:
        """Take a request; a fault in it is answered with `Failed`."""
        try:
            if request.adapter is not None and request.adapter not in self._adapters:
                raise AdapterNotFound(request.adapter, known=tuple(self._adapters))
            if request.constraint is None and request.lock is None:
                self._queue(request, Restrictions())
            elif len(self._preparation.requests) >= self._max_waiting:
                raise QueueFull(num_waiting=self._max_waiting)
            else:
                self._preparation.begin(request)
                self.take_prepared()
        except DemoticError as error:
            self._emit(Failed(request.request_id, error))

    def encode(self, request: EncodingRequest) -> None:
        """Refuse: this model makes no vectors."""
        message = "The model generates text (/v1/chat/completions, /v1/completions) and gives no vectors."
        self._emit(Failed(request.request_id, InvalidRequest(message, param="model")))

    def take_prepared(self) -> None:
        """Queue the requests whose constraints and locks are ready to be followed."""
        for request, result in self._preparation.take():
            try:
                if isinstance(result, DemoticError):
                    raise result
                self._queue(request, result)
            except DemoticError as error:
                self._emit(Failed(request.request_id, error))

    def _queue(self, request: Generate, restrictions: Restrictions) -> None:
        decoder = self.decoder
        if request.beams is not None:
            self._beams.add(request, restrictions)
            return
        started = time.perf_counter()
        sequence = Sequence(
            request,
            self.tokenizer,
            decoder.context_length,
            restrictions,
            max_answer=self._max_answer,
            encoder=decoder.sources,
        )
        self._spent["tokenizing"] += time.perf_counter() - started
        self._scheduler.add(sequence)

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
        elif self._beams.abort(message.request_id):
            return
        elif self._preparation.drop(message.request_id) is not None:
            self._emit(Finished(message.request_id, "cancelled", Usage(0, 0), Timings(0.0, 0.0, 0.0)))

    def step(self) -> None:
        """Advance the running sequences: schedule, forward, update. Then the beams, if there are any."""
        if self._scheduler.has_work:
            self._step_sequences()
        if self._beams.has_work:
            self._beams.step()

    def _step_sequences(self) -> None:
        shares = self._scheduler.schedule()
        started = time.perf_counter()
        try:
            if self._scheduler.sources is not None:
                num_encoded = self._scheduler.sources.encode(self._scheduler.running)
                self._scheduler.totals += Totals(prefill_tokens=num_encoded)
            logits = self._forward(shares)
        except InferenceFailed as error:
            for share in shares:
                self._fail(share.sequence, error)
            return
        self._spent["computing"] += time.perf_counter() - started
        before = [(share.sequence.num_generated, share.sequence.num_accepted, _num_prefill(share)) for share in shares]
        self._update(shares, logits, started)
        self._scheduler.totals += Totals(
            steps=1,
            sequences=len(shares),
            prefill_tokens=sum(prefill for _, _, prefill in before),
            decode_tokens=sum(share.sequence.num_generated for share in shares) - sum(one for one, _, _ in before),
            drafted_tokens=sum(len(share.draft) for share in shares),
            accepted_tokens=sum(share.sequence.num_accepted for share in shares) - sum(one for _, one, _ in before),
        )

    def fail_all(self, error: DemoticError) -> None:
        """Answer every request in flight with `error`: the way out when the engine itself is at fault, or closes."""
        for sequence in (*self._scheduler.running, *self._scheduler.waiting):
            self._fail(sequence, error)
        self._beams.fail_all(error)
        for request in self._preparation.requests:
            self._preparation.drop(request.request_id)
            self._emit(Failed(request.request_id, error))

    def close(self) -> None:
        """Save what is worth it, and wait until no other thread uses the tokenizer; nothing is computed any more."""
        self._scheduler.cache.close()
        self._preparation.close()

    def _forward(self, shares: list[Share]) -> Logits:
        chunks = []
        for share in shares:
            sequence, start = share.sequence, share.sequence.num_computed
            tokens = (*sequence.tokens[start : start + share.num_tokens], *share.draft)
            chunks.append(Chunk(slot=slot_of(sequence), position=start, tokens=tokens, num_logits=share.num_logits))
        return self.decoder.forward(chunks, shares[0].sequence.adapter)

    def _update(self, shares: list[Share], logits: Logits, started: float) -> None:
        first = 0
        sampled: list[tuple[Share, Logits, Logits | None]] = []
        for share in shares:
            rows = logits[first : first + share.num_logits]
            first += len(rows)
            if share.sequence.wants_prompt_logprobs:
                self._tell_prompt(share, rows)
                rows = rows[-1:]
            if share.num_tokens < share.sequence.num_pending:
                self._scheduler.advance(share.sequence, share.num_tokens)
            else:
                # Logprobs are the model's own, and both constraint and sampler write into the rows.
                sampled.append((share, rows, None if share.sequence.num_logprobs is None else rows.copy()))
        began = time.perf_counter()
        few = iter(
            restrict_rows(
                (share.sequence.matcher, rows[0]) for share, rows, _ in sampled if share.sequence.matcher is not None
            )
        )
        self._spent["sampling"] += time.perf_counter() - began
        outcomes = []
        for share, rows, originals in sampled:
            allowed = next(few) if share.sequence.matcher is not None else None
            try:
                num_right = self._accept(share, rows, originals, allowed)
            except (InferenceFailed, InvalidRequest) as error:
                self._fail(share.sequence, error)
            else:
                outcomes.append(Outcome(share.sequence, len(share.draft), num_right))
        if len(outcomes) == len(shares) and all(share.num_tokens == 1 for share in shares):
            self._scheduler.speculation.observe(outcomes, time.perf_counter() - started)

    def _tell_prompt(self, share: Share, rows: Logits) -> None:
        """Tell the logprobs of the prompt's tokens that follow those of `share`."""
        sequence, told = share.sequence, list[TokenLogprob]()
        if sequence.next_prompt_logprob == 0:
            first = sequence.tokens[0]
            told.append(TokenLogprob(first, token_data(first, self.tokenizer), None))
            sequence.next_prompt_logprob = 1
        for row, position in zip(rows, range(sequence.num_computed + 1, sequence.num_given), strict=False):
            # One that was preempted reads its prompt a second time.
            if position == sequence.next_prompt_logprob:
                token = sequence.tokens[position]
                told.append(self._logprob(row, token, sequence))
                sequence.next_prompt_logprob += 1
        self._emit(Delta(sequence.request_id, "", tuple(told), is_prompt=True))

    def _accept(self, share: Share, rows: Logits, originals: Logits | None, allowed: Ids | None) -> int:
        """Sample from `rows`, one after each guess, for as long as the guesses are right; the number of those.

        Where a constraint leaves few tokens, `allowed` are these, and nothing was guessed. `originals` are the rows
        before anything was written into them, where logprobs are wanted.
        """
        sequence, texts = share.sequence, []
        if sequence.num_left == 0:
            self._scheduler.advance(sequence, share.num_tokens)
            self._finish(sequence, "", "length")
            return 0
        num_right = 0
        for row, guess in zip(rows, (*share.draft, None), strict=True):
            started = time.perf_counter()
            if sequence.lock is not None:
                allowed = sequence.lock.restrict(row, allowed, is_constrained=sequence.matcher is not None)
            if allowed is not None and len(allowed) == 0:
                raise InvalidRequest("The model's vocabulary cannot write what the answer's constraint asks for.")
            if sequence.has_rules:
                sequence.restrict(row, self._ends)
            token = sequence.sampler.sample(row, allowed)
            self._spent["sampling"] += time.perf_counter() - started
            if originals is not None and not self.tokenizer.is_end(token):
                sequence.logprobs.append(self._logprob(originals[num_right], token, sequence))
            started = time.perf_counter()
            text, reason = sequence.accept(token, self.tokenizer)
            self._spent["detokenizing"] += time.perf_counter() - started
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

    @cached_property
    def _ends(self) -> tuple[int, ...]:
        if self.decoder.rows is not None:
            return self.decoder.rows.ends
        tokenizer = self.tokenizer
        return tuple(token for token in range(tokenizer.vocabulary_size) if tokenizer.is_end(token))

    def _logprob(self, row: Logits, token: int, sequence: Sequence) -> TokenLogprob:
        return token_logprob(row, token, sequence.num_logprobs or 0, self.tokenizer, also=sequence.logprob_tokens)

    def _finish(self, sequence: Sequence, text: str, reason: FinishReason) -> None:
        # Made before the sequence is let go: should that fail, `fail_all` still finds it, and it is answered.
        last = sequence.finished(reason)
        self._scheduler.finish(sequence)
        if text or sequence.logprobs:
            self._emit(sequence.delta(text))
        self._emit(last)

    def _fail(self, sequence: Sequence, error: DemoticError) -> None:
        # A backend that just failed may fail again when asked to forget; the request must be answered all the same.
        with suppress(InferenceFailed):
            self._scheduler.discard(sequence)
        self._emit(Failed(sequence.request_id, error))


def _num_prefill(share: Share) -> int:
    """Tokens of the prompt in its part of a step that is not noted yet."""
    left = share.sequence.num_given - share.sequence.num_computed
    return max(0, min(share.num_tokens, left))
