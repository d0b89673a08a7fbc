"""Keeping an answer in the scripts of its language: a bias, or a mask, over the vocabulary for each next token.

A vocabulary is read once, and a mask of it made once for each set of scripts; at a token there is one addition to the
row of logits. Tokens that are parts of characters are followed byte by byte (UTF-8, RFC 3629): a sequence that no
character of the scripts completes cannot begin.

Exempt are shared digits and punctuation (`scripts.allowed_code_points`), code fences and what stands between marks
(`regions.py`), and what a grammar leaves no free choice about.
"""

from __future__ import annotations

import codecs
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from runtime.backends.base import Ids, Logits
from runtime.config import LockConfig
from runtime.errors import InvalidRequest
from runtime.language.codes import parse
from runtime.language.regions import Regions, Span
from runtime.language.scripts import allowed_code_points, main_scripts, to_scripts
from runtime.text.vocabulary import Vocabulary

LockMode = Literal["soft", "hard"]
# The user's own language.
AUTO = "auto"
Mask = npt.NDArray[np.bool_]

_CONFIG = LockConfig()


class Lock(msgspec.Struct, frozen=True):
    """The answer is to be in `scripts` (ISO 15924), but for what stands in `exempt` spans.

    "soft" makes tokens of other scripts unlikely, "hard" impossible.
    """

    scripts: tuple[str, ...]
    mode: LockMode = _CONFIG.mode
    exempt: tuple[Span, ...] = ()


def lock_of(
    said: str,
    *,
    language: str | None = None,
    scripts: Sequence[str] | None = None,
    mode: LockMode | None = None,
    exempt: Sequence[Span] = (),
) -> Lock | None:
    """What keeps an answer to `said` in `scripts`, or else in the script of `language`; None where neither is given.

    For the language "auto" it is what `said` is written in, and nothing is kept where that has no letters.

    Raises:
        UnknownLanguage, InvalidRequest: there is no such language or script, or a mode and nothing to keep.
    """
    if mode is not None and not (language or scripts):
        raise InvalidRequest("A mode of keeping to a language needs 'language' or 'scripts'.", param="mode")
    if scripts:
        kept = to_scripts(scripts)
    elif language == AUTO:
        kept = main_scripts(said)
    else:
        kept = to_scripts([parse(language, param="language").script], param="language") if language else ()
    return Lock(kept, mode or _CONFIG.mode, tuple(exempt)) if kept else None


class LockMaker:
    """Makes locks over one vocabulary; the first one takes up to a second where that is large."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._tokens = _Tokens(vocabulary)
        self._masks: OrderedDict[tuple[str, ...], ScriptMasks] = OrderedDict()

    def make(self, lock: Lock) -> ScriptLock:
        """The lock of an answer that has not begun.

        Raises:
            InvalidRequest: a script is unknown.
        """
        return ScriptLock(self._masks_of(to_scripts(lock.scripts)), lock)

    def _masks_of(self, scripts: tuple[str, ...]) -> ScriptMasks:
        masks = self._masks.pop(scripts, None) or ScriptMasks(self._tokens, scripts)
        self._masks[scripts] = masks
        if len(self._masks) > _CONFIG.max_masks:
            self._masks.popitem(last=False)
        return masks


class ScriptLock:
    """Where one answer stands, and what that allows."""

    def __init__(self, masks: ScriptMasks, lock: Lock) -> None:
        self.num_blocked = 0
        self._masks = masks
        self._is_hard = lock.mode == "hard"
        self._regions = Regions(lock.exempt)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rejected: int | None = None
        self._begun: dict[tuple[str, ...], Ids] = {}

    def restrict(self, row: Logits, allowed: Ids | None = None, *, is_constrained: bool = False) -> Ids | None:
        """Make what is foreign unlikely, or impossible, in `row`, float32 of shape (vocabulary_size,).

        Where the answer `is_constrained`, only free text is restricted, and never so that nothing is left. Then the row
        has -inf for what may not follow, or `allowed` are the tokens that may.

        Returns:
            `allowed`, or None where the row has all that there is to know now.
        """
        self._rejected = None
        if not self._regions.is_prose:
            return allowed
        if is_constrained and (_count(row) if allowed is None else len(allowed)) < _CONFIG.least_free_share * len(row):
            return allowed
        if allowed is not None:
            _keep(row, allowed, -np.inf)
        self._restrict(row, is_constrained=is_constrained)
        return None

    def _restrict(self, row: Logits, *, is_constrained: bool) -> None:
        top = int(row.argmax())
        pending, _ = self._decoder.getstate()
        within = self._continued(pending)
        marks = self._beginnings(tuple(mark.left for mark in self._regions.marks()))
        is_foreign = self._masks.foreign[top] and top not in marks if within is None else top not in within
        if is_constrained and is_foreign and not self._leaves(row, within):
            return
        if is_foreign:
            self._rejected = top
        if within is not None:
            _keep(row, within, -np.inf if self._is_hard else -_CONFIG.soft_bias)
            return
        kept = row[marks]
        row += self._masks.hard if self._is_hard else self._masks.soft
        row[marks] = kept

    def accept(self, token: int, data: bytes) -> None:
        """Go on by `token`, chosen or foretold, which stands for `data` in the text."""
        if self._rejected is not None:
            self.num_blocked += token != self._rejected
            self._rejected = None
        self._regions.push(self._decoder.decode(data))

    def _continued(self, pending: bytes) -> Ids | None:
        """The only tokens that may come within a character or a mark; None between them."""
        if pending:
            return self._masks.continuations(pending)
        # A mark whose letters could stand nowhere else is written to its end.
        begun = tuple(mark.left for mark in self._regions.marks() if self._masks.has_foreign(mark.written))
        tokens = self._beginnings(begun)
        return tokens if len(tokens) else None

    def _beginnings(self, texts: tuple[str, ...]) -> Ids:
        """The tokens that one of `texts` begins with."""
        if texts not in self._begun:
            self._begun[texts] = self._masks.beginnings(texts)
        return self._begun[texts]

    def _leaves(self, row: Logits, within: Ids | None) -> bool:
        """Whether a token is left in `row` that is not foreign."""
        kept = row[~self._masks.foreign] if within is None else row[within]
        return bool(len(kept)) and bool(kept.max() > -np.inf)


class ScriptMasks:
    """What a set of scripts allows of a vocabulary."""

    def __init__(self, tokens: _Tokens, scripts: tuple[str, ...]) -> None:
        self._tokens = tokens
        self._characters = allowed_code_points(scripts)
        self._continuations: dict[bytes, Ids | None] = {}
        self.foreign = tokens.with_any(~self._characters)
        for token, piece in tokens.partial.items():
            self.foreign[token] = not self._can_follow(b"", piece)

    @cached_property
    def hard(self) -> Logits:
        """What is added to a row between characters."""
        return np.where(self.foreign, np.float32(-np.inf), np.float32(0))

    @cached_property
    def soft(self) -> Logits:
        """See `hard`."""
        return np.where(self.foreign, np.float32(-_CONFIG.soft_bias), np.float32(0))

    def has_foreign(self, text: str) -> bool:
        """Whether `text` has a foreign character."""
        return not all(self._characters[ord(char)] for char in text)

    def continuations(self, pending: bytes) -> Ids | None:
        """The tokens that may follow bytes which are not a whole character yet; None where none can complete them."""
        if pending not in self._continuations:
            found = [token for token, piece in self._tokens.inner if self._can_follow(pending, piece)]
            self._continuations[pending] = np.array(found, np.int64) if found else None
        return self._continuations[pending]

    def beginnings(self, texts: Sequence[str]) -> Ids:
        """The tokens that one of `texts` begins with."""
        vocabulary = self._tokens.vocabulary
        found = {token for text in texts for token in vocabulary.beginnings(text.encode())}
        return np.fromiter(sorted(found), np.int64, len(found))

    def _can_follow(self, pending: bytes, piece: bytes) -> bool:
        """Whether the bytes of a token make allowed characters of those before it, whole or still to be completed."""
        decoder = codecs.getincrementaldecoder("utf-8")("strict")
        try:
            text = decoder.decode(pending + piece)
        except UnicodeDecodeError:
            return False
        left, _ = decoder.getstate()
        return not self.has_foreign(text) and (not left or bool(self._characters[_code_points(left)].any()))


class _Tokens:
    """A vocabulary as text: the characters of all tokens one after the other, and the tokens that are no whole ones."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.partial: dict[int, bytes] = {}
        texts = list(self._texts())
        self._codes = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
        self._ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
        # Those that a character which is not whole can go on with.
        self.inner = [(token, piece) for token, piece in self.partial.items() if 0x80 <= piece[0] < 0xC0]

    def _texts(self) -> Iterator[str]:
        for token, piece in enumerate(self.vocabulary.pieces):
            try:
                yield piece.decode()
            except UnicodeDecodeError:
                self.partial[token] = piece
                yield ""

    def with_any(self, characters: Mask) -> Mask:
        """The tokens, of whole characters, that have any of `characters`, which are by code point."""
        counts = np.concatenate(([0], np.cumsum(characters[self._codes], dtype=np.int64)))[self._ends]
        return np.diff(counts, prepend=0) > 0


def _code_points(start: bytes) -> slice:
    """The characters whose UTF-8 begins with `start`, which is well-formed so far."""
    size = 2 if start[0] < 0xE0 else 3 if start[0] < 0xF0 else 4
    code = start[0] & (0x7F >> size)
    for byte in start[1:]:
        code = code << 6 | byte & 0x3F
    left = 6 * (size - len(start))
    # Not those that a shorter sequence stands for.
    least = (0, 0, 0x80, 0x800, 0x10000)[size]
    return slice(max(code << left, least), (code + 1) << left)


def _keep(row: Logits, tokens: Ids, bias: float) -> None:
    """Add `bias` to all of `row` but `tokens`."""
    kept = row[tokens]
    row += np.float32(bias)
    row[tokens] = kept


def _count(row: Logits) -> int:
    """How many tokens a grammar leaves: many in free text, few in keys, numbers and choices."""
    return int(np.count_nonzero(row > -np.inf))
