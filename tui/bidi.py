"""The order in which text stands on a line (UAX #9), for terminals that leave it to the program.

The levels are those of the Rust crate unicode-bidi, through python-bidi, which tells them where it is asked to explain
itself. What depends on a line is done here: the end of a line (L1), the order (L2), mirrored characters (L4).
Combining marks stay behind their letters (as L3 allows), since a terminal puts them on the cell before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import regex
from bidi import get_display  # type: ignore[import-untyped]  # it has no types
from bidi.mirror import MIRRORED  # type: ignore[import-untyped]  # it has no types

Direction = Literal["ltr", "rtl"]

# Characters that could show a text in another order than it is read or run in ("Trojan Source"): embeddings, overrides
# and isolates. The marks LRM, RLM and ALM only count as a letter, and are left to the algorithm.
_CONTROLS = {code: f"<U+{code:04X}>" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_RIGHT_TO_LEFT = regex.compile(r"[\p{bc=R}\p{bc=AL}\p{bc=AN}]")
_STRONG = regex.compile(r"[\p{bc=L}\p{bc=R}\p{bc=AL}]")
# What is at the base level where a line ends (L1). Isolates and embeddings do not come so far.
_TRAILING = regex.compile(r"[\p{bc=WS}\p{bc=BN}]*\Z")
# What could end a paragraph, or cannot be written in UTF-8.
_SEPARATORS = regex.compile(r"[\p{bc=B}\p{Cs}]")
_CLUSTER = regex.compile(r"\X")
_LEVEL = re.compile(r"Level\(\s*(\d+),?\s*\)")
_ISOLATE, _END = "\N{LEFT-TO-RIGHT ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"


@dataclass(frozen=True)
class Cluster:
    """A grapheme cluster: its place in the paragraph, and what is shown of it (mirrored brackets)."""

    start: int
    end: int
    text: str


def visible_controls(text: str) -> str:
    """`text` with every character that could reorder it unseen written out, such as `<U+202E>`."""
    return text.translate(_CONTROLS)


def has_right_to_left(text: str) -> bool:
    """Whether any of it may be shown in another order than it is in."""
    return _RIGHT_TO_LEFT.search(text) is not None


def direction_of(text: str, isolates: Iterable[tuple[int, int]] = (), fallback: Direction = "ltr") -> Direction:
    """The direction of a paragraph: that of its first letter outside `isolates` (P2, P3), without one `fallback`."""
    for found in _STRONG.finditer(text):
        if not any(start <= found.start() < end for start, end in isolates):
            return "rtl" if has_right_to_left(found[0]) else "ltr"
    return fallback


@lru_cache(maxsize=512)
def levels_of(text: str, direction: Direction, isolates: tuple[tuple[int, int], ...] = ()) -> tuple[int, ...]:
    """The embedding level of each character of a paragraph; `isolates` are ranges kept left to right among themselves.

    Overlapping isolates count as one range up to the first one's end.
    """
    if not has_right_to_left(text) and direction == "ltr":
        return (0,) * len(text)
    asked, places = [], []
    at = 0
    for start, end in sorted(isolates):
        if start < at or start == end:
            continue
        for piece, is_text in ((text[at:start], True), (_ISOLATE, False), (text[start:end], True), (_END, False)):
            asked.append(piece)
            places += [is_text] * len(piece)
        at = end
    asked.append(text[at:])
    places += [True] * len(text[at:])
    whole = _SEPARATORS.sub(" ", "".join(asked))
    found = _per_character(whole, _explained(whole, direction))
    return tuple(level for level, is_text in zip(found, places, strict=True) if is_text)


def _explained(text: str, direction: Direction) -> list[int]:
    """unicode-bidi's level of each byte of the UTF-8 text, read from what it tells in `debug`."""
    told: str = get_display(text, base_dir="R" if direction == "rtl" else "L", debug=True)
    levels = told.partition("levels: [")[2].partition("paragraphs: [")[0]
    return [int(level) for level in _LEVEL.findall(levels)]


def _per_character(text: str, levels: Sequence[int]) -> Iterator[int]:
    at = 0
    for character in text:
        yield levels[at]
        at += len(character.encode())


def in_visual_order(text: str, levels: Sequence[int], direction: Direction, start: int, end: int) -> list[Cluster]:
    """The clusters of the line `text[start:end]` of a paragraph from left to right."""
    base = 1 if direction == "rtl" else 0
    tail = end - len(_TRAILING.search(text, start, end)[0])  # type: ignore[index]  # an empty match is always there
    line = [
        (base if found.start() >= tail or found[0] == "\t" else levels[found.start()], found)
        for found in _CLUSTER.finditer(text, start, end)
    ]
    return [Cluster(found.start(), found.end(), _mirrored(found[0], level)) for level, found in _reordered(line)]


def _reordered(line: list[tuple[int, regex.Match[str]]]) -> list[tuple[int, regex.Match[str]]]:
    """L2: from the highest level down to the lowest odd one, every run at that level or above is turned around."""
    odd = [level for level, _ in line if level % 2]
    for lowest in range(max((level for level, _ in line), default=0), min(odd, default=1) - 1, -1):
        at = 0
        while at < len(line):
            stop = at
            while stop < len(line) and line[stop][0] >= lowest:
                stop += 1
            line[at:stop] = line[at:stop][::-1]
            at = stop + 1
    return line


def _mirrored(cluster: str, level: int) -> str:
    return MIRRORED.get(cluster[0], cluster[0]) + cluster[1:] if level % 2 else cluster


def displayed(text: str, direction: Direction | None = None) -> str:
    """One line of text of its own as a terminal that does not reorder must be given it."""
    if not has_right_to_left(text) and direction != "rtl":
        return text
    direction = direction or direction_of(text)
    levels = levels_of(text, direction)
    return "".join(cluster.text for cluster in in_visual_order(text, levels, direction, 0, len(text)))
