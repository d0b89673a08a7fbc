"""What a model is told of tools, in the user's language.

One data file a language, which a speaker can correct without reading code: `prompts/<language>.toml`, named by
ISO 639-3 and ISO 15924. The Bulgarian one has the words that TUCAN was trained with.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

FOLDER = Path(__file__).with_name("prompts")
ENGLISH = "eng_Latn"


@dataclass(frozen=True)
class ToolPrompts:
    """Words of one language; those that say so have placeholders for `str.format`.

    `assistant`: what the assistant is, where nobody says. `access`: that it may call functions. `form`: how to write a
    call; `{start}` is the mark before one, `{result}` that before its result. `form_heading` and `tools_heading` stand
    above the form of a call and the list of functions, `request_heading` above what the user asks, where all this is in
    the same turn. `denied`: that the user did not let the function `{name}` run. `failed`: that it broke off, with its
    `{error}`.
    """

    assistant: str
    access: str
    form: str
    form_heading: str
    tools_heading: str
    request_heading: str
    denied: str
    failed: str


def prompts_for(language: str | None) -> ToolPrompts:
    """The words of a language such as `bul_Cyrl`; English ones where that has none, or where it is not known."""
    return _read(language if language is not None and language in prompt_languages() else ENGLISH)


@lru_cache(maxsize=1)
def prompt_languages() -> frozenset[str]:
    """The languages that have words of their own."""
    return frozenset(file.stem for file in FOLDER.glob("*.toml"))


@lru_cache(maxsize=64)
def _read(name: str) -> ToolPrompts:
    return ToolPrompts(**tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8")))
