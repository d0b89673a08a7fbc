"""Text in a terminal: right-to-left paragraphs in visual order, and every cluster in the cells that it takes.

Textual wraps the text first, in the order in which it is read; then each line is put in order (UAX #9). Every piece on
the screen keeps its place in the text, by which Textual selects: what is copied is in the order in which it is read.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.app import RenderResult
from textual.content import Content
from textual.strip import Strip
from textual.style import Style
from textual.visual import RenderOptions
from textual.widgets import Static

from tui.bidi import Cluster, Direction, direction_of, in_visual_order, levels_of
from tui.terminal import Terminal, restored, terminal_of

# What Markdown's inline code is styled with.
_CODE_STYLE = ".code_inline"
# What is styled with this, such as a string within JSON, is kept apart from what is around it.
ISOLATE = Style.from_meta({"isolate": True})
_SIGN = re.compile(r"[!-/:-@\[-`{-~]")
_APART = (_CODE_STYLE, ISOLATE)
_ALIGNMENTS = ("text_align", "content_align_horizontal")


class Paragraph(Content):
    """A text whose lines are each put in order.

    Inline code, an `ISOLATE`, and every token of a block of code is kept left to right within it; a block of code is so
    as a whole. `fallback` is the direction of lines without letters.
    """

    def __init__(
        self, content: Content, terminal: Terminal, *, is_code: bool = False, fallback: Direction = "ltr"
    ) -> None:
        super().__init__(terminal.measurable(str(content)), list(content.spans))
        self._terminal = terminal
        self._is_code = is_code
        self._fallback: Direction = fallback

    def towards(self, fallback: Direction) -> Paragraph:
        """The same text with another `fallback`."""
        return Paragraph(self, self._terminal, is_code=self._is_code, fallback=fallback)

    def __str__(self) -> str:
        return restored(self.plain)  # it is what is copied

    def render_strips(self, width: int, height: int | None, style: Style, options: RenderOptions) -> list[Strip]:
        """Textual's lines, each in the order in which it is shown."""
        strips = super().render_strips(width, height, style, options)
        if self._fallback == "ltr" and self._terminal.is_plain(self.plain):
            return strips
        is_left = all(options.rules.get(rule, "left") in {"left", "start"} for rule in _ALIGNMENTS)
        background = style.background_style.rich_style
        lines = [self._line(line.expand_tabs(8)) for line in self.split(allow_blank=True)]
        shown = []
        for strip in strips:
            pieces = _pieces_of(strip)
            if not pieces:
                shown.append(strip)
                continue
            line = lines[pieces[0].y]
            row = Strip(line.segments(pieces, self._terminal))
            if line.direction == "rtl" and is_left:
                row = _right(row, width, background, (pieces[-1].end, pieces[-1].y))
            shown.append(row)
        return shown

    def _line(self, line: Content) -> Line:
        text = line.plain
        isolates = tuple((span.start, span.end) for span in line.spans if self._is_code or span.style in _APART)
        if not self._terminal.lays_out:
            return Line("ltr", (0,) * len(text))
        direction = "ltr" if self._is_code else direction_of(text, isolates, self._fallback)
        return Line(direction, levels_of(_masked(line), direction, isolates))


class Laid(Static):
    """A widget whose text is put in order."""

    def render(self) -> RenderResult:
        """See `Static.render`."""
        visual = super().render()
        return Paragraph(visual, terminal_of(self)) if isinstance(visual, Content) else visual


class Piece(NamedTuple):
    """What Textual shows of a line with one style, `x` characters from the line's beginning."""

    x: int
    y: int
    text: str
    style: RichStyle

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.x + len(self.text)


@dataclass(frozen=True)
class Line:
    """A line of a text before it is wrapped: its direction, and the level of each character."""

    direction: Direction
    levels: tuple[int, ...]

    def clusters(self, text: str, first: int) -> list[Cluster]:
        """The clusters of one row of it from left to right; `text` is what is shown from character `first` on."""
        levels = [*self.levels[first : first + len(text)]]
        levels += [1 if self.direction == "rtl" else 0] * (len(text) - len(levels))  # an ellipsis, a cursor
        shown = in_visual_order(text, levels, self.direction, 0, len(text))
        return [Cluster(first + cluster.start, first + cluster.end, cluster.text) for cluster in shown]

    def segments(self, pieces: list[Piece], terminal: Terminal) -> Iterator[Segment]:
        """One row of it from left to right."""
        starts = [piece.x for piece in pieces]
        for run in _runs(self.clusters("".join(piece.text for piece in pieces), starts[0]), starts):
            piece = pieces[bisect_right(starts, run[0].start) - 1]
            whole = "".join(cluster.text for cluster in run)
            is_plain = terminal.pieces(whole) == [whole]
            for x, part in [(run[0].start, whole)] if is_plain else [(cluster.start, cluster.text) for cluster in run]:
                style = piece.style + RichStyle.from_meta({"offset": (x, piece.y)})
                yield from (Segment(shown, style) for shown in terminal.pieces(part))


def _masked(line: Content) -> str:
    """The text with a letter for every sign in its inline code, over which no order reaches."""
    text = line.plain
    for span in line.spans:
        if span.style == _CODE_STYLE:
            text = text[: span.start] + _SIGN.sub("a", text[span.start : span.end]) + text[span.end :]
    return text


def _runs(clusters: Iterable[Cluster], starts: list[int]) -> Iterator[list[Cluster]]:
    """Clusters that follow each other in the text as well as on the screen, and have the same style."""
    run: list[Cluster] = []
    for cluster in clusters:
        if run and (cluster.start != run[-1].end or cluster.start in starts):
            yield run
            run = []
        run.append(cluster)
    if run:
        yield run


def _pieces_of(strip: Strip) -> list[Piece]:
    pieces = []
    for text, style, _ in strip:
        if style is not None and text and "offset" in style.meta:
            x, y = style.meta["offset"]
            pieces.append(Piece(x, y, text, style))
    return pieces


def _right(strip: Strip, width: int, style: RichStyle, end: tuple[int, int]) -> Strip:
    """The line at the right; a selection that begins or ends left of it has the line's end there."""
    blank = Segment(" ", style + RichStyle.from_meta({"offset": end}))
    return Strip([*[blank] * max(0, width - strip.cell_length), *strip])
