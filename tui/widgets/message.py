"""One entry of the conversation: what was said, reasoning, a notice, a fault; answers are in `answer.py`."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.widgets import Collapsible

from tui.laid import Laid
from tui.shown import shown
from tui.widgets.turn import Turn
from tui.words import _


class Said(Laid, Turn):
    """What the person said; `text` is exactly that."""

    BINDINGS: ClassVar[list[BindingType]] = Turn.BINDINGS  # Textual's Static inherits none

    def __init__(self, text: str) -> None:
        super().__init__(shown(text), markup=False)
        self.text = text


class Notice(Laid):
    """Something worth knowing that is not part of the conversation."""

    def __init__(self, text: str) -> None:
        super().__init__(shown(text), markup=False)


class Fault(Laid):
    """What went wrong, and what to do next."""

    def __init__(self, text: str) -> None:
        super().__init__(shown(text), markup=False)


class Place(Laid):
    """Which of how many branches the message above is the beginning of."""

    def __init__(self, number: int, count: int) -> None:
        super().__init__(f"‹{number}/{count}›", markup=False)


class Reasoning(Collapsible):
    """What a model thinks before it answers: folded, and there for those who want to see it."""

    def __init__(self, text: str = "") -> None:
        self._text = text
        self._body = Laid(shown(text), markup=False)
        super().__init__(self._body, title=_("Reasoning"), collapsed=True)

    def write(self, text: str) -> None:
        """Add the next piece."""
        self._text += text
        self._body.update(shown(self._text))

    def show_words(self) -> None:
        """Show the title in the language that is used."""
        self.title = _("Reasoning")
