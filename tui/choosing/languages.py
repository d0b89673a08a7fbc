"""Languages by name: in the interface's language, and by their own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import langcodes

from runtime.language.codes import all_languages, parse
from tui.history.folding import fold
from tui.words import used


@dataclass(frozen=True)
class NamedLanguage:
    """`code` such as `bul_Cyrl`; `name` in the interface's language, `own` in its own."""

    code: str
    name: str
    own: str

    @property
    def label(self) -> str:
        """Both names, once where they are the same."""
        return self.name if fold(self.name) == fold(self.own) else f"{self.name} · {self.own}"

    @property
    def searched(self) -> str:
        """What a search looks through."""
        return fold(f"{self.name} {self.own} {self.code}")


def named(code: str) -> NamedLanguage:
    """A language in any usual way of naming one.

    Raises:
        UnknownLanguage: it is none.
    """
    return _named(str(parse(code)), used())


def all_named() -> list[NamedLanguage]:
    """All languages, by their names in the interface's language."""
    return sorted((_named(str(language), used()) for language in all_languages()), key=lambda each: fold(each.name))


@lru_cache(maxsize=1024)
def _named(code: str, shown_in: str) -> NamedLanguage:
    language, _, script = code.partition("_")
    # Without its script where that is the usual one: "Bulgarian" and not "Bulgarian (Cyrillic)".
    tag = language if str(parse(language)) == code else f"{language}-{script}"
    found = langcodes.Language.get(tag).prefer_macrolanguage()  # CLDR names Arabic, and not Standard Arabic
    return NamedLanguage(code, found.display_name(shown_in), found.autonym())


def names_of(codes: list[str], most: int) -> str:
    """The names of the first `most` languages, and how many more there are."""
    names = [named(code).name for code in codes[:most]]
    more = [f"+{len(codes) - most}"] if len(codes) > most else []
    return " · ".join([*names, *more])
