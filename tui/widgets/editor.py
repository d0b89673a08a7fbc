"""An editor of several lines for every script: its cursor goes by grapheme clusters, and stands where they are shown.

Textual's editor counts characters. Here a key moves over a cluster or deletes it, a right-to-left line is put in order
with its cursor, and the terminal's own cursor, where input methods show what is composed, goes along.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import regex
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.document._document import EditResult, Location, Selection
from textual.document._edit import Edit
from textual.geometry import Offset
from textual.strip import Strip
from textual.widgets import TextArea

from tui.bidi import Cluster, direction_of, levels_of
from tui.laid import Line, Piece
from tui.terminal import JOINER, STAND_IN, Terminal, restored, terminal_of

_CLUSTER = regex.compile(r"\X")
# What people type that Python does not count as printable: joiners, marks of direction, tags of flags.
_TYPED = regex.compile(r"[\u200c-\u200f\u061c\U000e0020-\U000e007f]")


class Editor(TextArea):
    """See the module. `value` is the text; that of `TextArea` may have stand-ins in it."""

    def __init__(self, **options: object) -> None:
        super().__init__(highlight_cursor_line=False, **options)  # type: ignore[arg-type]  # they are TextArea's
        self.match_cursor_bracket = False

    @property
    def value(self) -> str:
        """The text."""
        return restored(self.text)

    @value.setter
    def value(self, text: str) -> None:
        self.load_text(terminal_of(self).measurable(text))
        self.move_cursor(self.document.end)

    @property
    def selected_text(self) -> str:
        """What is marked."""
        return restored(super().selected_text)

    def insert_text_at_cursor(self, text: str) -> None:
        """Write `text` as if it was typed."""
        self._replace_via_keyboard(text, *self.selection)

    def edit(self, edit: Edit) -> EditResult:
        """See `TextArea.edit`; a joiner is written so that its cells are counted rightly."""
        row, column = edit.top
        line = self.document.get_line(row)
        terminal = terminal_of(self)
        if line[:column].endswith(STAND_IN) and terminal.measurable(JOINER + edit.text[:1]).startswith(JOINER):
            edit.text, edit.from_location, edit.to_location = JOINER + edit.text, (row, column - 1), edit.bottom
        after = self.document.get_line(edit.bottom[0])[edit.bottom[1] :][:1]
        edit.text = terminal.measurable(edit.text + after)[: len(edit.text)]
        return super().edit(edit)

    async def _on_key(self, event: events.Key) -> None:
        if event.character is not None and _TYPED.fullmatch(event.character) and not self.read_only:
            event.stop()
            event.prevent_default()
            self.insert_text_at_cursor(event.character)

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        if not self.read_only:
            self.insert_text_at_cursor("\n".join(event.text.replace("\r\n", "\n").split("\r")))

    def get_cursor_left_location(self) -> Location:
        """One cluster back."""
        row, column = self.cursor_location
        if column == 0:
            return super().get_cursor_left_location()
        return row, max(at for at in (0, *_ends(self.document.get_line(row))) if at < column)

    def get_cursor_right_location(self) -> Location:
        """One cluster on."""
        row, column = self.cursor_location
        return next(
            ((row, at) for at in _ends(self.document.get_line(row)) if at > column), super().get_cursor_right_location()
        )

    def action_cursor_left(self, select: bool = False) -> None:
        """To the left as it is seen, which in a right-to-left line is on."""
        move = super().action_cursor_right if self._is_right_to_left else super().action_cursor_left
        move(select)

    def action_cursor_right(self, select: bool = False) -> None:
        """To the right as it is seen."""
        move = super().action_cursor_left if self._is_right_to_left else super().action_cursor_right
        move(select)

    def render_line(self, y: int) -> Strip:
        """A line as the terminal is to show it."""
        strip = super().render_line(y)
        row = self._row(y + self.scroll_offset.y)
        if not self.text or row is None or row.is_plain:
            return strip
        pieces, at = [], row.start
        for segment in strip.crop(0, row.num_cells):
            pieces.append(Piece(at, y, segment.text, segment.style or Style()))
            at += len(segment.text)
        shown = Strip(row.line.segments(pieces, terminal_of(self)))
        return Strip([Segment(" " * row.indent, self.rich_style), *shown]).extend_cell_length(
            strip.cell_length, self.rich_style
        )

    def get_target_document_location(self, event: events.MouseEvent) -> Location:
        """The place in the text where the mouse is seen."""
        x, y = event.x - self.gutter.left, event.y + self.scroll_offset.y - self.gutter.top
        row = self._row(y)
        if row is None or row.is_plain:
            return super().get_target_document_location(event)
        return row.number, row.column_at(x)

    @property
    def cursor_screen_offset(self) -> Offset:
        """Where the cursor is seen, and so what an input method composes."""
        found = super().cursor_screen_offset
        x, y = self._cursor_offset
        row = self._row(y)
        if row is None or row.is_plain:
            return found
        return found + Offset(row.cell_of(self.cursor_location[1]) - x, 0)

    @property
    def _is_right_to_left(self) -> bool:
        line = self.document.get_line(self.cursor_location[0])
        return terminal_of(self).lays_out and direction_of(line) == "rtl"

    def _validate_selection(self, selection: Selection) -> Selection:
        """Nothing begins or ends within a cluster."""
        start, end = super()._validate_selection(selection)
        return Selection(self._outside(start), self._outside(end))

    def _outside(self, location: Location) -> Location:
        row, column = location
        line = self.document.get_line(row)
        return row, next((at for at in (0, *_ends(line)) if at >= column), column)

    def _row(self, y: int) -> _Row | None:
        """What is shown in the row `y` of the wrapped text; None below its end."""
        wrapped = self.wrapped_document
        if not 0 <= y < wrapped.height:
            return None
        number, section = wrapped._offset_to_line_info[y]  # noqa: SLF001  # no public name
        starts = [0, *wrapped.get_offsets(number), len(self.document.get_line(number))]
        return _Row(
            number,
            self.document.get_line(number),
            starts[section],
            starts[section + 1],
            is_last=section == len(starts) - 2,
            width=self.scrollable_content_region.width,
            terminal=terminal_of(self),
        )


@dataclass
class _Row:
    """One row: the characters `start` to `end` of line `number`, after the last of which the cursor has a cell."""

    number: int
    whole: str
    start: int
    end: int
    is_last: bool
    width: int
    terminal: Terminal

    @property
    def is_plain(self) -> bool:
        """Whether it can be shown as it is. One with a tab is, since the tab's cells are counted elsewhere."""
        return "\t" in self.whole or self.terminal.is_plain(self.whole)

    @cached_property
    def text(self) -> str:
        return self.whole[self.start : self.end] + (" " if self.is_last else "")

    @property
    def num_cells(self) -> int:
        return cell_len(self.text)

    @cached_property
    def line(self) -> Line:
        if not self.terminal.lays_out:
            return Line("ltr", (0,) * len(self.whole))
        direction = direction_of(self.whole)
        return Line(direction, levels_of(self.whole, direction))

    @property
    def indent(self) -> int:
        """How many cells are left of it."""
        return max(0, self.width - self.num_cells) if self.line.direction == "rtl" else 0

    def cell_of(self, column: int) -> int:
        """The cell where a character of the line is seen."""
        return next(
            (cell for cell, _, cluster in self._clusters() if cluster.start <= column < cluster.end), self.indent
        )

    def column_at(self, x: int) -> int:
        """The character of the line that is seen in cell `x`."""
        cells = list(self._clusters())
        nearest = min(cells, key=lambda found: max(found[0] - x, x - found[0] - found[1] + 1, 0))
        return min(nearest[2].start, self.end)

    def _clusters(self) -> Iterator[tuple[int, int, Cluster]]:
        """From left to right: the first cell, how many there are, and the cluster with its place in the line."""
        cell = self.indent
        for cluster in self.line.clusters(self.text, self.start):
            num_cells = cell_len(cluster.text)
            yield cell, num_cells, cluster
            cell += num_cells


@lru_cache(maxsize=64)
def _ends(line: str) -> tuple[int, ...]:
    """Where the clusters of a line end."""
    return tuple(found.end() for found in _CLUSTER.finditer(restored(line)))
