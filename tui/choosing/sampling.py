"""What a person may set of sampling, and how it is read from what was typed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import msgspec

from runtime.errors import DemoticError
from tui.words import _, mark

# A decimal comma, and the sign that Arabic digits are written with.
_POINTS = str.maketrans({",": ".", "٫": ".", "，": ".", "．": "."})  # that is what is meant

RESET = "reset"


class Sampling(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a request says of sampling; None leaves it to the chat's default, or to the server's. As in docs/api.md."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    max_tokens: int | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Setting:
    """One field of `Sampling`: its name, what it does, and the numbers it takes, None for no bound."""

    name: str
    help: str
    low: float | None
    high: float | None
    is_whole: bool = False

    def read(self, text: str) -> float | int | None:
        """The number that was typed, in the digits of any script; None where nothing was.

        Raises:
            DemoticError: it is no number, or not one of those that the field takes.
        """
        text = text.strip()
        if not text:
            return None
        try:
            number = int(text) if self.is_whole else float(text.translate(_POINTS))
        except ValueError:
            raise DemoticError(self._refusal(text)) from None
        is_low = self.low is not None and number < self.low
        is_high = self.high is not None and number > self.high
        if is_low or is_high or not math.isfinite(number):
            raise DemoticError(self._refusal(text))
        return number

    def _refusal(self, text: str) -> str:
        return _("'{text}' does not fit {name}: {range}.").format(text=text, name=self.name, range=self.range)

    @property
    def range(self) -> str:
        """The numbers that it takes, in words."""
        if self.low is None:
            return _("a whole number")
        if self.high is None:
            return _("a whole number from {low:g}").format(low=self.low)
        return _("a number from {low:g} to {high:g}").format(low=self.low, high=self.high)


SETTINGS = (
    Setting("temperature", mark("0 always takes the likeliest token"), 0, 2),
    Setting("top_p", mark("choose among the likeliest tokens of this joint share"), 0, 1),
    Setting("top_k", mark("choose among so many of the likeliest tokens; 0: all"), 0, None, is_whole=True),
    Setting("min_p", mark("leave out tokens below this share of the likeliest"), 0, 1),
    Setting("repetition_penalty", mark("above 1, what was said before becomes less likely"), 0.001, 1000),
    Setting("max_tokens", mark("longest answer, in tokens"), 1, None, is_whole=True),
    Setting("seed", mark("the same seed gives the same answer"), None, None, is_whole=True),
)


def setting_named(name: str) -> Setting:
    """The setting of this name.

    Raises:
        DemoticError: there is none.
    """
    for setting in SETTINGS:
        if setting.name == name.strip().casefold():
            return setting
    names = ", ".join(setting.name for setting in SETTINGS)
    raise DemoticError(_("There is no setting '{name}'. There are {names}.").format(name=name, names=names))


def with_value(sampling: Sampling, setting: Setting, text: str) -> Sampling:
    """`sampling` with one setting as it was typed; nothing takes it back.

    Raises:
        DemoticError: as `Setting.read`.
    """
    values: dict[str, Any] = {setting.name: setting.read(text)}
    return msgspec.structs.replace(sampling, **values)


def read_sampling(text: str, before: Sampling) -> Sampling:
    """The sampling that was typed, such as `temperature 0`, over what was `before`; `RESET` takes all back.

    Raises:
        DemoticError: there is no such setting, or as `Setting.read`.
    """
    if text == RESET:
        return Sampling()
    name, _blank, value = text.partition(" ")
    return with_value(before, setting_named(name), value)


def told(sampling: Sampling) -> str:
    """What is set, for people."""
    values = msgspec.to_builtins(sampling)
    return ", ".join(f"{name} {value}" for name, value in values.items()) or _("all by default")
