"""A list of texts as a trie over token ids, each spelled as the tokenizer spells it and in no other way.

Beams that follow it find every text once; with `ChoiceMatcher`, which allows all spellings, they would find one text
several times. Texts may have added tokens, such as `<A1><A9>`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runtime.backends.base import Ids, Logits
from runtime.errors import InvalidRequest
from runtime.text.tokenizer import Tokenizer


class ChoiceTrie:
    """`BeamMatcher` over a list of texts; `rest` is what is left of each text that the answer can still become."""

    def __init__(self, rest: Sequence[tuple[int, ...]], ends: tuple[int, ...]) -> None:
        self._rest, self._ends = rest, ends

    @classmethod
    def of(cls, choices: Sequence[bytes], tokenizer: Tokenizer, ends: tuple[int, ...]) -> ChoiceTrie:
        """The trie of an answer that has not begun.

        Raises:
            InvalidRequest: the vocabulary cannot write one of the texts.
        """
        spelled = []
        for choice in choices:
            text = choice.decode()
            tokens = tokenizer.encode(text, parse_special=True, is_beginning=False)
            written = b"".join(map(tokenizer.token_bytes, tokens)).decode(errors="replace")
            if not tokens or written.removeprefix(" ") not in (text, text.removeprefix(" ")):
                raise InvalidRequest(f"The model's vocabulary cannot write {text!r:.40}.", param="guided_choice")
            spelled.append(tuple(tokens))
        return cls(spelled, ends)

    def copy(self) -> ChoiceTrie:
        """See `BeamMatcher.copy`."""
        return ChoiceTrie(self._rest, self._ends)

    def restrict(self, row: Logits) -> Ids:  # noqa: ARG002  # the Protocol's
        """See `Matcher.restrict`."""
        allowed = {rest[0] for rest in self._rest if rest}
        if not all(self._rest):
            allowed.update(self._ends)
        return np.fromiter(sorted(allowed), np.int64)

    def accept(self, token: int, *, may_foretell: bool = True) -> list[int]:  # noqa: ARG002  # the Protocol's
        """See `Matcher.accept`."""
        self._rest = [rest[1:] for rest in self._rest if rest[:1] == (token,)]
        return []
