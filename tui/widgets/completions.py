"""What a line of the prompt could become, in a list above it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual.content import Content

from tui.laid import Laid
from tui.shown import shown

_MOST_ROWS = 8


@dataclass(frozen=True)
class Completion:
    """`line` is what the prompt has with it; `shown` and `help` are what people see."""

    line: str
    shown: str
    help: str = ""


class Completions(Laid):
    """What `find` finds for a text, one of which is chosen; it is not on the screen while that is nothing.

    Its keys are the prompt's.
    """

    def __init__(self, find: Callable[[str], Sequence[Completion]]) -> None:
        super().__init__(markup=False)
        self._find = find
        self._text = ""
        self._all: Sequence[Completion] = ()
        self._at = 0
        self.display = False

    @property
    def chosen(self) -> Completion | None:
        """The one that is chosen; None where there is none."""
        return self._all[self._at] if self._all else None

    def look(self, text: str) -> None:
        """Show what `text` could become, the first one chosen, if it is another text than before."""
        if text != self._text:
            self._text = text
            self._offer(self._find(text))

    def look_again(self) -> None:
        """More is known of what the text could become."""
        self._offer(self._find(self._text))

    def close(self) -> None:
        """Put the list away until another text comes."""
        self._offer(())

    def _offer(self, completions: Sequence[Completion]) -> None:
        self._all, self._at = completions, 0
        self._show()

    def move(self, step: int) -> None:
        """Choose another one."""
        self._at = (self._at + step) % len(self._all)
        self._show()

    def _show(self) -> None:
        self.display = bool(self._all)
        first = max(0, min(self._at - _MOST_ROWS // 2, len(self._all) - _MOST_ROWS))
        rows = list(enumerate(self._all))[first : first + _MOST_ROWS]
        width = max((len(each.shown) for _at, each in rows), default=0)
        self.update(Content("\n").join(_row(each, width, is_chosen=at == self._at) for at, each in rows))


def _row(completion: Completion, width: int, *, is_chosen: bool) -> Content:
    name = shown(completion.shown).ljust(width)
    return Content.assemble((name, "reverse" if is_chosen else "bold"), "  ", shown(completion.help))
