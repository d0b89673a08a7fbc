"""A panel over the conversation, with a title and a line of what the keys do; Escape leaves it."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from tui.keynames import with_keys
from tui.laid import Laid
from tui.shown import shown
from tui.words import _, mark

Result = TypeVar("Result")


class Panel(ModalScreen[Result | None]):
    """`title_text` and `hint_text` are English texts, marked for the catalogues; the second may name actions with keys.

    Leaving it without a choice gives None.
    """

    DEFAULT_CSS = """
    Panel {
        align: center middle;
        background: $background;
    }
    Panel > Vertical {
        width: 100%;
        max-width: 100;
        height: auto;
        max-height: 100%;
        padding: 0 1;
        border: round $accent;
        background: $background;
    }
    Panel .title {
        text-style: bold;
        height: auto;
    }
    Panel .hint, Panel .busy {
        color: $text-muted;
        height: auto;
    }
    Panel .fault {
        color: $text-error;
        height: auto;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False, priority=True, id="leave", tooltip=mark("leave what is open")),
    ]
    title_text: ClassVar[str] = ""
    hint_text: ClassVar[str] = ""

    def compose(self) -> ComposeResult:
        """Title, body, what went wrong, what the keys do."""
        with Vertical():
            yield Laid(classes="title", markup=False)
            yield from self.compose_body()
            yield Laid(classes="busy", markup=False)
            yield Laid(classes="fault", markup=False)
            yield Laid(classes="hint", markup=False)

    def compose_body(self) -> ComposeResult:
        """What is between the title and the keys."""
        yield from ()

    def on_mount(self) -> None:
        """Show the texts."""
        self.query(".fault, .busy").set(display=False)
        self.show_words()

    def show_words(self) -> None:
        """Show the texts in the language that is used."""
        self.query_one(".title", Laid).update(shown(self.heading))
        self.query_one(".hint", Laid).update(with_keys(_(self.hint_text)))

    @property
    def heading(self) -> str:
        """The title as it is shown."""
        return _(self.title_text)

    def refuse(self, text: str) -> None:
        """Tell what went wrong; nothing takes it back."""
        self._tell(".fault", text)

    def wait_for(self, text: str) -> None:
        """Tell what is waited for; nothing takes it back."""
        self._tell(".busy", text)

    def _tell(self, where: str, text: str) -> None:
        if not self.is_attached:
            return
        line = self.query_one(where, Laid)
        line.update(shown(text))
        line.display = bool(text)

    def action_leave(self) -> None:
        """Choose nothing."""
        self.dismiss(None)
