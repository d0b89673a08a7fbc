"""What is typed in a conversation and not sent: its text, which message it is to replace, which files go along."""

from __future__ import annotations

import time
from dataclasses import dataclass

from runtime.errors import ConversationNotFound, HistoryBusy
from tui.attaching import Attachment
from tui.history.records import storable
from tui.history.store import Store
from tui.history.writers import own_writer


@dataclass(frozen=True)
class Draft:
    """`edits` is the message in whose place it is to stand; None is at the end."""

    text: str = ""
    edits: int | None = None
    attached: tuple[Attachment, ...] = ()


def draft_of(store: Store, number: int) -> Draft:
    """What is typed in a conversation.

    Raises:
        ConversationNotFound: there is none of this number.
    """
    with store.reading() as connection:
        row = connection.execute("SELECT draft, draft_edits FROM conversations WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise ConversationNotFound(number)
        attached = connection.execute(
            "SELECT name, text FROM attached WHERE conversation = ? ORDER BY number", (number,)
        )
        return Draft(row["draft"], row["draft_edits"], tuple(Attachment(*each) for each in attached))


def save_draft(store: Store, number: int, draft: Draft, *, before: Draft = Draft()) -> bool:
    """Remember what is typed and not sent yet; cheap enough for every key, since files are written only once.

    `before` is what is remembered already.

    Returns:
        Whether it was saved: not where another chat is writing, which is not waited for. Save it again with the next
        key, or a moment later.

    Raises:
        ConversationNotFound: there is none of this number.
    """
    try:
        with store.writing(is_brief=True) as connection:
            done = connection.execute(
                "UPDATE conversations SET draft = ?, draft_edits = ?, draft_writer = ?, updated = ? WHERE id = ?",
                (storable(draft.text), draft.edits, own_writer(), time.time(), number),
            )
            if done.rowcount == 0:
                raise ConversationNotFound(number)
            if draft.attached != before.attached:
                connection.execute("DELETE FROM attached WHERE conversation = ?", (number,))
                connection.executemany(
                    "INSERT INTO attached (conversation, number, name, text) VALUES (?, ?, ?, ?)",
                    [(number, at, storable(each.name), each.text) for at, each in enumerate(draft.attached)],
                )
    except HistoryBusy:
        return False
    return True
