"""The parts of a Markdown text in the direction of what is written: paragraphs, lists, tables, code.

Textual makes one widget of each part, and knows no direction. These are its own, with the text put in order, the
bullets of a right-to-left list at the right, and the columns of a right-to-left table from right to left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.layout import Layout
from textual.widgets import Label, Markdown
from textual.widgets._markdown import (
    MarkdownBlock,
    MarkdownBullet,
    MarkdownBulletList,
    MarkdownFence,
    MarkdownOrderedList,
    MarkdownTable,
    MarkdownTableCellContents,
    MarkdownTableContent,
)

from tui.bidi import direction_of, displayed
from tui.laid import Paragraph
from tui.mirrored import MirroredGrid, MirroredHorizontal
from tui.terminal import terminal_of
from tui.widgets.growing import grow_list

# Textual takes a widget's styles from its first base that is a widget, so what is mixed in must be none.
if TYPE_CHECKING:
    _Mixin = MarkdownBlock
else:
    _Mixin = object


class _LaidBlock(_Mixin):
    """A block whose text is put in order, also where a table takes it for one of its cells."""

    def set_content(self, content: Content) -> None:
        super().set_content(Paragraph(content, terminal_of(self)))


class _LaidFence(MarkdownFence):
    """Code: left to right, whatever is in it."""

    def set_content(self, content: Content) -> None:
        super().set_content(Paragraph(content, terminal_of(self), is_code=True))

    def compose(self) -> ComposeResult:
        code = Paragraph(self._highlighted_code, terminal_of(self), is_code=True)
        yield Label(code, id="code-content", expand=True)


class _RightCell(MarkdownTableCellContents):
    """A cell that is read, and so copied, before the one to the left of it."""

    def __init__(self, content: Content, classes: str) -> None:
        # A cell with nothing but a number goes with its table.
        super().__init__(content.towards("rtl") if isinstance(content, Paragraph) else content, classes=classes)

    @property
    def _selection_order(self) -> tuple[int, int]:
        y, x = super()._selection_order
        return y, -x


class _RightToLeftRows(MarkdownTableContent):
    """The cells of a right-to-left table."""

    def __init__(self, headers: list[Content], rows: list[list[Content]]) -> None:
        super().__init__(headers, rows)
        self._mirrored = MirroredGrid()

    @property
    def layout(self) -> Layout:
        return self._mirrored

    def compose(self) -> ComposeResult:
        for header in self.headers:
            yield _RightCell(header, "header")
        for number, row in enumerate(self.rows, 1):
            yield from (_RightCell(cell, f"row{number} cell") for cell in row)
            self.last_row = number

    async def _update_rows(self, updated_rows: list[list[Content]]) -> None:
        await self.query_children(f".cell.row{self.last_row}").remove()
        numbered = list(enumerate(updated_rows, self.last_row))
        self.last_row = numbered[-1][0]
        await self.mount_all(_RightCell(cell, f"row{number} cell") for number, row in numbered for cell in row)


class _LaidTable(MarkdownTable):
    """A table in the direction of its heads."""

    def compose(self) -> ComposeResult:
        self._headers, self._rows = self._get_headers_and_rows()
        is_rtl = any(direction_of(header.plain) == "rtl" for header in self._headers)
        kind = _RightToLeftRows if is_rtl and terminal_of(self).lays_out else MarkdownTableContent
        yield kind(self._headers, self._rows)


class _RightBullet(MarkdownBullet):
    """A bullet to the right of its text, which is read before it."""

    def render(self) -> Content:
        return Content(displayed(self.symbol, "rtl"))

    @property
    def _selection_order(self) -> tuple[int, int]:
        return super()._selection_order[0], -1


class _RightToLeftRow(Horizontal):
    """An item of a right-to-left list, bullet first."""

    @property
    def layout(self) -> Layout:
        return MirroredHorizontal()


class _LaidList(_Mixin):
    """A list, whose bullets are on the side where its first text begins."""

    def compose(self) -> ComposeResult:
        is_rtl = terminal_of(self).lays_out and direction_of(_text_of(self._blocks)) == "rtl"
        for row in super().compose():
            yield _turned(row) if is_rtl and isinstance(row, Horizontal) else row

    async def _update_from_block(self, block: MarkdownBlock) -> None:
        rows = [row for row in block.compose() if isinstance(row, Horizontal)]
        self._copy_context(block)
        await grow_list(self, rows)


class _LaidBulletList(_LaidList, MarkdownBulletList):
    pass


class _LaidOrderedList(_LaidList, MarkdownOrderedList):
    pass


def _text_of(blocks: list[MarkdownBlock]) -> str:
    texts = (block._content.plain or _text_of(block._blocks) for block in blocks)  # noqa: SLF001  # no public name
    return next((text for text in texts if text), "")


def _turned(row: Horizontal) -> _RightToLeftRow:
    """A row of a list that is not on the screen yet, with its bullet at the right."""
    bullet, *body = row._pending_children  # noqa: SLF001  # no public name
    right = _RightBullet()
    if isinstance(bullet, MarkdownBullet):
        right.symbol = bullet.symbol
    return _RightToLeftRow(right, *body)


_OWN: dict[str, type[MarkdownBlock]] = {
    "bullet_list_open": _LaidBulletList,
    "ordered_list_open": _LaidOrderedList,
    "table_open": _LaidTable,
    "fence": _LaidFence,
    "code_block": _LaidFence,
}
_TEXTS = ("h1", "h2", "h3", "h4", "h5", "h6", "paragraph_open", "th_open", "td_open")

LAID_BLOCKS: dict[str, type[MarkdownBlock]] = (
    Markdown.BLOCKS
    | {name: type(f"_Laid{Markdown.BLOCKS[name].__name__}", (_LaidBlock, Markdown.BLOCKS[name]), {}) for name in _TEXTS}
    | _OWN
)
