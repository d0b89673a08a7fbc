"""Writing systems: which characters belong to one, and which ones a text is written in.

A character belongs to the scripts that Unicode's Script_Extensions property names (UAX #24). Codes are ISO 15924.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Iterable
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
import regex

from runtime.errors import InvalidRequest

# Every script that has characters in Unicode, those of today's books first: a letter's is looked for in this order.
SCRIPTS = (
    *"Latn Cyrl Arab Hani Deva Grek Hira Kana Hang Thai Hebr Beng Taml Telu Geor Armn Ethi Gujr Guru Knda Mlym".split(),
    *"Orya Sinh Khmr Laoo Mymr Tibt Bopo Cher Mong Syrc Thaa Tfng Nkoo Cans Vaii Olck Yiii Java Bali Sund".split(),
    *"Adlm Aghb Ahom Armi Avst Bamu Bass Batk Berf Bhks Brah Brai Bugi Buhd Cakm Cari Cham Chrs Copt".split(),
    *"Cpmn Cprt Diak Dogr Dsrt Dupl Egyp Elba Elym Gara Glag Gong Gonm Goth Gran Gukh Hano Hatr Hluw Hmng".split(),
    *"Hmnp Hung Ital Kali Kawi Khar Khoj Kits Krai Kthi Lana Lepc Limb Lina Linb Lisu Lyci Lydi Mahj Maka".split(),
    *"Mand Mani Marc Medf Mend Merc Mero Miao Modi Mroo Mtei Mult Nagm Nand Narb Nbat Newa Nshu Ogam Onao".split(),
    *"Orkh Osge Osma Ougr Palm Pauc Perm Phag Phli Phlp Phnx Plrd Prti Rjng Rohg Runr Samr Sarb Saur Sgnw".split(),
    *"Shaw Shrd Sidd Sidt Sind Sogd Sogo Sora Soyo Sunu Sylo Tagb Takr Tale Talu Tang Tavt Tayo Tglg Tirh".split(),
    *"Tnsa Todr Tols Toto Tutg Ugar Vith Wara Wcho Xpeo Xsux Yezi Zanb".split(),
)
# Codes of several scripts that are written together, and of variants of one.
_JOINED = {
    "Hans": ("Hani",),
    "Hant": ("Hani", "Bopo"),
    "Hrkt": ("Hira", "Kana"),
    "Jpan": ("Hira", "Kana", "Hani"),
    "Kore": ("Hang", "Hani"),
    "Aran": ("Arab",),
    "Cyrs": ("Cyrl",),
    "Geok": ("Geor",),
    "Latf": ("Latn",),
    "Latg": ("Latn",),
}
# A script with fewer of a text's letters is that of a name or a quotation.
_LEAST_SHARE = 0.25
_LETTERS = regex.compile(r"\p{L}")
_NUM_CODE_POINTS = 0x110000
_SURROGATES = range(0xD800, 0xE000)


def to_scripts(codes: Iterable[str], *, param: str = "scripts") -> tuple[str, ...]:
    """The scripts that ISO 15924 codes stand for: Jpan is Hiragana, Katakana and Han.

    Raises:
        InvalidRequest: one of them is no code of a script; the error names the field `param`.
    """
    found: dict[str, None] = {}
    for code in codes:
        name = code.title()
        if name not in _JOINED and name not in SCRIPTS:
            nearest = difflib.get_close_matches(name, (*SCRIPTS, *_JOINED), cutoff=0.5)
            hint = f"Did you mean {' or '.join(nearest)}?" if nearest else "Name it by ISO 15924, as in Cyrl."
            raise InvalidRequest(f"There is no script '{code[:40]}'.", remedy=hint, param=param)
        found.update(dict.fromkeys(_JOINED.get(name, (name,))))
    return tuple(sorted(found))


@lru_cache(maxsize=32)
def allowed_code_points(scripts: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Which characters a text in `scripts` may have, by code point: theirs, and those that belong to no script.

    Digits, punctuation, symbols and spaces that are shared by scripts belong to none. A letter or a mark that is
    shared by some belongs to these.
    """
    belongs = "".join(rf"\p{{scx={script}}}" for script in scripts)
    foreign = regex.compile(
        rf"(?V1)(?:[^\p{{sc=Zyyy}}\p{{sc=Zinh}}{belongs}]|[[\p{{L}}\p{{M}}]--[\p{{scx=Zyyy}}\p{{scx=Zinh}}{belongs}]])+"
    )
    allowed = np.ones(_NUM_CODE_POINTS, np.bool_)
    allowed[_SURROGATES.start : _SURROGATES.stop] = False
    for found in foreign.finditer(_all_characters()):
        # The text of all characters lacks the surrogates.
        start, stop = (at if at < _SURROGATES.start else at + len(_SURROGATES) for at in found.span())
        allowed[start:stop] = False
    return allowed


def foreign_characters(text: str, scripts: Collection[str]) -> str:
    """The characters of `text` that a text in `scripts` may not have."""
    allowed = allowed_code_points(tuple(sorted(scripts)))
    return "".join(char for char in text if not allowed[ord(char)])


def main_scripts(text: str) -> tuple[str, ...]:
    """The scripts that at least a quarter of the letters of `text` are of; none where it has no letters.

    Where kana are among them, they are all of Japanese.
    """
    counts = Counter(script for char in _LETTERS.findall(text) if (script := script_of(char)) is not None)
    found = [script for script, count in counts.items() if count >= _LEAST_SHARE * counts.total()]
    return to_scripts([*found, *(["Jpan"] if {"Hira", "Kana"} & set(found) else [])])


@cache
def script_of(char: str) -> str | None:
    """The one script of a character; None where several or none have it."""
    return next((script for script in SCRIPTS if _pattern(script).match(char)), None)


@cache
def _pattern(script: str) -> regex.Pattern[str]:
    return regex.compile(rf"\p{{sc={script}}}")


@cache
def _all_characters() -> str:
    return "".join(map(chr, (*range(_SURROGATES.start), *range(_SURROGATES.stop, _NUM_CODE_POINTS))))
