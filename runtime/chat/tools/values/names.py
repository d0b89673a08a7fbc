"""Names in Cyrillic and in Latin letters, compared as TUCAN's evaluator does (https://pypi.org/project/tucan-eval/).

One rule is added to its table, from Bulgaria's Transliteration Act: names in -ия end in -ia. So София is Sofia too, and
not Sofiya only.
"""

from __future__ import annotations

import re

_ROMAN = dict(
    zip(
        "абвгдежзийклмнопрстуфхцчшщъыьэюя",
        "a b v g d e zh z i y k l m n o p r s t u f h ts ch sh shch  y  e yu ya".split(" "),
        strict=True,
    )
)
_LETTERS = str.maketrans(_ROMAN | {letter.upper(): roman.upper() for letter, roman in _ROMAN.items()})


def romanise(text: str) -> str:
    """Cyrillic letters in Latin ones; the two signs and nothing else are left out."""
    return text.translate(_LETTERS)


def name_key(text: str) -> str:
    """What is equal for two ways to write one name: letters in either script, case, quotes, a full stop at the end."""
    text = re.sub(r"[.!?,:;]+$", "", re.sub(r"iya\b", "ia", romanise(text), flags=re.IGNORECASE))
    return re.sub(r"\s+", " ", text).strip().strip("\"'“”„«»").strip().lower()
