"""One entry of the conversation: what was said, an answer, a notice, a fault."""

from __future__ import annotations

from typing import ClassVar

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from textual.binding import BindingType
from textual.widgets import Collapsible, Markdown
from textual.widgets.markdown import MarkdownStream

from tui.laid import Laid
from tui.shown import shown
from tui.widgets.blocks import LAID_BLOCKS
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


class Answer(Markdown, Turn):
    """An answer, rendered while it comes."""

    BLOCKS = LAID_BLOCKS

    def __init__(self, text: str = "") -> None:
        # Opening a link could start a browser inside this very terminal.
        super().__init__(shown(text) or None, parser_factory=_parser, open_links=False)
        self._stream: MarkdownStream | None = None

    async def write(self, text: str) -> None:
        """Add the next piece."""
        if self._stream is None:
            self._stream = self.get_stream(self)
        await self._stream.write(shown(text))

    async def finish(self) -> None:
        """Wait until all pieces are on the screen; none may follow."""
        if self._stream is not None:
            await self._stream.stop()


def _parser() -> MarkdownIt:
    """Markdown as models write it: a line of a poem stays a line, and `<think>` is text, not HTML that nobody sees."""
    parser = MarkdownIt("gfm-like", {"html": False})
    parser.core.ruler.push("keep_lines", _keep_lines)
    return parser


def _keep_lines(state: StateCore) -> None:
    for token in state.tokens:
        for child in token.children or ():
            if child.type == "softbreak":
                child.type = "hardbreak"
