"""Lists of numbers as the command line takes them: `0.5,0.5`."""

from __future__ import annotations

import math

from runtime.errors import InvalidRequest


def numbers(text: str, option: str) -> tuple[float, ...]:
    """The numbers in a list with commas.

    Raises:
        InvalidRequest: one of them is none, or not finite.
    """
    found = []
    for part in text.split(","):
        try:
            number = float(part)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise InvalidRequest(f"{part.strip()!r:.40} in {option} is no number.", remedy=f"Write {option} 0.5,0.5.")
        found.append(number)
    return tuple(found)


def scales(text: str, count: int) -> tuple[float, ...]:
    """A scale for each of `count` adapters: one number for all, or one for each; 1 where nothing is said.

    Raises:
        InvalidRequest: there are as many as neither.
    """
    found = numbers(text, "--scale") if text else (1.0,)
    if len(found) not in {1, count}:
        raise InvalidRequest(
            f"There are {count} adapters and {len(found)} scales.", remedy="Give one scale for all, or one for each."
        )
    return found * count if len(found) == 1 else found
