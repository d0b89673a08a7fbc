"""Requests that are answered by beam search: taken from a queue together, and computed together until each is done.

Those that begin at the same time make a batch, whose rows are equally long in every step; one that is done leaves it.
Those that come later wait for the next batch. A few batches run side by side, a step of each in turn, so that a long
answer does not hold up all others; where they are as many as may be, those that wait gather, and the next batch is
larger.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from runtime.backends.base import Decoder, Ids, RowDecoder, Rows
from runtime.engine.beam_search import BeamMatcher, Beams, BeamSearch, Found, Limits, to_logprobs
from runtime.engine.choice_trie import ChoiceTrie
from runtime.engine.constraints import ChoiceMatcher, GrammarMatcher
from runtime.engine.messages import (
    Delta,
    Event,
    Failed,
    Finished,
    FinishReason,
    Generate,
    Hypothesis,
    Timings,
    Usage,
)
from runtime.engine.preparation import Restrictions
from runtime.engine.request import adds_space, check_source, given_tokens, prompt_tokens
from runtime.engine.rules import Rules
from runtime.engine.statistics import Totals
from runtime.errors import ContextOverflow, DemoticError, InferenceFailed, InvalidRequest, QueueFull
from runtime.text.stream import TextStream
from runtime.text.tokenizer import Tokenizer

_MAX_BATCHES = 4


class _Job:
    """One request on its way: its source, and what it has to begin its search with."""

    def __init__(
        self,
        request: Generate,
        beams: Beams,
        source: tuple[int, ...],
        given: list[int],
        limits: Limits,
        matcher: BeamMatcher | None,
    ) -> None:
        self.request, self.beams, self.source = request, beams, source
        self.search = BeamSearch(beams, given, limits, matcher)
        self.given, self.max_tokens = given, limits.max_tokens
        self._arrived = time.perf_counter()
        self._started: float | None = None

    def start(self) -> None:
        """Note that it left the queue."""
        self._started = time.perf_counter()

    def finished(self, reason: FinishReason, num_tokens: int = 0) -> Finished:
        """Message that closes the request."""
        now = time.perf_counter()
        started = self._started or now
        usage = Usage(len(self.source), num_tokens, context_tokens=max(len(self.source), num_tokens))
        return Finished(
            self.request.request_id, reason, usage, Timings(started - self._arrived, now - self._arrived, 0.0)
        )


class _Batch:
    """Jobs that began together. `rows` has the rows of each job in turn; `fed` is how many tokens all of them have."""

    def __init__(self, jobs: list[_Job], rows: Rows) -> None:
        self.jobs, self.rows, self.fed = jobs, rows, 0

    def next_tokens(self) -> Ids:
        """The tokens of the next step: at first as many as all were given, then one, given or found."""
        sequences = [tokens for job in self.jobs for tokens in job.search.sequences]
        end = max(self.fed + 1, min(len(tokens) for tokens in sequences))
        tokens = np.array([tokens[self.fed : end] for tokens in sequences], np.int64)
        self.fed = end
        return tokens


class BeamQueue:
    """Turns `Generate`s with beams into `Delta`s, one for each answer, and exactly one `Finished` or `Failed` each."""

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: Tokenizer,
        *,
        max_waiting: int,
        max_answer: int | None,
        emit: Callable[[Event], None],
    ) -> None:
        """Over `decoder`, which may have no `rows`; then every request is refused."""
        self._decoder, self._tokenizer = decoder, tokenizer
        self._max_waiting, self._max_answer, self._emit = max_waiting, max_answer, emit
        self._waiting: deque[_Job] = deque()
        self._batches: list[_Batch] = []
        self.totals = Totals()

    @property
    def has_work(self) -> bool:
        """Whether another `step` would do anything."""
        return bool(self._waiting or self._batches)

    @property
    def num_waiting(self) -> int:
        """Requests that have not begun."""
        return len(self._waiting)

    @property
    def num_running(self) -> int:
        """Requests that have."""
        return sum(len(batch.jobs) for batch in list(self._batches))

    def add(self, request: Generate, restrictions: Restrictions) -> None:
        """Queue a request, whose constraint has been made ready.

        Raises:
            InvalidRequest: something of it cannot be honoured with beams; ContextOverflow where it is too long.
            QueueFull: as many wait as may.
        """
        rows, encoder, beams = self._decoder.rows, self._decoder.sources, request.beams
        if rows is None or encoder is None or beams is None:
            raise InvalidRequest(
                "Only encoder-decoders as ONNX graphs search with beams.",
                remedy="Leave 'num_beams' out.",
                param="num_beams",
            )
        _check(request, self._tokenizer.vocabulary_size)
        beams.check()
        source = prompt_tokens(request, self._tokenizer)
        check_source(request, source, encoder)
        given = given_tokens(request, self._tokenizer, encoder)
        limits = self._limits(request, given, rows)
        if len(self._waiting) >= self._max_waiting:
            raise QueueFull(num_waiting=len(self._waiting))
        matcher = _beam_matcher(restrictions, request, self._tokenizer, rows.ends)
        self._waiting.append(_Job(request, beams, tuple(source), given, limits, matcher))

    def abort(self, request_id: str) -> bool:
        """Take a request back; whether it was here."""
        for job in self._all():
            if job.request.request_id == request_id:
                self._remove(job)
                self._emit(job.finished("cancelled"))
                return True
        return False

    def fail_all(self, error: DemoticError) -> None:
        """Answer every request with `error`."""
        for job in list(self._all()):
            self._remove(job)
            self._emit(Failed(job.request.request_id, error))

    def step(self) -> None:
        """Begin with those that wait, where there is room, and advance each batch by one token."""
        self._begin()
        for batch in list(self._batches):
            try:
                self._advance(batch)
            except InferenceFailed as error:
                for job in list(batch.jobs):
                    self._remove(job)
                    self._emit(Failed(job.request.request_id, error))

    def _begin(self) -> None:
        decoder = self._decoder.rows
        room = 0 if decoder is None else decoder.max_rows
        room -= sum(job.beams.num_beams for batch in self._batches for job in batch.jobs)
        jobs: list[_Job] = []
        for job in self._waiting if len(self._batches) < _MAX_BATCHES else ():
            # Alone a request always fits.
            if job.beams.num_beams > room and (jobs or self._batches):
                break
            room -= job.beams.num_beams
            jobs.append(job)
        if not jobs or decoder is None:
            return
        for job in jobs:
            job.start()
        try:
            rows = decoder.read([job.source for job in jobs])
        except InferenceFailed as error:
            for job in jobs:
                self._waiting.remove(job)
                self._emit(Failed(job.request.request_id, error))
            return
        for job in jobs:
            self._waiting.remove(job)
        self._batches.append(_Batch(jobs, rows))
        self.totals += Totals(prefill_tokens=sum(len(job.source) for job in jobs))

    def _advance(self, batch: _Batch) -> None:
        """One step: the rows of each job go on, to tokens that it was given or to those that its search chooses."""
        logits = batch.rows.step(batch.next_tokens())[:, -1]
        if not logits.flags.writeable:
            logits = logits.copy()
        kept: list[int] = []
        first = num_found = 0
        for job in list(batch.jobs):
            search, num_rows = job.search, job.search.num_rows
            at, first = first, first + num_rows
            if batch.fed < len(job.given):
                kept.append(at)
                continue
            try:
                parents = search.advance(to_logprobs(logits[at:first]))
            except DemoticError as error:
                batch.jobs.remove(job)
                self._emit(Failed(job.request.request_id, error))
                continue
            num_found += search.num_rows
            if search.is_done:
                # Made before the job is let go: should that fail, `fail_all` still finds it, and it is answered.
                messages = self._answers(job)
                batch.jobs.remove(job)
                for message in messages:
                    self._emit(message)
            kept += (parents + at).tolist()
        self.totals += Totals(steps=1, sequences=first, decode_tokens=num_found)
        if batch.jobs:
            batch.rows.keep(np.array(kept))
        else:
            self._batches.remove(batch)

    def _answers(self, job: _Job) -> list[Delta | Finished]:
        """All that is told of a job that is done."""
        hypotheses = [self._told(job, index, found) for index, found in enumerate(job.search.best)]
        found = [each.found for each in hypotheses if each.found is not None]
        reason: FinishReason = found[0].reason if found else "stop"
        return [*hypotheses, job.finished(reason, sum(each.num_tokens for each in found))]

    def _told(self, job: _Job, index: int, found: Found) -> Delta:
        """An answer as its message: from the tokens of the prefix on, cut where the request wants it."""
        request, tokenizer = job.request, self._tokenizer
        num_begin = len(request.begin) or len(job.given) - self._num_prefix(request)
        ends = tokenizer.is_end(found.tokens[-1])
        is_long = len(found.tokens) >= job.max_tokens
        tokens = found.tokens[:-1] if ends else found.tokens
        data = b"".join(map(tokenizer.token_bytes, (*job.given[num_begin:], *tokens)))
        if adds_space(tokenizer):
            data = data.removeprefix(b" ")
        stream = TextStream(request.stop, max_characters=request.max_characters)
        text = stream.push(data) + stream.finish()
        is_cut = stream.is_cut or (is_long and (not ends or bool(request.rules and request.rules.forced_eos)))
        reason: FinishReason = "length" if is_cut and stream.stopped_by is None else "stop"
        return Delta(request.request_id, text, found=Hypothesis(index, found.score, len(tokens), reason))

    def _num_prefix(self, request: Generate) -> int:
        if not request.prefix:
            return 0
        return len(self._tokenizer.encode(request.prefix, parse_special=False, is_beginning=False))

    def _limits(self, request: Generate, given: list[int], rows: RowDecoder) -> Limits:
        room = self._decoder.context_length + 1 - len(given)
        if request.max_tokens is not None and request.max_tokens < 1:
            raise InvalidRequest(f"max_tokens must be at least 1, not {request.max_tokens}.", param="max_tokens")
        if self._max_answer is not None and (request.max_tokens or 0) > self._max_answer:
            raise InvalidRequest(
                f"The request asks for {request.max_tokens} tokens, but this server gives at most {self._max_answer}.",
                remedy="Ask for fewer.",
                param="max_tokens",
            )
        if (request.max_tokens or 1) > room:
            num_tokens = len(given) - 1 + (request.max_tokens or 1)
            raise ContextOverflow(
                num_tokens=num_tokens, context_length=self._decoder.context_length, param=request.param
            )
        rules = request.rules or Rules()
        rules.check(self._tokenizer.vocabulary_size)
        most = room if self._max_answer is None else min(room, self._max_answer)
        return Limits(
            # As transformers counts: a forced first token is of the answer, a prefix that was given is not.
            num_counted=0 if request.prefix else len(given) - 1,
            max_tokens=most if request.max_tokens is None else request.max_tokens,
            ends=rows.ends,
            rules=rules,
            penalty=request.sampling.repetition_penalty,
            bias=tuple(request.sampling.logit_bias.items()),
        )

    def _all(self) -> Iterator[_Job]:
        yield from self._waiting
        for batch in self._batches:
            yield from batch.jobs

    def _remove(self, job: _Job) -> None:
        if job in self._waiting:
            self._waiting.remove(job)
            return
        batch = next(batch for batch in self._batches if job in batch.jobs)
        kept = [(each is not job) for each in batch.jobs for _ in range(each.search.num_rows)]
        batch.jobs.remove(job)
        if batch.jobs:
            batch.rows.keep(np.flatnonzero(kept))
        else:
            self._batches.remove(batch)


def _check(request: Generate, vocabulary_size: int) -> None:
    """Refuse what has no meaning, or is not there, where an answer is searched for."""
    request.sampling.check(vocabulary_size)
    refused = {
        "temperature": request.sampling.temperature > 0,
        "frequency_penalty": request.sampling.frequency_penalty != 0,
        "presence_penalty": request.sampling.presence_penalty != 0,
        "logprobs": request.logprobs is not None or request.prompt_logprobs,
        "adapter": request.adapter is not None,
        "language": request.lock is not None,
    }
    for name, is_asked in refused.items():
        if is_asked:
            raise InvalidRequest(
                f"{name} cannot be had together with num_beams.", remedy="Leave one of them out.", param=name
            )


def _beam_matcher(
    restrictions: Restrictions, request: Generate, tokenizer: Tokenizer, ends: tuple[int, ...]
) -> BeamMatcher | None:
    """The constraint, of which each beam gets its own copy."""
    matcher = restrictions.matcher
    if isinstance(matcher, ChoiceMatcher):
        return ChoiceTrie.of(matcher.choices, tokenizer, ends)
    if matcher is None or isinstance(matcher, GrammarMatcher):
        return matcher
    raise InvalidRequest(
        "This constraint begins in the middle of an answer, which beams cannot follow.",
        param=request.constraint.param if request.constraint is not None else None,
    )
