"""A line of several parts that fits so many cells: the least important are shortened and left out first."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

_BETWEEN = " · "
_FULL, _EMPTY = "▰", "▱"


def bar(share: float, width: int) -> str:
    """A share from 0 to 1 as a bar; something shows of anything over 0."""
    filled = min(width, max(1 if share > 0 else 0, round(share * width)))
    return _FULL * filled + _EMPTY * (width - filled)


def fitted(parts: Sequence[Sequence[str]], steps: Sequence[int], width: int) -> str:
    """The parts, each from its longest form to its shortest one; an empty form leaves it out.

    `steps` are the parts to take the next form of, one after the other, until the line fits `width` cells. Where it
    never does, the first part is cut.
    """
    at = [0] * len(parts)
    for step in (None, *steps):
        if step is not None:
            at[step] = min(at[step] + 1, len(parts[step]) - 1)
        forms = [part[place] for part, place in zip(parts, at, strict=True)]
        line = _BETWEEN.join(form for form in forms if form)
        if cell_len(line) <= width:
            return line
    over = cell_len(line) - width
    first = set_cell_size(forms[0], max(0, cell_len(forms[0]) - over - 1)).rstrip() + "…"
    return _BETWEEN.join(form for form in (first, *forms[1:]) if form)
