"""What the terminal does with text, and how the chat keeps its own counting of cells equal to that."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import regex
import rich.cells
from rich._unicode_data import load as load_cells
from rich.cells import CellTable
from textual.widget import Widget

from tui.bidi import has_right_to_left

JOINER = "\N{ZERO WIDTH JOINER}"
# Stands for the joiner where Textual would take it and the next letter as nothing: also without width, and a mark.
STAND_IN = "\N{VARIATION SELECTOR-256}"
_SKIN_TONES = (0x1F3FB, 0x1F3FF)
_SPLITTER = "\N{ZERO WIDTH NON-JOINER}"
# They have done their part in the order, and some terminals draw them.
_MARKS = regex.compile(r"[\u200e\u200f\u061c]")
_JOINER_OF_LETTERS = regex.compile(r"\u200d(?!\p{Extended_Pictographic})")
_JOINER_OF_EMOJI = regex.compile(r"\u200d(?=\p{Extended_Pictographic})")
_CONJUNCT = regex.compile(r"(?<=\p{ccc=9})(?=\p{L})")


@dataclass(frozen=True)
class Terminal:
    """How a terminal shows text; as it is made here, one of the newer kind that does not reorder.

    lays_out: the chat puts right-to-left text in order itself, since the terminal does not. joins_emoji: emoji with
    joiners between them take two cells together. widens_emoji: variation selector 16 makes a narrow one wide.
    tints_emoji: a skin tone takes no cells of its own. joins_letters: a letter behind a joiner takes none either.
    joins_conjuncts: letters joined by a virama take one cell. spaces_marks: a spacing combining mark, such as a vowel
    sign of Devanagari, takes a cell of its own.
    """

    lays_out: bool = True
    joins_emoji: bool = True
    widens_emoji: bool = True
    tints_emoji: bool = True
    joins_letters: bool = False
    joins_conjuncts: bool = False
    spaces_marks: bool = False

    def measurable(self, text: str) -> str:
        """`text` as Textual counts its cells rightly; of the same length."""
        if not self.joins_emoji:
            text = _JOINER_OF_EMOJI.sub(STAND_IN, text)
        return text if self.joins_letters else _JOINER_OF_LETTERS.sub(STAND_IN, text)

    def is_plain(self, text: str) -> bool:
        """Whether `text` can be given to the terminal as it is."""
        if text.isascii():
            return True
        if self.lays_out and has_right_to_left(text):
            return False
        return self.pieces(text) == [text]

    def pieces(self, text: str) -> list[str]:
        """What the terminal is given of a measurable text; each piece is measured by itself."""
        text = _MARKS.sub("", text)
        if self.joins_conjuncts:
            text = _CONJUNCT.sub(_SPLITTER, text)
        *joined, last = text.split(STAND_IN)
        return [f"{piece}{JOINER}" for piece in joined] + ([last] if last or not joined else [])

    def apply(self) -> None:
        """Have Rich, and so Textual, count cells as this terminal does, everywhere in this process."""
        table = self._table(load_cells("auto"))
        rich.cells.load_cell_table = lambda _version="auto": table  # type: ignore[attr-defined,assignment]  # one table is all
        rich.cells.get_character_cell_size.cache_clear()
        rich.cells.cached_cell_len.cache_clear()

    def _table(self, table: CellTable) -> CellTable:
        widths = []
        for start, end, width in table.widths:
            if (start, end) == _SKIN_TONES and not self.tints_emoji:
                widths.append((start, end, 2))
            elif width == 0 and self.spaces_marks:
                widths += [(code, code, 0) for code in range(start, end + 1) if not _is_spacing_mark(code)]
            else:
                widths.append((start, end, width))
        return table._replace(widths=widths, narrow_to_wide=table.narrow_to_wide if self.widens_emoji else frozenset())


def _is_spacing_mark(code: int) -> bool:
    return unicodedata.category(chr(code)) == "Mc"


def restored(text: str) -> str:
    """A measurable text as it was."""
    return text.replace(STAND_IN, JOINER)


@runtime_checkable
class HasTerminal(Protocol):
    """An application that knows its terminal."""

    terminal: Terminal


def terminal_of(widget: Widget) -> Terminal:
    """The terminal that a widget is shown in."""
    app: object = widget.app
    return app.terminal if isinstance(app, HasTerminal) else Terminal()
