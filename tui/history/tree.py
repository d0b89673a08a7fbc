"""The messages of a conversation: a tree, one branch of which is the current one.

Whoever edits an earlier message or asks for another answer begins a branch: a sibling of what was there, which stays.
Every message remembers which of those that follow it was chosen last, and the conversation which first one. So the way
from the first message along the chosen ones is what is on the screen, and coming back to a branch shows its own end.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence

from runtime.chat.reasoning import Piece
from runtime.errors import ConversationNotFound
from tui.history.folding import fold
from tui.history.records import Entry, NewMessage, storable, to_entry, to_json
from tui.history.store import Store
from tui.history.titles import title_of

_CHOSEN = """
WITH RECURSIVE branch (id, depth) AS (
    SELECT chosen, 0 FROM conversations WHERE id = ?
    UNION ALL
    SELECT messages.chosen, depth + 1 FROM branch JOIN messages ON messages.id = branch.id
)
SELECT id FROM branch WHERE id IS NOT NULL ORDER BY depth DESC LIMIT ?
"""
_ABOVE = """
WITH RECURSIVE above (id, depth) AS (
    SELECT ?, 0
    UNION ALL
    SELECT messages.parent, depth + 1 FROM above JOIN messages ON messages.id = above.id
)
SELECT id FROM above WHERE id IS NOT NULL ORDER BY depth
"""
_STEPS = """
WITH RECURSIVE above (id) AS (
    SELECT ?
    UNION ALL
    SELECT messages.parent FROM above JOIN messages ON messages.id = above.id
)
SELECT messages.id, parent, conversation FROM above JOIN messages ON messages.id = above.id
"""


def add(store: Store, conversation: int, parent: int | None, message: NewMessage) -> Entry:
    """Put a message after `parent`, or first where that is None; it is of the current branch from now on.

    What was said first gives the conversation its title, unless it has one.

    Raises:
        ConversationNotFound: there is no such conversation, or it has no such parent.
    """
    with store.writing() as connection:
        number = insert(connection, conversation, parent, message)
        choose_in(connection, number)
        touch(connection, conversation)
        if message.role == "user":
            entitle(connection, conversation, message.text, store.config.max_title_graphemes)
        (row,) = connection.execute("SELECT * FROM messages WHERE id = ?", (number,))
        return read(connection, [row])[0]


def branch(store: Store, conversation: int, *, most: int | None = None) -> list[Entry]:
    """The current branch of a conversation, from its first message to its last; or only its last `most` messages.

    A screen's worth of a long conversation is read much faster than the whole.
    """
    with store.reading() as connection:
        limit = -1 if most is None else most
        return _read_backwards(connection, connection.execute(_CHOSEN, (conversation, limit)))


def branch_to(store: Store, message: int) -> list[Entry]:
    """The messages from the first one to this one."""
    with store.reading() as connection:
        return _read_backwards(connection, connection.execute(_ABOVE, (message,)))


def every(store: Store, conversation: int) -> list[Entry]:
    """All messages of a conversation, those of all branches; each one after its parent."""
    with store.reading() as connection:
        rows = connection.execute("SELECT * FROM messages WHERE conversation = ? ORDER BY id", (conversation,))
        return read(connection, rows.fetchall())


def choose(store: Store, message: int) -> None:
    """Make the branch with this message the current one; below it, it goes on as it was chosen last."""
    with store.writing() as connection:
        choose_in(connection, message)


def insert(connection: sqlite3.Connection, conversation: int, parent: int | None, message: NewMessage) -> int:
    """The number of a new message, which can be found at once where it is whole.

    Raises:
        ConversationNotFound: see `add`.
    """
    known = connection.execute("SELECT 1 FROM conversations WHERE id = ?", (conversation,)).fetchone()
    if known is not None and parent is not None:
        known = connection.execute(
            "SELECT 1 FROM messages WHERE id = ? AND conversation = ?", (parent, conversation)
        ).fetchone()
    if known is None:
        raise ConversationNotFound(conversation)
    made = connection.execute(
        "INSERT INTO messages (conversation, parent, created, role, state, model, adapter, call_id, name, fault, "
        "calls, text, reasoning) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            conversation,
            parent,
            time.time() if message.created is None else message.created,
            message.role,
            message.state,
            message.model,
            message.adapter,
            message.call_id,
            message.name,
            storable(message.fault),
            to_json(message.calls),
            storable(message.text),
            storable(message.reasoning),
        ),
    )
    number = int(made.lastrowid or 0)
    if message.state != "streaming":
        index(connection, number)
    return number


def index(connection: sqlite3.Connection, message: int) -> None:
    """Have a search find a message as it is now."""
    (text,) = connection.execute("SELECT text FROM messages WHERE id = ?", (message,)).fetchone()
    connection.execute("DELETE FROM message_index WHERE rowid = ?", (message,))
    connection.execute("INSERT INTO message_index (rowid, folded) VALUES (?, ?)", (message, fold(text)))


def choose_in(connection: sqlite3.Connection, message: int) -> None:
    """`choose` within a transaction."""
    for number, parent, conversation in connection.execute(_STEPS, (message,)).fetchall():
        if parent is None:
            connection.execute("UPDATE conversations SET chosen = ? WHERE id = ?", (number, conversation))
        else:
            connection.execute(
                "UPDATE messages SET chosen = ? WHERE id = ? AND chosen IS NOT ?", (number, parent, number)
            )


def touch(connection: sqlite3.Connection, conversation: int) -> None:
    """Something happened in the conversation now."""
    connection.execute("UPDATE conversations SET updated = ? WHERE id = ?", (time.time(), conversation))


def entitle(connection: sqlite3.Connection, conversation: int, said: str, max_graphemes: int) -> None:
    """Name a conversation that has no title after what was said."""
    title = title_of(said, max_graphemes)
    connection.execute(
        "UPDATE conversations SET title = ?, folded_title = ? WHERE id = ? AND title = ''",
        (title, fold(title), conversation),
    )


def read(connection: sqlite3.Connection, rows: Sequence[sqlite3.Row]) -> list[Entry]:
    """Messages of one conversation, with the pieces that came so far and their siblings."""
    if not rows:
        return []
    children: dict[int | None, list[int]] = defaultdict(list)
    conversation = (rows[0]["conversation"],)
    for number, parent in connection.execute(
        "SELECT id, parent FROM messages WHERE conversation = ? ORDER BY id", conversation
    ):
        children[parent].append(number)
    return [to_entry(row, _pieces(connection, row), children[row["parent"]]) for row in rows]


def _read_backwards(connection: sqlite3.Connection, numbers: Iterable[tuple[int]]) -> list[Entry]:
    """The messages of these numbers, which come from the last to the first."""
    # Sorting whole rows takes as long as reading them.
    wanted = [number for (number,) in numbers][::-1]
    rows = connection.execute(
        "SELECT * FROM messages WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(wanted),)
    ).fetchall()
    places = {row["id"]: row for row in rows}
    return read(connection, [places[number] for number in wanted if number in places])


def _pieces(connection: sqlite3.Connection, row: sqlite3.Row) -> Sequence[Piece]:
    if row["writer"] is None:
        return ()
    rows: Iterable[tuple[str, str]] = connection.execute(
        "SELECT kind, text FROM pieces WHERE message = ? ORDER BY number", (row["id"],)
    )
    return [Piece("reasoning" if kind == "reasoning" else "content", text) for kind, text in rows]
