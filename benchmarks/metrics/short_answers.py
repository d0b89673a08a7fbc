"""Short answers against lists of right ones, normalised as MultiLoKo does (arXiv 2504.10356, appendix C)."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

_ASCII = frozenset(string.punctuation)
# Symbols that Unicode does not count as punctuation, and the list does.
_MORE = frozenset("〾〿")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


@dataclass(frozen=True)
class Scores:
    """How near an answer is to the nearest of the right ones, from 0 to 1.

    `exact`: it is one of them. `f1`: of the words that both have. `similarity`: Ratcliff and Obershelp's ratio of what
    matches (`difflib`).
    """

    exact: float
    f1: float
    similarity: float


def normalise(text: str) -> str:
    """Small letters, no punctuation of any script, no English articles, single spaces.

    The articles go in every language, as in the paper; later versions of MultiLoKo's script know those of others.
    """
    kept = "".join(char for char in text.lower() if not _is_punctuation(char))
    return " ".join(_ARTICLES.sub(" ", kept).split())


def score(answer: str, targets: Sequence[str]) -> Scores:
    """The scores of an answer; each is that of the target which gives it the most.

    Raises:
        ValueError: there is no target.
    """
    if not targets:
        raise ValueError("there is no right answer")
    said, wanted = normalise(answer), [normalise(target) for target in targets]
    return Scores(
        exact=float(said in wanted),
        f1=max(_f1(said.split(), target.split()) for target in wanted),
        similarity=max(SequenceMatcher(None, said, target).ratio() for target in wanted),
    )


def _is_punctuation(char: str) -> bool:
    # Fullwidth signs are the ASCII ones in another width: ＄ is a symbol for Unicode, and $ is one for `string`.
    return unicodedata.category(char).startswith("P") or unicodedata.normalize("NFKC", char) in _ASCII or char in _MORE


def _f1(said: Sequence[str], wanted: Sequence[str]) -> float:
    num_same = (Counter(said) & Counter(wanted)).total()
    return 2 * num_same / (len(said) + len(wanted)) if num_same else 0.0
