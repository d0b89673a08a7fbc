"""Plots of results: bars, lines with their spread, and heat maps, as SVG or PNG by the file's name.

Colours are told apart by people who are colour-blind (viridis's kin, and the palette of Okabe and Ito); grounds are
light. Text stays in Latin letters, because a machine may lack fonts for others. The same data make the same SVG.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.errors import ConfigurationInvalid, InvalidRequest
from runtime.models.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png")
# Okabe, Ito: Color Universal Design (2008).
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")
_INK, _MUTED, _GRID = "#222222", "#666666", "#dddddd"
_STYLE: Any = {  # matplotlib types the keys of its settings one by one
    "svg.hashsalt": "demotic",  # so that identifiers in an SVG are the same each time
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _MUTED,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
_WIDTH = 9.0  # inches; a README shows as many hundreds of pixels
_DPI = 130
# The width of a letter of a title and of a note, in inches.
_TITLE_LETTER, _NOTE_LETTER = 0.105, 0.06
# Of a heat map, in inches: a cell, and a letter of a row's name.
_CELL_WIDTH, _CELL_HEIGHT, _LETTER = 0.84, 0.2, 0.066


@dataclass(frozen=True)
class Line:
    """A line of a plot: `low` and `high` are the ends of the spread at each x, where there is one."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


def check_target(path: Path) -> None:
    """Refuse early what could not be written later.

    Raises:
        InvalidRequest: the file's name ends in neither .svg nor .png.
        ConfigurationInvalid: the extra `plot` is not installed.
    """
    if path.suffix.casefold() not in SUFFIXES:
        raise InvalidRequest(f"{path} is no name of a plot.", remedy=f"End it in {' or '.join(SUFFIXES)}.")
    _figure_class()


def bars(
    path: Path,
    title: str,
    unit: str,
    groups: Mapping[str, Mapping[str, float]],
    *,
    note: str = "",
    form: str = "{:.3g}",
) -> None:
    """Horizontal bars, each with its value: for each group, in order, one by series.

    `groups` maps a group's name to its values by the name of the series; all have the same series. `unit` stands below
    the axis, `note` at the foot.
    """
    names = list(groups)
    series = list(next(iter(groups.values())))
    thickness = 0.8 / len(series)
    figure, axes = _new(1.0 + len(names) * (0.12 + 0.22 * len(series)))
    longest = max(value for values in groups.values() for value in values.values())
    for at, one in enumerate(series):
        values = [groups[name][one] for name in names]
        places = [row + (at - (len(series) - 1) / 2) * thickness for row in range(len(names))]
        axes.barh(places, values, height=thickness * 0.92, color=COLOURS[at % len(COLOURS)], label=one)
        for place, value in zip(places, values, strict=True):
            axes.text(value + longest * 0.008, place, form.format(value), va="center", size=8.5, color=_INK)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, longest * 1.1)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(unit)
    if len(series) > 1:
        axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(series))
    _save(figure, axes, path, title, note)


def lines(path: Path, title: str, x_label: str, y_label: str, drawn: Sequence[Line], *, note: str = "") -> None:
    """Lines through points, with a band or bars from the least to the most; the y axis begins at nothing."""
    figure, axes = _new(4.6)
    for at, line in enumerate(drawn):
        colour = COLOURS[at % len(COLOURS)]
        marker = "osD^vPX"[at % 7]
        axes.plot(line.x, line.y, color=colour, marker=marker, markersize=5, linewidth=1.8, label=line.name)
        if line.low is not None and line.high is not None:
            axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.18, linewidth=0)
            axes.vlines(line.x, line.low, line.high, color=colour, linewidth=1)
    axes.set_ylim(bottom=0)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if len(drawn) > 1:
        axes.legend(frameon=False)
    _save(figure, axes, path, title, note)


@dataclass(frozen=True)
class Column:
    """A column of a heat map: `form` writes its values; `is_high_good` is None where its cells stay white."""

    head: str
    form: str = "{:.3g}"
    is_high_good: bool | None = False


def heat_map(
    path: Path,
    title: str,
    rows: Sequence[str],
    columns: Sequence[Column],
    values: Sequence[Sequence[float | None]],
    *,
    note: str = "",
    blocks: int = 1,
) -> None:
    """Values in cells, `values[row][column]`, None where there is none; the better a value, the lighter its cell.

    Each column has its own scale, from its best to its worst value, by logarithm where all are positive. `blocks` is in
    how many parts, side by side, the rows stand.
    """
    height = math.ceil(len(rows) / blocks)
    blocks = math.ceil(len(rows) / height)
    # In cells: a block is as wide as its names and its columns.
    names_width = max(map(len, rows)) * _LETTER / _CELL_WIDTH + 0.2
    step = names_width + len(columns) + 0.3
    num_lines = max(column.head.count("\n") + 1 for column in columns)
    figure, axes = _new(0.8 + 0.17 * num_lines + _CELL_HEIGHT * height, width=step * blocks * _CELL_WIDTH)
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    # Light is good, dark is dear; told apart in grey too, and with every kind of colour-blindness.
    colours = colormaps["YlGnBu"]
    for block in range(blocks):
        for at, column in enumerate(columns):
            place = block * step + names_width + at + 0.5
            axes.text(place, -0.25, column.head, ha="center", va="bottom", size=7.5, linespacing=1.1)
    for at, name in enumerate(rows):
        block, row = divmod(at, height)
        axes.text(block * step + names_width - 0.12, row + 0.5, name, ha="right", va="center_baseline", size=8)
    for at, column in enumerate(columns):
        mine = [cells[at] for cells in values]
        for number, (value, shade) in enumerate(zip(mine, _shades(mine, column.is_high_good), strict=True)):
            block, row = divmod(number, height)
            left = block * step + names_width + at
            colour = "white" if shade is None else colours(shade)
            axes.add_patch(Rectangle((left, row), 1, 1, facecolor=colour, edgecolor="white", linewidth=0.8))
            label = "–" if value is None else column.form.format(value)
            ink = "white" if shade is not None and _is_dark(colours(shade)) else _INK
            axes.text(left + 0.5, row + 0.5, label, ha="center", va="center_baseline", size=8, color=ink)
    axes.set_xlim(0, step * blocks - 0.3)
    axes.set_ylim(height, 0)
    axes.axis("off")
    _save(figure, axes, path, title, note, pad=4 + 11 * num_lines)


def _wrapped(text: str, width: float) -> str:
    """`text` in lines of at most `width` letters; its own line ends stay."""
    return "\n".join(textwrap.fill(line, int(width)) for line in text.splitlines())


def _shades(values: Sequence[float | None], is_high_good: bool | None) -> list[float | None]:
    """0 (best) to 1 (worst) for each value of a column; None where there is no value, or none is to be seen."""
    known = [value for value in values if value is not None]
    if is_high_good is None or not known:
        return [None] * len(values)
    scale = math.log if min(known) > 0 else float
    low, high = scale(min(known)), scale(max(known))
    places = [None if value is None else (scale(value) - low) / ((high - low) or 1.0) for value in values]
    return [None if place is None else 1 - place for place in places] if is_high_good else places


def _is_dark(colour: Sequence[float]) -> bool:
    """Whether white letters read better on it: by luminance, as ITU-R BT.709 weighs red, green and blue."""
    red, green, blue = colour[:3]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5


def _figure_class() -> type[Figure]:
    try:
        from matplotlib.figure import Figure
    except ImportError as missing:
        raise ConfigurationInvalid(
            "Plots need matplotlib, which is not installed.", remedy="Install the extra: pip install 'demotic[plot]'."
        ) from missing
    return Figure


def _new(height: float, width: float = _WIDTH) -> tuple[Figure, Axes]:
    """A figure without a window or a global state, and its axes; inches."""
    kind = _figure_class()
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        figure = kind(figsize=(width, height), layout="constrained")
        return figure, figure.add_subplot()


def _save(figure: Figure, axes: Axes, path: Path, title: str, note: str, pad: float = 14) -> None:
    """Write the whole file or none; an SVG has no date and no random names.

    Raises:
        InvalidRequest: the file cannot be written.
    """
    import matplotlib as mpl

    width = figure.get_figwidth()
    figure.suptitle(_wrapped(title, width / _TITLE_LETTER), x=0.01, ha="left", size=12, weight="bold")
    axes.set_title(" ", size=1, pad=pad)
    if note:
        figure.supxlabel(_wrapped(note, width / _NOTE_LETTER), x=0.01, ha="left", size=8, color=_MUTED)
    kind = path.suffix.casefold().removeprefix(".")
    drawn = io.BytesIO()
    with mpl.rc_context(_STYLE):
        if kind == "svg":
            figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
        else:
            figure.savefig(drawn, format="png", dpi=_DPI, metadata={"Software": None})
    try:
        write_atomically(path, drawn.getvalue())
    except OSError as fault:
        raise InvalidRequest(f"{path} cannot be written: {fault.strerror}.") from fault
