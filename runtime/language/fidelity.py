"""How much of an answer is in the language that was asked for, and whether it keeps to the scripts of a lock.

Both look at prose alone: code in fences is in no language, and no lock is on it (`regions.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import regex

from runtime.language.codes import Language
from runtime.language.detect import CONFIDENT, MAX_CHARS, detect
from runtime.language.regions import Regions
from runtime.language.scripts import foreign_characters, main_scripts, to_scripts

_LETTERS = regex.compile(r"\p{L}")
_LINES = regex.compile(r"[^\n]*\n|[^\n]+")
_HAN = frozenset({"Hans", "Hant"})


@dataclass(frozen=True)
class Fidelity:
    """`share`: of the letters, those in the language asked for, from 0 to 1.

    It is None where there are no letters, or too few of the language's script to be sure of any language.

    `found` has the languages that the text is in, such as `bul_Cyrl`, with their shares, the largest first. The rest is
    in parts too small or too unsure for a verdict.
    """

    share: float | None
    found: tuple[tuple[str, float], ...] = ()


def fidelity_to(language: Language, text: str) -> Fidelity:
    """How much of `text` is in `language`, by what `detect` makes of it; Chinese counts in both of its scripts.

    Parts in the script of `language` whose own language is not sure are left out of the reckoning.

    The first verdict on a script of several languages loads the classifier, as in `detect`.
    """
    shares: defaultdict[Language, float] = defaultdict(float)
    total = 0.0
    for window in _windows(prose_of(text)):
        num_letters = len(_LETTERS.findall(window))
        total += num_letters
        for part in detect(window).parts:
            if part.confidence < CONFIDENT and part.language.script == language.script:
                total -= part.share * num_letters
            else:
                shares[part.language] += part.share * num_letters
    # What is left of an unsure text by rounding is no letter.
    if total < 1:
        return Fidelity(None)
    found = sorted(((each, share / total) for each, share in shares.items()), key=lambda one: one[1], reverse=True)
    own = sum((share for each, share in found if _is_same(each, language)), 0.0)
    return Fidelity(min(1.0, round(own, 3)), tuple((str(each), round(share, 3)) for each, share in found))


def foreign_to(text: str, language: Language | None, prompt: str) -> str:
    """The characters of the prose of `text` that a lock on `language` keeps out; None is that of the prompt."""
    scripts = to_scripts([language.script]) if language is not None else main_scripts(prompt)
    return foreign_characters(prose_of(text), scripts) if scripts else ""


def prose_of(text: str) -> str:
    """`text` without what is in code fences."""
    regions = Regions()
    kept = []
    for char in text:
        if regions.is_prose:
            kept.append(char)
        regions.push(char)
    return "".join(kept)


def _windows(text: str) -> Iterator[str]:
    """`text` in pieces that `detect` reads whole, broken at the ends of lines where they are short enough."""
    window = ""
    for line in _LINES.findall(text):
        if window and len(window) + len(line) > MAX_CHARS:
            yield window
            window = ""
        for at in range(0, len(line), MAX_CHARS):
            piece = line[at : at + MAX_CHARS]
            if len(piece) == MAX_CHARS:
                yield piece
            else:
                window += piece
    if window:
        yield window


def _is_same(found: Language, asked: Language) -> bool:
    return found.code == asked.code and (found.script == asked.script or {found.script, asked.script} <= _HAN)
