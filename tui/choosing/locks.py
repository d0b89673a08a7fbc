"""The language lock as it is typed: a language, `auto` or `off`, and how strictly."""

from __future__ import annotations

from tui.choosing.choices import Lock, Mode
from tui.choosing.languages import named

OFF = ""
OFF_WORD = "off"
AUTO = "auto"
MODES: tuple[Mode, ...] = ("soft", "hard")


def lock_of(language: str, mode: Mode) -> Lock | None:
    """The lock on a language in any usual way of naming one; None where it is `OFF`.

    Raises:
        UnknownLanguage: it is none.
    """
    if language in {OFF, OFF_WORD}:
        return None
    return Lock(language if language == AUTO else named(language).code, mode)


def read_lock(text: str, before: Lock | None) -> Lock | None:
    """The lock that was typed, such as `bul hard`, `auto`, `off`; what is not said stays as it was `before`.

    Raises:
        UnknownLanguage: the language is none.
    """
    mode = before.mode if before is not None else MODES[0]
    words = text.split()
    for known in MODES:
        if words[-1:] == [known]:
            mode = known
            words.pop()
    return lock_of(" ".join(words) or (before.language if before is not None else AUTO), mode)
