"""What is piped into a command, as text."""

from __future__ import annotations

import sys

from runtime.errors import InvalidRequest


def piped_in() -> str:
    """What stands on standard input. A terminal is not read: nobody there knows that something is waited for."""
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    return sys.stdin.buffer.read().decode(errors="surrogateescape").rstrip("\n")


def refuse_bytes(text: str) -> None:
    """Raise `InvalidRequest` where `text` holds bytes that are no UTF-8, as Python carries them."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidRequest("The message is not UTF-8 text.", remedy="Convert it, for example with iconv.")
