"""Dates as people write them: in digits of any script, with the Hijri, the Buddhist and the Japanese calendar.

Like numbers, a text has readings: `05/06/2024` is two days, and `13/06/2024` is one. A year that may belong to another
calendar is read only with its era, or with months that only that calendar has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Literal, NamedTuple

from runtime.chat.tools.values.numbers import ascii_digits

Calendar = Literal["gregorian", "hijri", "buddhist", "japanese"]

_MAX_CHARS = 64
_PLAIN = str.maketrans(
    dict.fromkeys("\u200e\u200f\u061c", "")
    | {"／": "/", "．": ".", "－": "-", "㋿": "令和", "㍻": "平成", "㍼": "昭和", "㍽": "大正", "㍾": "明治"}
)
_ERAS: dict[Calendar, str] = {
    "hijri": r"هجرية|هجري|هـ|ه|A\.?H\.?|H(?:ijriah)?",
    "buddhist": r"พุทธศักราช|พ\.?\s?ศ\.?|B\.?E\.?",
    "gregorian": r"ميلادية|ميلادي|م|คริสต์ศักราช|ค\.?\s?ศ\.?|C\.?E\.?|A\.?D\.?",
}
_ERA = "|".join(_ERAS.values())
# Without an era these years are of the Gregorian calendar: no other in wide use is at them now.
_COMMON_YEARS = range(1900, 2200)
_MARKED = re.compile(
    rf"(?P<before>{_ERA})?\s?(?P<first>\d{{1,4}})(?P<mark>[./-])(?P<second>\d{{1,2}})(?P=mark)(?P<third>\d{{1,4}})"
    rf"\s?(?P<after>{_ERA})?",
    re.IGNORECASE,
)
_NAMED = re.compile(
    rf"(?:(?P<day>\d{{1,2}})\s?(?P<month>\D+?)|(?P<month_first>\D+?)\s?(?P<day_second>\d{{1,2}}),?)\s"
    rf"(?P<before>{_ERA})?\s?(?P<year>\d{{4}})\s?(?P<after>{_ERA})?",
    re.IGNORECASE,
)
_EAST_ASIAN = re.compile(r"(?P<year>\d{4})\s?[年년]\s?(?P<month>\d{1,2})\s?[月월]\s?(?P<day>\d{1,2})\s?[日일]")
_JAPANESE = re.compile(
    r"(?P<era>令和|平成|昭和|大正|明治|[RHST])\s?(?P<year>\d{1,2}|元)(?:\s?年\s?|[./-])"
    r"(?P<month>\d{1,2})(?:\s?月\s?|[./-])(?P<day>\d{1,2})\s?日?",
    re.IGNORECASE,
)
# First year, and first and last day of each era. Two days on which emperors died are of both eras. Japan took the
# Gregorian calendar on the first day of Meiji 6.
_JAPANESE_ERAS = {
    "明治": (1868, date(1873, 1, 1), date(1912, 7, 30)),
    "大正": (1912, date(1912, 7, 30), date(1926, 12, 25)),
    "昭和": (1926, date(1926, 12, 25), date(1989, 1, 7)),
    "平成": (1989, date(1989, 1, 8), date(2019, 4, 30)),
    "令和": (2019, date(2019, 5, 1), date.max),
}
_LETTERS = {"T": "大正", "S": "昭和", "H": "平成", "R": "令和"}
# Thailand's year began in April before this one.
_FIRST_BUDDHIST_YEAR, _BUDDHIST_OFFSET = 2484, 543

# Ways to write each month, the letters only.
_HIJRI_MONTHS = (
    "محرم المحرم muharram",
    "صفر safar",
    "ربيعالاول rabialawwal rabialawal rabiulawal",
    "ربيعالثاني ربيعالاخر rabialthani rabialakhir rabiulakhir",
    "جماديالاولي جماديالاول jumadaalula jumadaalawwal jumadilawal",
    "جماديالاخره جماديالثانيه jumadaalakhirah jumadaalakhira jumadaalthani jumadilakhir",
    "رجب rajab",
    "شعبان shaban syaban",
    "رمضان ramadan ramadhan",
    "شوال shawwal syawal",
    "ذوالقعده ذيالقعده dhualqadah dhulqadah dhualqidah zulkaidah",
    "ذوالحجه ذيالحجه dhualhijjah dhulhijjah zulhijah",
)
_THAI_MONTHS = (
    "มกราคม มค",
    "กุมภาพันธ์ กพ",
    "มีนาคม มีค",
    "เมษายน เมย",
    "พฤษภาคม พค",
    "มิถุนายน มิย",
    "กรกฎาคม กค",
    "สิงหาคม สค",
    "กันยายน กย",
    "ตุลาคม ตค",
    "พฤศจิกายน พย",
    "ธันวาคม ธค",
)
# Arabic letters that are written in several ways, and the signs of vowels, which may be left out.
_FOLDED = str.maketrans("أإآىة", "ااايه", "\u064b\u064c\u064d\u064e\u064f\u0650\u0651\u0652")


class DateReading(NamedTuple):
    """A day, and the calendar that it was written in."""

    day: date
    calendar: Calendar


def date_readings(text: str) -> set[DateReading]:
    """Every day that `text` may be; none where it is no date."""
    if len(text) > _MAX_CHARS:
        return set()
    text = re.sub(r"\s+", " ", ascii_digits(text.translate(_PLAIN))).strip()
    found = (*_japanese(text), *_east_asian(text), *_marked(text), *_named(text))
    return {reading for reading in found if reading is not None}


def _japanese(text: str) -> Iterator[DateReading | None]:
    if found := _JAPANESE.fullmatch(text):
        first_year, first, last = _JAPANESE_ERAS[_LETTERS.get(found["era"].upper(), found["era"])]
        year = 1 if found["year"] == "元" else int(found["year"])
        reading = _reading("gregorian", first_year + year - 1, int(found["month"]), int(found["day"]))
        if reading and first <= reading.day <= last:
            yield DateReading(reading.day, "japanese")


def _east_asian(text: str) -> Iterator[DateReading | None]:
    if (found := _EAST_ASIAN.fullmatch(text)) and int(found["year"]) in _COMMON_YEARS:
        yield _reading("gregorian", *(int(found[part]) for part in ("year", "month", "day")))


def _marked(text: str) -> Iterator[DateReading | None]:
    """Three numbers; the year is the one with four digits, and where it is the last, day and month may be either."""
    found = _MARKED.fullmatch(text)
    if found is None:
        return
    first, second, third = found["first"], found["second"], found["third"]
    if (len(first) == 4) == (len(third) == 4):
        return
    year, *orders = (first, (second, third)) if len(first) == 4 else (third, (second, first), (first, second))
    calendar = _era(found["before"], found["after"])
    if calendar is None and int(year) in _COMMON_YEARS:
        calendar = "gregorian"
    if calendar is None:
        return
    for month, day in orders:
        yield _reading(calendar, int(year), int(month), int(day))


def _named(text: str) -> Iterator[DateReading | None]:
    """A month by its name, which may tell the calendar."""
    found = _NAMED.fullmatch(text)
    if found is None:
        return
    day, year = int(found["day"] or found["day_second"]), int(found["year"])
    written = (found["month"] or found["month_first"]).casefold().translate(_FOLDED)
    name = "".join(filter(_is_letter, written))
    era = _era(found["before"], found["after"])
    if (month := _month(_HIJRI_MONTHS, name)) and era in {None, "hijri"}:
        yield _reading("hijri", year, month, day)
    if month := _month(_THAI_MONTHS, name):
        # A Thai year without an era is Buddhist where it can be nothing else.
        if era is None:
            era = "gregorian" if year in _COMMON_YEARS else "buddhist"
        yield _reading(era, year, month, day)


def _is_letter(char: str) -> bool:
    """Thai vowels and tone marks too, which are no letters to Unicode."""
    return char.isalpha() or "\u0e31" <= char <= "\u0e4e"


def _month(names: tuple[str, ...], name: str) -> int | None:
    return next((number for number, ways in enumerate(names, 1) if name in ways.split(" ")), None)


def _era(*texts: str | None) -> Calendar | None:
    """The calendar of an era that stands before or after a date."""
    for text in filter(None, texts):
        for calendar, pattern in _ERAS.items():
            if re.fullmatch(pattern, text, re.IGNORECASE):
                return calendar
    return None


def _reading(calendar: Calendar, year: int, month: int, day: int) -> DateReading | None:
    """The day, where there is such a day and the calendar is known for it."""
    try:
        match calendar:
            case "hijri":
                from hijridate import Hijri

                return DateReading(date(*Hijri(year, month, day).to_gregorian().datetuple()), calendar)
            case "buddhist" if year >= _FIRST_BUDDHIST_YEAR:
                return DateReading(date(year - _BUDDHIST_OFFSET, month, day), calendar)
            case "gregorian":
                return DateReading(date(year, month, day), calendar)
            case _:
                return None
    except (ValueError, OverflowError):
        return None
