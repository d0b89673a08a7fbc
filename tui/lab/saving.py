"""A lab's answers, put on a card and written."""

from __future__ import annotations

from pathlib import Path

from tui.events import Endpoint
from tui.lab.card import Card, Place, write
from tui.lab.lab import Lab
from tui.lab.machine import fingerprint
from tui.lab.page import to_markdown


async def card_of(lab: Lab, endpoint: Endpoint, *, is_own: bool) -> Card:
    """The card of what was answered; `is_own`: by the chat's own server.

    Raises:
        InvalidRequest: nothing was answered yet.
        DemoticError: the machine cannot be told.
    """
    place: Place = "own" if is_own else "here" if endpoint.is_here else "elsewhere"
    lab.require_answers()
    return Card.of(lab, server=place, machine=None if place == "elsewhere" else await fingerprint())


def save(card: Card, path: Path, *, overwrite: bool = False) -> tuple[Path, Path]:
    """Write both files of a card. Raises as `write` does."""
    return write(path, to_markdown(card), card.to_json(), overwrite=overwrite)
