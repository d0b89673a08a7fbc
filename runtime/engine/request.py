"""A request on its way through the engine."""

from __future__ import annotations

import time
from collections.abc import Sequence as Many

from runtime.backends.base import Logits, SourceEncoder
from runtime.engine.constraints import control_token
from runtime.engine.messages import Between, Delta, Finished, FinishReason, Generate, Timings, TokenLogprob, Usage
from runtime.engine.preparation import Restrictions
from runtime.engine.sampling import Sampler
from runtime.errors import ContextOverflow, InvalidRequest
from runtime.text.stream import TextStream
from runtime.text.tokenizer import Tokenizer


class Sequence:
    """One request's tokens, how many of them the KV cache holds, and the state of its sampling and its text.

    The first `num_given` of its `tokens` were given, and the rest is the answer. With an encoder-decoder the prompt is
    the `source`, and what is given is how answers begin; otherwise there is no source.
    """

    def __init__(
        self,
        request: Generate,
        tokenizer: Tokenizer,
        context_length: int,
        restrictions: Restrictions | None = None,
        *,
        max_answer: int | None = None,
        encoder: SourceEncoder | None = None,
    ) -> None:
        """Tokenise the prompt and check that prompt and answer fit; `restrictions` are the request's, made ready.

        `max_answer` is the most tokens that it may ask for; without a length of its own it gets at most so many.
        `encoder` reads the prompt, if the model has one.

        Raises:
            InvalidRequest: the prompt is empty, or a value is out of its range.
            ContextOverflow: prompt and answer need more than `context_length` tokens.
        """
        request.sampling.check(tokenizer.vocabulary_size)
        for token in request.logprob_tokens:
            if not 0 <= token < tokenizer.vocabulary_size:
                raise InvalidRequest(f"There is no token {token}: the vocabulary has {tokenizer.vocabulary_size}.")
        prompt = prompt_tokens(request, tokenizer)
        self.source: tuple[int, ...] = ()
        num_read = len(prompt)
        if encoder is not None:
            check_source(request, prompt, encoder)
            self.source, prompt = tuple(prompt), given_tokens(request, tokenizer, encoder)
            num_read = len(prompt) - 1
        elif request.begin or request.prefix:
            raise InvalidRequest("This model goes on from its prompt: put there what the answer begins with.")
        least = 0 if request.prompt_logprobs else 1
        if request.max_characters is not None and request.max_characters < 1:
            message = f"max_characters must be at least 1, not {request.max_characters}."
            raise InvalidRequest(message, param="max_characters")
        if request.max_tokens is not None and request.max_tokens < least:
            raise InvalidRequest(f"max_tokens must be at least {least}, not {request.max_tokens}.", param="max_tokens")
        if max_answer is not None and (request.max_tokens or 0) > max_answer:
            raise InvalidRequest(
                f"The request asks for {request.max_tokens} tokens, but this server gives at most {max_answer} to one.",
                remedy="Ask for fewer.",
                param="max_tokens",
            )
        num_tokens = num_read + (1 if request.max_tokens is None else request.max_tokens)
        if num_tokens > context_length:
            raise ContextOverflow(num_tokens=num_tokens, context_length=context_length, param=request.param)
        self.request_id = request.request_id
        self.adapter = request.adapter
        self.tokens = prompt
        self.num_given = len(prompt)
        if request.max_tokens is None:
            num_tokens = context_length if max_answer is None else min(context_length, num_read + max_answer)
        # The token that all answers begin with takes nothing of the context: nobody asked for it.
        self.max_length = num_tokens + len(prompt) - num_read
        self.num_computed = 0
        self.slot: int | None = None
        self.sampler = Sampler(request.sampling, prompt)
        self.text = TextStream(request.stop, max_characters=request.max_characters)
        controls = {control_token(text, tokenizer): text.encode() for text in request.visible}
        self._visible = {token: data for token, data in controls.items() if token is not None}
        self.num_generated = 0
        self.num_cached_tokens = 0
        self.num_drafted = 0
        self.num_accepted = 0
        self.matcher = None if restrictions is None else restrictions.matcher
        self.lock = None if restrictions is None else restrictions.lock
        self.num_logprobs = request.logprobs
        self.logprob_tokens = request.logprob_tokens
        # Position of the next token of the prompt to be told of; the first one has no logprob.
        self.next_prompt_logprob = 0 if request.prompt_logprobs else len(prompt)
        self.logprobs: list[TokenLogprob] = []
        # Guesses change the shape of the batch, and with it the last bits of a quantized model's logits. Where the
        # answer is constrained, what can be foretold is known without guessing.
        self.may_draft = request.sampling.seed is None and self.matcher is None and encoder is None
        # Such vocabularies write the first word as if a space stood before it. A grammar knows of none.
        self._drops_space = encoder is not None and self.matcher is None and adds_space(tokenizer)
        self._rules = request.rules
        if request.rules is not None:
            request.rules.check(tokenizer.vocabulary_size)
        # Text of the answer that is known before its first token.
        self._begun = self._begin(request, prompt, tokenizer) if request.prefix else ""
        self._arrived = time.perf_counter()
        self._started: float | None = None
        self._first: float | None = None
        self._last = self._arrived

    @property
    def num_pending(self) -> int:
        """Tokens that are known but not in the KV cache yet: 1 while generating, more while reading the prompt."""
        return len(self.tokens) - self.num_computed

    @property
    def num_left(self) -> int:
        """Tokens that the answer may still grow by."""
        return self.max_length - len(self.tokens)

    @property
    def has_rules(self) -> bool:
        """Whether `restrict` does anything."""
        return self._rules is not None

    def restrict(self, row: Logits, ends: Many[int]) -> None:
        """Write -inf into `row` where its rules forbid the next token."""
        if self._rules is not None:
            self._rules.apply(row, self.tokens, self.num_given, self.num_left, ends)

    def mark_started(self, *, num_cached: int) -> None:
        """Note that it left the queue, with so many tokens that need no computing; one that returned left it before."""
        if self._started is None:
            self._started = time.perf_counter()
            self.num_cached_tokens = num_cached

    def accept(self, token: int, tokenizer: Tokenizer) -> tuple[str, FinishReason | None]:
        """Take the sampled token, and those that its constraint leaves no choice about.

        Returns:
            The text that they make certain, and the reason when the last of them ends the answer.

        Raises:
            InferenceFailed, InvalidRequest: the constraint cannot be followed any further, or not with this vocabulary.
        """
        text, reason = self._append(token, tokenizer)
        text, self._begun = self._begun + text, ""
        if reason is not None or self.matcher is None:
            return text, reason
        # A token that costs no step has no logits either.
        for forced in self.matcher.accept(token, may_foretell=self.num_logprobs is None):
            self.sampler.note(forced)
            more, reason = self._append(forced, tokenizer)
            text += more
            if reason is not None:
                return text, reason
        if not self.matcher.is_complete:
            return text, None
        rest, reason = self._end()
        return text + rest, reason

    def _begin(self, request: Generate, given: Many[int], tokenizer: Tokenizer) -> str:
        """The text of the prefix, as far as it is certain."""
        num_tokens = len(tokenizer.encode(request.prefix, parse_special=False, is_beginning=False))
        data = b"".join(map(tokenizer.token_bytes, given[len(given) - num_tokens :]))
        if self._drops_space:
            data, self._drops_space = data.removeprefix(b" "), False
        return self.text.push(data)

    def _append(self, token: int, tokenizer: Tokenizer) -> tuple[str, FinishReason | None]:
        self._last = time.perf_counter()
        self._first = self._first or self._last
        if tokenizer.is_end(token):
            is_forced = self._rules is not None and bool(self._rules.forced_eos) and self.num_left == 1
            rest, reason = self._end()
            return rest, "length" if is_forced else reason
        self.tokens.append(token)
        self.num_generated += 1
        is_full = len(self.tokens) >= self.max_length
        data = self._visible.get(token) or tokenizer.token_bytes(token)
        if self._drops_space and data:
            data, self._drops_space = data.removeprefix(b" "), False
        if self.lock is not None:
            self.lock.accept(token, data)
        text = self.text.push(data)
        if is_full:
            text += self.text.finish()
        if self.text.stopped_by is not None:
            return text, "stop"
        return text, "length" if is_full or self.text.is_full else None

    def _end(self) -> tuple[str, FinishReason]:
        """The rest of the text of an answer that ended by itself."""
        text = self.text.finish()
        return text, "length" if self.text.is_cut else "stop"

    @property
    def wants_prompt_logprobs(self) -> bool:
        """Whether the logits after each token of its prompt are still wanted."""
        return self.next_prompt_logprob < self.num_given

    def delta(self, text: str) -> Delta:
        """Message that carries `text`, and the logprobs that have not been sent."""
        logprobs, self.logprobs = tuple(self.logprobs), []
        return Delta(self.request_id, text, logprobs)

    def finished(self, reason: FinishReason) -> Finished:
        """Message that closes the request."""
        started = self._started or self._last
        first = self._first or self._last
        return Finished(
            self.request_id,
            reason,
            Usage(
                len(self.source) or self.num_given,
                self.num_generated,
                self.num_cached_tokens,
                drafted_tokens=self.num_drafted,
                accepted_tokens=self.num_accepted,
                blocked_tokens=0 if self.lock is None else self.lock.num_blocked,
                context_tokens=max(len(self.source), self.num_generated) if self.source else len(self.tokens),
            ),
            Timings(queued=started - self._arrived, first_token=first - self._arrived, decode=self._last - first),
            stopped_by=self.text.stopped_by,
        )


def prompt_tokens(request: Generate, tokenizer: Tokenizer) -> list[int]:
    """The tokens that are read. Raises as `Sequence` does."""
    if isinstance(request.prompt, str):
        tokens = tokenizer.encode(request.prompt, parse_special=request.parse_special)
    elif isinstance(request.prompt, Between):
        text = tokenizer.encode(request.prompt.text, parse_special=False, is_beginning=False)
        tokens = [*request.prompt.before, *text, *request.prompt.after]
    else:
        tokens = list(request.prompt)
        for token in tokens:
            if not 0 <= token < tokenizer.vocabulary_size:
                raise InvalidRequest(
                    f"The prompt has token {token}, but the vocabulary has {tokenizer.vocabulary_size} tokens.",
                    param=request.param,
                )
    if not tokens:
        raise InvalidRequest("The prompt is empty.", param=request.param)
    return tokens


def given_tokens(request: Generate, tokenizer: Tokenizer, encoder: SourceEncoder) -> list[int]:
    """The tokens that an answer to a source begins with."""
    begin = request.begin or encoder.start
    if not request.prefix:
        return list(begin)
    return [*begin, *tokenizer.encode(request.prefix, parse_special=False, is_beginning=False)]


def check_source(request: Generate, tokens: Many[int], encoder: SourceEncoder) -> None:
    """Refuse a source that the encoder cannot read. Raises as `Sequence` does."""
    if request.prompt_logprobs:
        raise InvalidRequest(
            "This model encodes its prompt and writes an answer to it, so the prompt's tokens have no logprobs.",
            remedy="Leave 'echo' out, or send the prompt as text and no 'logprobs'.",
            param="echo",
        )
    if len(tokens) > encoder.context_length:
        raise ContextOverflow(num_tokens=len(tokens), context_length=encoder.context_length, param=request.param)


def adds_space(tokenizer: Tokenizer) -> bool:
    """Whether the vocabulary puts a space before the first word of a text."""
    first, *_ = tokenizer.encode("a", parse_special=False, is_beginning=False)
    return tokenizer.token_bytes(first).startswith(b" ")
