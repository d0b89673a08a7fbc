"""Names of languages: ISO 639-3 and ISO 15924 inside (`bul_Cyrl`), every usual alias at the edge."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import lru_cache

from runtime.errors import UnknownLanguage

_MAX_CHARS = 80
_TAG = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")
# How translation models write a language into their texts: >>fra<<, __fr__, <2fr>.
_WRAPPED = re.compile(r">>(.+)<<|__(.+)__|<2(.+)>")
# mBART says "no country" by XX, which is none of the registered ones.
_NO_COUNTRY = re.compile(r"[-_]XX$", re.IGNORECASE)
# Locales of POSIX name an encoding as well.
_ENCODING = re.compile(r"\.[A-Za-z0-9-]+$")
# Codes of no language in particular: several, none, not coded, not known.
_NO_LANGUAGE = frozenset({"mis", "mul", "und", "zxx"})
# Of a macrolanguage and its members, the one that FLORES and the models trained with its codes know.
_SAME = {
    "ara": "arb",
    "aze": "azj",
    "cmn": "zho",
    "ekk": "est",
    "fas": "pes",
    "fil": "tgl",
    "kok": "gom",
    "kur": "kmr",
    "lvs": "lav",
    "mlg": "plt",
    "mon": "khk",
    "msa": "zsm",
    "nep": "npi",
    "nor": "nob",
    "ori": "ory",
    "pus": "pbt",
    "sqi": "als",
    "swa": "swh",
    "uzb": "uzn",
    "yid": "ydd",
}
# Korean is written without Chinese characters today; who wants them says kor_Kore.
_SCRIPTS = {"kor": "Hang"}


@dataclass(frozen=True)
class Language:
    """A language as it is written: ISO 639-3 code, ISO 15924 script."""

    code: str
    script: str

    def __str__(self) -> str:
        return f"{self.code}_{self.script}"


@lru_cache(maxsize=1024)
def parse(text: str, *, param: str | None = None) -> Language:
    """The language that `text` names, in any usual way: bg, bg_BG, bul_Cyrl, Bulgarian, български, nl_XX, >>fra<<.

    Where no script is named, it is the one that the language is mostly written in.

    Raises:
        UnknownLanguage: it names none; the error names the field `param`.
    """
    import langcodes

    name = text.strip()
    if wrapped := _WRAPPED.fullmatch(name):
        name = next(filter(None, wrapped.groups()))
    name = _NO_COUNTRY.sub("", _ENCODING.sub("", name))
    found = None
    if _TAG.fullmatch(name):
        try:
            found = langcodes.Language.get(name)
        except langcodes.tag_parser.LanguageTagError:
            raise UnknownLanguage(text, nearest=_nearest(name), param=param) from None
    elif 0 < len(name) <= _MAX_CHARS:
        try:
            found = langcodes.find(name)
        except LookupError:
            raise UnknownLanguage(text, nearest=_nearest(name), param=param) from None
    if found is None or not found.is_valid() or found.language is None or _is_none(found.language):
        raise UnknownLanguage(text[:_MAX_CHARS], nearest=_nearest(name[:_MAX_CHARS]), param=param)
    code = found.to_alpha3()
    code = _SAME.get(code, code)
    return Language(code, found.script or _SCRIPTS.get(code) or found.maximize().script or "Latn")


def short_code(language: Language) -> str:
    """Two letters where ISO 639-1 has them; with the script where the language is mostly written in another."""
    code = _shortest(language)
    return code if parse(code) == language else f"{code}-{language.script}"


def english_name(language: Language) -> str:
    """What the language is called in English, such as Swahili."""
    import langcodes

    return langcodes.Language.get(_shortest(language)).display_name()


def _shortest(language: Language) -> str:
    """The code of a language, or of the macrolanguage that is meant by it, with two letters where there are any."""
    import langcodes

    codes = (language.code, *(macro for macro, member in _SAME.items() if member == language.code))
    found = [str(langcodes.Language.get(code).language) for code in codes]
    return min(found, key=len)


def all_languages() -> list[Language]:
    """The languages that Unicode's CLDR has words for, each as it is mostly written, in the order of their codes."""
    return [parse(code) for code in sorted(set(_known().values()))]


def _is_none(code: str) -> bool:
    # qaa to qtz are for private use: nobody else knows what they mean.
    return code in _NO_LANGUAGE or (len(code) == 3 and "qaa" <= code <= "qtz")


def _nearest(name: str) -> tuple[str, ...]:
    """Up to three languages whose codes or names look like `name`."""
    known = _known()
    found = difflib.get_close_matches(name.casefold(), known, n=6, cutoff=0.5)
    return tuple(dict.fromkeys(known[one] for one in found))[:3]


@lru_cache(maxsize=1)
def _known() -> dict[str, str]:
    """The languages that Unicode's CLDR has words for, by code and by name in English and in themselves."""
    import langcodes
    from langcodes.language_lists import CLDR_LANGUAGES

    known: dict[str, str] = {}
    for tag in sorted(CLDR_LANGUAGES):
        language = langcodes.Language.get(tag)
        if "-" in tag or _is_none(tag) or not language.is_valid():
            continue
        told = str(parse(tag))
        for name in (tag, language.to_alpha3(), told, language.display_name(), language.autonym()):
            known.setdefault(name.casefold(), told)
    return known
