"""Pickers of what a server has: its models, and the adapters of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tui.choosing.languages import names_of
from tui.choosing.offers import sized
from tui.history.folding import fold
from tui.screens.picker import Picker, Row
from tui.shapes import Model
from tui.words import _, mark

_MOST_LANGUAGES = 4


class ServedPicker(Picker[str]):
    """Gives the name of a model of a server that the chat has joined."""

    title_text = mark("Choose a model of the server")

    def __init__(self, models: Sequence[Model], *, current: str) -> None:
        super().__init__()
        self._models = models
        self._current = current

    def rows(self) -> Iterable[Row[str]]:
        """The server's own models, as it tells of them."""
        for model in self._models:
            if model.parent or not model.can_talk:
                continue
            details = model.demotic
            facts = [model.id, _("in use") if model.id == self._current else ""]
            more = []
            if details is not None:
                facts.append(sized(details.size_bytes))
                more = [details.license or "", names_of(details.languages, _MOST_LANGUAGES)]
            text, detail = (" · ".join(part for part in parts if part) for parts in (facts, more))
            yield Row(model.id, text, detail, fold(f"{text} {detail}"))


class AdapterPicker(Picker[str]):
    """Gives the name of an adapter, or nothing for the model alone."""

    title_text = mark("Choose an adapter of {model}")

    def __init__(self, model: str, adapters: Sequence[str], *, current: str) -> None:
        super().__init__()
        self._model = model
        self._adapters = adapters
        self._current = current

    @property
    def heading(self) -> str:
        """With the model's name."""
        return _(self.title_text).format(model=self._model)

    def rows(self) -> Iterable[Row[str]]:
        """None, then each."""
        for adapter in ("", *self._adapters):
            name = adapter or _("no adapter")
            text = f"{name} · {_('in use')}" if adapter == self._current else name
            yield Row(adapter, text, "", fold(text))
