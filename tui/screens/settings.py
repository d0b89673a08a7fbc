"""The settings of sampling in a list, where there is no panel with a field for each."""

from __future__ import annotations

from collections.abc import Iterable

from tui.choosing.sampling import SETTINGS, Sampling, Setting
from tui.history.folding import fold
from tui.screens.picker import Picker, Row
from tui.words import _, mark


class SettingPicker(Picker[Setting]):
    """Gives the setting that is to be changed."""

    title_text = mark("Sampling")

    def __init__(self, sampling: Sampling) -> None:
        super().__init__()
        self._sampling = sampling

    def rows(self) -> Iterable[Row[Setting]]:
        """Each with its value."""
        for setting in SETTINGS:
            value = getattr(self._sampling, setting.name)
            told = _("default") if value is None else f"{value}"
            yield Row(setting, f"{setting.name}: {told}", _(setting.help), fold(setting.name))
