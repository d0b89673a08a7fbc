"""How a model is asked to answer in a language: a system prompt in that very language (`asking.toml`)."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import langcodes

from tui.choosing.languages import named

FILE = Path(__file__).with_name("asking.toml")


def instruction(language: str) -> str:
    """The sentence that asks for `language`, such as `bul_Cyrl`; in English where nobody has written it yet."""
    found = sentences().get(language)
    if found is not None:
        return found
    english = langcodes.Language.get(language.replace("_", "-")).prefer_macrolanguage().display_name("en")
    return f"Answer in this language only: {english}, {named(language).own}."


@cache
def sentences() -> dict[str, str]:
    """By the codes of their languages."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))
