"""Text as it is searched: without case, width, accents and the marks that Arabic and Hebrew are mostly written without.

Compatibility forms become plain ones (NFKC) and case is folded, both by Unicode. Then marks go that say how a letter
sounds in scripts whose readers leave them out or whose typists cannot type them: Latin, Greek and Cyrillic accents,
Arabic and Hebrew points. Vowel signs of other scripts (Devanagari, Thai and many more) and the voicing marks of kana
are letters to their readers, and stay. Digits of every script become ASCII's.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import regex

_GRAPHEMES = regex.compile(r"\X")
# Marks of no script of their own but the voicing marks of kana, those of the scripts that are written without, and
# what is not seen at all: joiners, marks of direction, soft hyphens.
_DROPPED = regex.compile(
    r"(?![\u3099\u309A])[\p{Mn}&&[\p{Script=Inherited}\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}]]"
    r"|\p{Default_Ignorable_Code_Point}|\N{ARABIC TATWEEL}",
    regex.V1,
)
_BLANK = regex.compile(r"[\s\p{Cc}]")
_DIGIT = regex.compile(r"[\p{Nd}--0-9]", regex.V1)
# Letters that keyboards of neighbours write for each other, and the i without a dot, which is Turkish for a small I.
_ALIKE = str.maketrans({"ی": "ي", "ى": "ي", "ک": "ك", "ة": "ه", "ı": "i"})


def fold(text: str) -> str:
    """`text` as it is searched: what two texts have in common here, a search takes for the same."""
    if text.isascii():
        return _BLANK.sub(" ", text.lower())
    parted = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold())
    # Folding the case may make what NFKC would have made plain.
    whole = unicodedata.normalize("NFKC", _DROPPED.sub("", parted)).translate(_ALIKE)
    # Digits of a newer Unicode than Python's own stay as they are.
    return _BLANK.sub(" ", _DIGIT.sub(lambda found: str(unicodedata.decimal(found[0], found[0])), whole))


@dataclass(frozen=True)
class FoldedText:
    """A text as it is searched, and where in the text each character comes from: a whole grapheme cluster.

    `starts` and `ends` are places in the text, one for each character of `folded`.
    """

    folded: str
    starts: list[int]
    ends: list[int]

    def spans(self, term: str) -> list[tuple[int, int]]:
        """Where in the text `term`, which is folded, stands; on borders of grapheme clusters."""
        found: list[tuple[int, int]] = []
        at = self.folded.find(term)
        while at >= 0:
            last = at + len(term) - 1
            found.append((self.starts[at], self.ends[last]))
            at = self.folded.find(term, last + 1)
        return found


def fold_with_places(text: str, *, most: int | None = None) -> FoldedText:
    """The same as `fold`, with places; of a text longer than `most` characters only so many, and a whole last one."""
    folded: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for match in _GRAPHEMES.finditer(text):
        if most is not None and match.start() >= most:
            break
        cluster = _folded_cluster(match[0])
        folded.append(cluster)
        starts += [match.start()] * len(cluster)
        ends += [match.end()] * len(cluster)
    return FoldedText("".join(folded), starts, ends)


@lru_cache(maxsize=8192)
def _folded_cluster(cluster: str) -> str:
    return fold(cluster)
