"""Which conversation a chat goes on with: the last one, where it was left in the midst of something."""

from __future__ import annotations

from typing import Literal

from tui.history import conversations, tree
from tui.history.records import Conversation
from tui.history.store import Store
from tui.history.writers import is_running, own_writer

# The last one if it was left in the midst of something, the last one in any case, or a new one.
Resume = Literal["left", "last", "new"]


def resumed(store: Store, resume: Resume) -> Conversation | None:
    """The conversation that a chat goes on with; None where it begins a new one."""
    match resume:
        case "left":
            return left_open(store)
        case "last":
            return latest(store)
        case "new":
            return None


def latest(store: Store) -> Conversation | None:
    """The conversation in which something happened last."""
    return max(conversations.listed(store), key=lambda each: (each.updated, each.id), default=None)


def left_open(store: Store) -> Conversation | None:
    """The latest conversation, if its last answer was interrupted, or something in it was typed and not sent.

    What another chat that still runs has typed is its own.
    """
    found = latest(store)
    if found is None:
        return None
    if found.is_being_written:
        with store.reading() as connection:
            (writer,) = connection.execute(
                "SELECT draft_writer FROM conversations WHERE id = ?", (found.id,)
            ).fetchone()
        return found if writer is None or writer == own_writer() or not is_running(writer) else None
    last = tree.branch(store, found.id, most=1)
    return found if last and last[0].state == "interrupted" else None
