"""Lists in options of the command line: `1,4,8`, or the option several times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import typer

Word = TypeVar("Word", bound=str)


def words(given: Sequence[str] | None) -> tuple[str, ...]:
    """What was given, each once, in its order."""
    return tuple(dict.fromkeys(word.strip() for text in given or () for word in text.split(",") if word.strip()))


def numbers(given: Sequence[str] | None, option: str, *, least: int = 1, most: int = 1 << 20) -> tuple[int, ...]:
    """The whole numbers that were given, each once, the smallest first.

    Raises:
        typer.BadParameter: one is no whole number, or out of bounds.
    """
    found = set()
    for word in words(given):
        if not word.isdecimal() or not least <= int(word) <= most:
            raise typer.BadParameter(f"'{word}' is not a whole number from {least} to {most}.", param_hint=option)
        found.add(int(word))
    return tuple(sorted(found))


def one_of(given: Sequence[str] | None, option: str, known: Sequence[Word]) -> tuple[Word, ...]:
    """The words that were given, which are all `known`.

    Raises:
        typer.BadParameter: one is not.
    """
    found: list[Word] = []
    for word in words(given):
        same = [one for one in known if one == word]
        if not same:
            raise typer.BadParameter(f"'{word}' is none of {', '.join(known)}.", param_hint=option)
        found += same
    return tuple(found)
