"""Text files that go along with a message."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import InvalidRequest
from tui.words import _

# A file of this size fills the context of most small models several times.
MAX_BYTES = 64 * 1024
_FENCE = re.compile(r"`{3,}")


@dataclass(frozen=True)
class Attachment:
    """A file's name and text."""

    name: str
    text: str

    @property
    def fenced(self) -> str:
        """The text under its name, in a fence that is longer than any in it."""
        fence = "`" * (max((len(found) for found in _FENCE.findall(self.text)), default=2) + 1)
        return f"{self.name}:\n{fence}\n{self.text.rstrip()}\n{fence}"


def read_attachment(path: Path) -> Attachment:
    """A text file.

    Raises:
        InvalidRequest: it cannot be read, is too large, or is no UTF-8 text.
    """
    try:
        if not path.is_file():
            raise InvalidRequest(_("{path} is no file.").format(path=path))
        with path.open("rb") as file:
            found = file.read(MAX_BYTES + 1)
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise InvalidRequest(_("{path} cannot be read: {reason}.").format(path=path, reason=reason)) from fault
    if len(found) > MAX_BYTES:
        most = MAX_BYTES // 1024
        raise InvalidRequest(_("{path} has more than {most} KiB.").format(path=path, most=most))
    try:
        text = found.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InvalidRequest(_("{path} is no UTF-8 text.").format(path=path))
    return Attachment(path.name, text)
