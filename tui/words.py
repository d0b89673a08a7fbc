"""The interface's own texts in the person's language: gettext catalogues in `tui/locale`.

What a model writes, and the messages of `runtime/errors.py`, are not translated.
"""

from __future__ import annotations

import gettext
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from runtime.errors import ConfigurationInvalid

DOMAIN = "demotic"
LOCALE = Path(__file__).with_name("locale")
# Each by its own name, in the order in which a key goes through them. English is the source.
LANGUAGES = {
    "en": "English",
    "nl": "Nederlands",
    "es": "español",
    "fr": "français",
    "bg": "български",
    "ar": "العربية",
    "hi": "हिन्दी",
    "zh": "中文",
    "ja": "日本語",
    "sw": "Kiswahili",
}
_VARIABLES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")

_current: gettext.NullTranslations = gettext.NullTranslations()
_code = "en"


def use(code: str) -> None:
    """Show the texts in this language from now on, in the whole process.

    Raises:
        ConfigurationInvalid: there is no catalogue of it.
    """
    global _current, _code
    is_source = checked(code) == "en"
    _current = gettext.NullTranslations() if is_source else gettext.translation(DOMAIN, LOCALE, [code])
    _code = code


def checked(code: str) -> str:
    """`code` as it is.

    Raises:
        ConfigurationInvalid: there is no catalogue of that language.
    """
    if code not in LANGUAGES:
        raise ConfigurationInvalid(
            f"The interface has no texts in '{code}'.", remedy=f"It has them in {', '.join(LANGUAGES)}."
        )
    return code


def used() -> str:
    """The code of the language that is shown."""
    return _code


def language_from(environment: Mapping[str, str]) -> str:
    """The language that the locale's variables name, in gettext's order; English where there is no catalogue of it."""
    locale = next((environment[name] for name in _VARIABLES[1:] if environment.get(name)), "")
    if _code_of(locale) in {"", "c", "posix"}:
        return "en"  # so that LANGUAGE does not count, as in GNU gettext
    wanted = [*environment.get(_VARIABLES[0], "").split(":"), locale]
    return next((code for name in wanted if (code := _code_of(name)) in LANGUAGES), "en")


def _code_of(locale: str) -> str:
    """`pt` of `pt_BR.UTF-8@euro`."""
    return locale.partition("@")[0].partition(".")[0].replace("-", "_").partition("_")[0].lower()


def _(text: str) -> str:
    """The text in the language that is used."""
    return _current.gettext(text)


def plural(one: str, many: str, count: int) -> str:
    """The form of a text for `count` things, with that number in the place of `{count}`."""
    return _current.ngettext(one, many, count).format(count=count)


def mark(text: str) -> str:
    """`text` as it is: it is looked up where it is shown, and only marked here for the catalogues."""
    return text


@runtime_checkable
class Worded(Protocol):
    """A widget that shows texts of the catalogues."""

    def show_words(self) -> None:
        """Show them anew, in the language that is used now."""
