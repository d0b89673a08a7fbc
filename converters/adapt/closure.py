"""Which tokens must stay for a token to stay reachable.

Tokenizers that merge (SentencePiece's BPE by scores, BPE by ranks) reach a token over others: "▁the" over "th" and
"▁t", say. What is merged inside a token is the same wherever it stands in a text, since no merge crosses the borders
of the final tokens. So if all that is merged on the way to each kept token is kept, a text whose tokens are all kept is
cut as before: every merge that was made can be made, and every one that can be made could be made before. A Unigram
tokenizer chooses the likeliest path, and a WordPiece tokenizer the longest match, among what is there: what was best
among all is best among fewer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from converters.adapt.vocabulary import NORMAL, UNUSED, Vocabulary

# How urgent the merge of two neighbours is, the smallest first; None where they do not merge.
_Urgency: TypeAlias = Callable[[str, str], float | None]


class Closure:
    """The closure over all vocabularies that read a model's texts: its own, and that of a tokenizer.json beside it."""

    def __init__(self, vocabularies: Sequence[Vocabulary]) -> None:
        """Take vocabularies over the same ids."""
        self._vocabularies = vocabularies
        self._urgencies = [_urgency(vocabulary) for vocabulary in vocabularies]
        self._known: dict[int, frozenset[int]] = {}
        self._made: dict[int, tuple[frozenset[int], bool]] = {}
        self.unsafe = frozenset[int]().union(*(_unsafe(vocabulary) for vocabulary in vocabularies))

    def of(self, token: int) -> frozenset[int]:
        """`token` and all that must stay with it."""
        known = self._known.get(token)
        if known is None:
            known = frozenset(self._close([token]))
            self._known[token] = known
        return known

    def of_all(self, tokens: Iterable[int]) -> set[int]:
        """`tokens` and all that must stay with them."""
        closed: set[int] = set()
        for token in tokens:
            if token not in closed:
                closed |= self.of(token)
        return closed

    def is_reachable(self, token: int) -> bool:
        """Whether a text can hold `token`: its own text is merged to it alone."""
        return self._parts(token)[1]

    def _close(self, tokens: list[int]) -> set[int]:
        closed, waiting = set(tokens), list(tokens)
        while waiting:
            new = self._parts(waiting.pop())[0] - closed
            closed |= new
            waiting += new
        return closed

    def _parts(self, token: int) -> tuple[frozenset[int], bool]:
        """What is made on the way to a token in any of the vocabularies, and whether one of them reaches it."""
        known = self._made.get(token)
        if known is None:
            known = self._made[token] = self._find_parts(token)
        return known

    def _find_parts(self, token: int) -> tuple[frozenset[int], bool]:
        parts: set[int] = set()
        reachable = False
        for vocabulary, urgency in zip(self._vocabularies, self._urgencies, strict=True):
            if token >= len(vocabulary) or vocabulary.types[token] != NORMAL:
                reachable |= token < len(vocabulary) and vocabulary.types[token] != UNUSED
                continue
            if urgency is None:
                reachable = True
                continue
            made, left = merged(vocabulary.pieces[token], urgency)
            if len(left) == 1:
                reachable = True
                parts |= {vocabulary.ids[text] for text in made if text in vocabulary.ids}
        return frozenset(parts), reachable


def merged(text: str, urgency: _Urgency) -> tuple[set[str], list[str]]:
    """All symbols that are there while a text is merged, and those that are left."""
    symbols = list(text)
    seen = set(symbols)
    while True:
        found: tuple[float, int] | None = None
        for at in range(len(symbols) - 1):
            how = urgency(symbols[at], symbols[at + 1])
            if how is not None and (found is None or how < found[0]):  # of equals the first
                found = how, at
        if found is None:
            return seen, symbols
        at = found[1]
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
        seen.add(symbols[at])


def _urgency(vocabulary: Vocabulary) -> _Urgency | None:
    if vocabulary.kind == "spm":
        ids, scores = vocabulary.ids, vocabulary.scores

        def by_score(left: str, right: str) -> float | None:
            token = ids.get(left + right)
            return None if token is None else -scores[token]

        return by_score
    if vocabulary.kind == "bpe":
        ranks: dict[tuple[str, str], int] = {}
        for rank, pair in enumerate(vocabulary.merges):
            ranks.setdefault(pair, rank)
        return lambda left, right: ranks.get((left, right))
    return None


def _unsafe(vocabulary: Vocabulary) -> frozenset[int]:
    """Pieces of words, of WordPiece, that must not stay where others go.

    A word is unknown where the longest matches lead to a character that is no piece by itself. Were a longer match
    dropped, a shorter one could lead around that character, over a piece that has it inside, and the word be read after
    all. No vocabulary that was trained has such pieces.
    """
    if vocabulary.kind != "wordpiece":
        return frozenset()
    inner: dict[str, int] = {}
    for token, piece in enumerate(vocabulary.pieces):
        begins = piece.startswith(vocabulary.word_start) if vocabulary.word_start else False
        if begins or not piece.startswith(vocabulary.continuation) or vocabulary.types[token] != NORMAL:
            continue
        inner[piece.removeprefix(vocabulary.continuation)] = token
    return frozenset(token for text, token in inner.items() if any(char not in inner for char in text[1:]))
