"""Numbers as people write them: decimal digits of every script, a decimal comma, groups of digits.

`1.234` is one number in English and another in German. So a text has readings, and who needs a number takes one where
no other is left.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_MAX_CHARS = 64
# The signs and spaces of typography and of East Asia; marks that only tell the direction of text are left out.
_PLAIN = str.maketrans("−－＋．，’\u00a0\u202f\u2009", "--+.,'   ", "\u200e\u200f\u061c")
_WHOLE = re.compile(r"[0-9]+")
# Groups of three; and India's: a last one of three, and before it groups of two.
_GROUPS = re.compile(r"[1-9][0-9]{0,2}(?:(?P<mark>[.,'٬ ])[0-9]{3}(?:(?P=mark)[0-9]{3})*)")
_INDIAN = re.compile(r"[1-9][0-9]?(?P<mark>[,])(?:[0-9]{2},)+[0-9]{3}")
_DECIMAL_MARKS = ".,٫"


def ascii_digits(text: str) -> str:
    """The text with `0` to `9` for the decimal digits of every script; unchanged where it has those of several."""
    zeros = {ord(char) - unicodedata.decimal(char) for char in text if char.isdecimal()}
    if len(zeros) != 1:
        return text
    return "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)


def number_readings(text: str) -> set[int | float]:
    """Every number that `text` may be; none where it is no number, and 1.0 is 1."""
    if len(text) > _MAX_CHARS:
        return set()
    text = ascii_digits(text.translate(_PLAIN).strip())
    sign = -1 if text.startswith("-") else 1
    return {sign * value for value in _unsigned(re.sub(r"^[+-]\s?", "", text))}


def _unsigned(text: str) -> Iterator[int | float]:
    if (whole := _whole(text, "")) is not None:
        yield int(whole)
    for mark in _DECIMAL_MARKS:
        head, _, fraction = text.partition(mark)
        if _WHOLE.fullmatch(fraction) and (whole := _whole(head, mark)) is not None:
            value = float(f"{whole}.{fraction}")
            yield int(value) if value.is_integer() else value


def _whole(text: str, decimal_mark: str) -> str | None:
    """The digits of a whole number, which may be in groups, though not with the decimal mark between them."""
    if _WHOLE.fullmatch(text):
        return text
    found = _GROUPS.fullmatch(text) or _INDIAN.fullmatch(text)
    if found is None or found["mark"] == decimal_mark:
        return None
    return re.sub(r"[^0-9]", "", text)
