"""A constraint that sleeps until an answer has a certain text, holds from there to its end, and sleeps again."""

from __future__ import annotations

import numpy as np

from runtime.backends.base import Ids, Logits
from runtime.engine.constraints import GrammarMatcher, Matcher, Trigger
from runtime.text.vocabulary import Vocabulary


class TriggeredMatcher:
    """`Matcher` that watches the bytes of an answer, those of control tokens among them."""

    def __init__(self, trigger: Trigger, grammar: GrammarMatcher, vocabulary: Vocabulary) -> None:
        """`grammar` is that of what begins with one of the trigger's texts; it is copied for each."""
        self._trigger = trigger
        self._texts = sorted((text.encode() for text in trigger.texts), key=len, reverse=True)
        self._longest = max(map(len, self._texts))
        self._grammar = grammar
        self._vocabulary = vocabulary
        self._times_left = trigger.times
        self._holding: GrammarMatcher | None = None
        self._skip = _Skip(trigger)
        # The end of the answer so far, as much as may be the beginning of a text that is waited for.
        self._seen = b""
        self._is_begun = False

    @property
    def is_complete(self) -> bool:
        """See `Matcher.is_complete`."""
        return self._times_left == 0

    @property
    def active(self) -> Matcher | None:
        """See `Matcher.active`."""
        return self if self._holding is None and self._trigger.is_after else self._holding

    def restrict(self, row: Logits) -> Ids | None:
        """See `Matcher.restrict`."""
        if self._holding is not None:
            return self._holding.restrict(row)
        if self._trigger.is_after:
            # What is to come after the text must come, so the answer may not end before it.
            row[self._vocabulary.ends] = -np.inf
        return None

    def accept(self, token: int, *, may_foretell: bool = True) -> list[int]:
        """See `Matcher.accept`."""
        if self._holding is None:
            return self._watch(token, may_foretell=may_foretell)
        forced = self._holding.accept(token, may_foretell=may_foretell)
        if self._holding.is_complete:
            self._holding = None
            self._times_left -= 1
        return forced

    def _watch(self, token: int, *, may_foretell: bool) -> list[int]:
        piece = self._vocabulary.pieces[token]
        data = piece or self._vocabulary.tokenizer.token_text(token).encode()
        self._seen += self._skip.pass_over(data)
        if self._trigger.is_first and self._is_begun:
            return []
        found = self._find()
        if found is None:
            self._is_begun = self._is_begun or self._is_past_beginning()
            self._seen = self._seen if self._trigger.is_first else self._seen[-self._longest :]
            return []
        rest, self._seen, self._is_begun = self._seen[found:], b"", True
        if self._trigger.is_after:
            text = next(text for text in self._texts if rest.startswith(text))
            tokens = self._vocabulary.spell(rest[len(text) :].lstrip())
        else:
            # A control token is no text that could be spelled.
            tokens = self._vocabulary.spell(rest) if piece else [token]
        return self._begin(tokens, may_foretell=may_foretell)

    def _begin(self, tokens: list[int], *, may_foretell: bool) -> list[int]:
        """Hold from here on, with `tokens` accepted already, unless the grammar does not know them."""
        holding = self._grammar.copy()
        if holding.matcher.validate_tokens(tokens) < len(tokens):
            if not self._trigger.is_after:
                return []
            tokens = []
        self._holding = holding
        for token in tokens[:-1]:
            holding.accept(token, may_foretell=False)
        return self.accept(tokens[-1], may_foretell=may_foretell) if tokens else []

    def _find(self) -> int | None:
        """Where the text is that came; None where none did."""
        if self._trigger.is_first:
            body = self._seen.lstrip()
            return len(self._seen) - len(body) if any(map(body.startswith, self._texts)) else None
        return min((at for text in self._texts if (at := self._seen.find(text)) >= 0), default=None)

    def _is_past_beginning(self) -> bool:
        body = self._seen.lstrip()
        return not any(text.startswith(body) for text in self._texts)


class _Skip:
    """Reasoning at the beginning of an answer: what is in it is passed over."""

    def __init__(self, trigger: Trigger) -> None:
        start, end = trigger.skip or ("", "")
        self._start, self._end = start.encode(), end.encode()
        self._is_open = trigger.is_skipping
        self._is_done = not end
        self._held = b""

    def pass_over(self, data: bytes) -> bytes:
        """What of the answer so far is no reasoning, and was not given out before."""
        if self._is_done:
            return data
        self._held += data
        if not self._is_open:
            body = self._held.lstrip()
            if body.startswith(self._start):
                self._is_open = True
            elif not self._start.startswith(body):
                return self._finish(self._held)
        if self._is_open and self._end in self._held:
            return self._finish(self._held.partition(self._end)[2])
        return b""

    def _finish(self, rest: bytes) -> bytes:
        self._is_done, self._held = True, b""
        return rest
