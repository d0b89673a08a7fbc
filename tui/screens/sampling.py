"""The sampling panel: a field for each number, checked as it is typed."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import TextArea

from runtime.errors import DemoticError
from tui.choosing.sampling import SETTINGS, Sampling, with_value
from tui.laid import Laid
from tui.screens.panel import Panel
from tui.widgets.field import Field
from tui.words import _, mark


class _Help(Laid):
    """What a setting does, in the language that is used."""

    def __init__(self, text: str) -> None:
        super().__init__(markup=False)
        self._text = text

    def on_mount(self) -> None:
        self.show_words()

    def show_words(self) -> None:
        self.update(_(self._text))


class SamplingPanel(Panel[Sampling]):
    """Gives the sampling; an empty field leaves it to the default."""

    DEFAULT_CSS = """
    SamplingPanel VerticalScroll {
        height: auto;
        max-height: 16;
    }
    SamplingPanel Horizontal {
        height: auto;
        margin: 0 0 1 0;
    }
    SamplingPanel .name {
        width: 20;
    }
    SamplingPanel Field {
        width: 14;
        margin: 0 1 0 0;
    }
    SamplingPanel Field.wrong {
        color: $text-error;
    }
    SamplingPanel _Help {
        width: 1fr;
        color: $text-muted;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,shift+tab", "app.focus_previous", show=False, priority=True),
        Binding("down,tab", "app.focus_next", show=False, priority=True),
    ]
    title_text = mark("Sampling")
    hint_text = mark("↑ ↓ another field · empty: the default · Enter keeps all · {leave} leaves all as it was")

    def __init__(self, sampling: Sampling) -> None:
        super().__init__()
        self._sampling = sampling

    def compose_body(self) -> ComposeResult:
        """A row each."""
        with VerticalScroll(can_focus=False):
            for setting in SETTINGS:
                value = getattr(self._sampling, setting.name)
                with Horizontal():
                    yield Laid(setting.name, classes="name", markup=False)
                    yield Field("" if value is None else f"{value}", hint=mark("default"), id=setting.name)
                    yield _Help(setting.help)

    def on_mount(self) -> None:
        """Begin at the first."""
        super().on_mount()
        self.query(Field).first().focus()

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Tell at once what does not fit."""
        event.stop()
        self._read()

    def on_field_submitted(self) -> None:
        """Keep it, unless something does not fit."""
        read = self._read()
        if read is not None:
            self.dismiss(read)

    def _read(self) -> Sampling | None:
        """What is typed; None where something does not fit, which is told."""
        sampling, faults = self._sampling, list[str]()
        for setting in SETTINGS:
            field = self.query_one(f"#{setting.name}", Field)
            try:
                sampling = with_value(sampling, setting, field.value)
                field.remove_class("wrong")
            except DemoticError as fault:
                field.add_class("wrong")
                faults.append(str(fault))
        self.refuse(faults[0] if faults else "")
        return None if faults else sampling
