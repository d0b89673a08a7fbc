"""What a checkpoint's config.json says, read with names for what is missing or of another kind.

Names and forms changed over the years; what transformers 4 and 5 write differently is made one here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.errors import ConversionRefused


class Config:
    """The values of a JSON object; a null counts as absent."""

    def __init__(self, values: Mapping[str, Any], where: str = "config.json") -> None:
        self.values = {key: value for key, value in values.items() if value is not None}
        self.where = where

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def integer(self, *names: str, default: int | None = None) -> int:
        """The whole number under the first of `names` that is there."""
        value = self._first(names, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._fault(names, value, "a whole number of 0 or more")
        return value

    def number(self, *names: str, default: float | None = None) -> float:
        """The number under the first of `names` that is there."""
        value = self._first(names, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._fault(names, value, "a number")
        return float(value)

    def flag(self, *names: str, default: bool | None = None) -> bool:
        """The truth value under the first of `names` that is there."""
        value = self._first(names, default)
        if not isinstance(value, bool):
            raise self._fault(names, value, "true or false")
        return value

    def text(self, *names: str, default: str | None = None) -> str:
        """The text under the first of `names` that is there."""
        value = self._first(names, default)
        if not isinstance(value, str):
            raise self._fault(names, value, "a text")
        return value

    def texts(self, name: str) -> list[str]:
        """A list of texts; empty where there is none."""
        value = self.values.get(name, [])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self._fault((name,), value, "a list of texts")
        return value

    def integers(self, name: str) -> list[int]:
        """A list of whole numbers, or one that stands alone; empty where there is none."""
        value = self.values.get(name, [])
        listed = value if isinstance(value, list) else [value]
        if not all(isinstance(each, int) and not isinstance(each, bool) for each in listed):
            raise self._fault((name,), value, "whole numbers")
        return listed

    def numbers(self, name: str) -> list[float]:
        """A list of numbers; empty where there is none."""
        value = self.values.get(name, [])
        if not isinstance(value, list) or not all(isinstance(each, int | float) for each in value):
            raise self._fault((name,), value, "a list of numbers")
        return [float(each) for each in value]

    def section(self, name: str) -> Config:
        """The object under `name`; an empty one where there is none."""
        value = self.values.get(name, {})
        if not isinstance(value, dict):
            raise self._fault((name,), value, "an object")
        return Config(value, f"'{name}' of {self.where}")

    def _first(self, names: tuple[str, ...], default: Any) -> Any:
        for name in names:
            if name in self.values:
                return self.values[name]
        if default is None:
            raise ConversionRefused(
                f"{self.where} has no '{names[0]}'.", remedy="Get the checkpoint again: its config.json is not whole."
            )
        return default

    def _fault(self, names: tuple[str, ...], value: Any, wanted: str) -> ConversionRefused:
        return ConversionRefused(f"{self.where} has {value!r:.60} as '{names[0]}', which must be {wanted}.")
