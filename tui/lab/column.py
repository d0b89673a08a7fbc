"""What a column of the lab asks: which model, with which adapter, in which language, locked or not."""

from __future__ import annotations

from typing import Literal, Self

import msgspec

from runtime.errors import InvalidRequest
from tui.choosing.choices import Choices, Lock
from tui.choosing.languages import named
from tui.choosing.locks import read_lock
from tui.choosing.sampling import Sampling

Choice = Literal["model", "adapter", "language", "lock"]
CHOICES: tuple[Choice, ...] = ("model", "adapter", "language", "lock")
NONE = "none"


class Column(msgspec.Struct, frozen=True):
    """`language` is the one that the answer is asked for in, such as `bul_Cyrl`; empty: nothing is said about it.

    `adapter` is one of the model, or empty; `lock` None is none.
    """

    model: str
    adapter: str = ""
    language: str = ""
    lock: Lock | None = None

    def choices(self, sampling: Sampling) -> Choices:
        """What a request says of them beside the model."""
        return Choices(self.adapter, self.lock, sampling)

    def changed(self, choice: Choice, text: str) -> Self:
        """The same with a choice as it was typed; another model has no adapter.

        Raises:
            UnknownLanguage: a language is none.
        """
        text = text.strip()
        match choice:
            case "model":
                return msgspec.structs.replace(self, model=text, adapter="")
            case "adapter":
                return msgspec.structs.replace(self, adapter="" if text == NONE else text)
            case "language":
                code = "" if text in {"", NONE} else named(text).code
                return msgspec.structs.replace(self, language=code)
            case "lock":
                return msgspec.structs.replace(self, lock=read_lock(text, self.lock))

    @classmethod
    def read(cls, text: str) -> Self:
        """A column as it is typed: `MODEL,adapter=NAME,language=LANGUAGE,lock=LANGUAGE hard`, all but the model or not.

        Raises:
            InvalidRequest: it is written otherwise.
            UnknownLanguage: a language is none.
        """
        model, *parts = text.split(",")
        column = cls(model.strip())
        for part in parts:
            name, equals, value = part.partition("=")
            choice = next((known for known in CHOICES[1:] if known == name.strip()), None)
            if choice is None or not equals:
                raise _unreadable(text)
            column = column.changed(choice, value)
        if not column.model:
            raise _unreadable(text)
        return column


def _unreadable(text: str) -> InvalidRequest:
    return InvalidRequest(
        f"'{text}' is no column of the lab.", remedy="Write MODEL,adapter=NAME,language=LANGUAGE,lock=LANGUAGE hard."
    )
