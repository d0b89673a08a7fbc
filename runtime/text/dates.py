"""Dates in JSON schemas: of the format `date`, llguidance also takes days that a year does not have, as 2027-02-29."""

from __future__ import annotations

from typing import Any

_YEAR = "(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
_LEAP_YEAR = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"
# Of the proleptic Gregorian calendar, from the year 1 on, as RFC 3339 and Python's `date.fromisoformat` have it.
_DATE = "|".join((
    f"{_YEAR}-(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])",
    f"{_YEAR}-(0[469]|11)-(0[1-9]|[12][0-9]|30)",
    f"{_YEAR}-02-(0[1-9]|1[0-9]|2[0-8])",
    f"{_LEAP_YEAR}-02-29",
))  # fmt: skip
_PATTERNS = {"date": f"^({_DATE})$", "date-time": f"^({_DATE})[Tt]"}
# What stands under these is a value, and no schema.
VALUES = frozenset({"enum", "const", "default", "examples"})


def with_real_dates(schema: Any) -> Any:
    """The schema with a pattern for each of its dates that lets only those pass that there are.

    One that has a pattern of its own is left as it is.
    """
    match schema:
        case list():
            return [with_real_dates(value) for value in schema]
        case dict():
            narrowed = {key: value if key in VALUES else with_real_dates(value) for key, value in schema.items()}
            pattern = _PATTERNS.get(schema["format"]) if isinstance(schema.get("format"), str) else None
            return {"pattern": pattern, **narrowed} if pattern is not None else narrowed
        case _:
            return schema
