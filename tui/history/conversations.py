"""Conversations: made, listed, renamed, pinned, deleted and brought back."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from runtime.errors import ConversationNotFound
from tui.history.folding import fold
from tui.history.records import Conversation, storable, to_conversation, to_json
from tui.history.store import Store

_SELECT = """
SELECT conversations.*,
    (SELECT COUNT(*) FROM messages WHERE conversation = conversations.id) AS num_messages,
    (SELECT COUNT(*) FROM attached WHERE conversation = conversations.id) AS num_attached
FROM conversations
"""
_OLD = """
SELECT id FROM conversations
WHERE deleted < ? OR (
    updated < ? AND draft = '' AND NOT EXISTS (SELECT 1 FROM messages WHERE conversation = conversations.id)
    AND NOT EXISTS (SELECT 1 FROM attached WHERE conversation = conversations.id)
)
"""
_DAY_SECONDS = 24 * 60 * 60.0


def create(
    store: Store,
    *,
    model: str = "",
    adapter: str = "",
    system_prompt: str = "",
    settings: Mapping[str, Any] | None = None,
) -> Conversation:
    """A new conversation, with nothing said; it is listed when something is said, typed or attached."""
    with store.writing() as connection:
        now = time.time()
        made = connection.execute(
            "INSERT INTO conversations (created, updated, model, adapter, system_prompt, settings) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (now, now, model, adapter, storable(system_prompt), to_json(settings or {})),
        )
        return _get(connection, int(made.lastrowid or 0))


def get(store: Store, number: int) -> Conversation:
    """A conversation, also a deleted one.

    Raises:
        ConversationNotFound: there is none of this number.
    """
    with store.reading() as connection:
        return _get(connection, number)


def listed(store: Store, *, is_deleted: bool = False) -> list[Conversation]:
    """All conversations, or all that are deleted and can be brought back: pinned ones first, then the latest."""
    with store.reading() as connection:
        rows = connection.execute(
            f"{_SELECT} WHERE (deleted IS NOT NULL) = ? AND (draft <> '' OR num_messages > 0 OR num_attached > 0) "
            "ORDER BY pinned DESC, updated DESC, id DESC",
            (is_deleted,),
        )
        return [to_conversation(row) for row in rows]


def rename(store: Store, number: int, title: str) -> None:
    """Give a conversation a title of one's own. Raises `ConversationNotFound`, as do all below."""
    title = " ".join(storable(title).split())
    _change(store, number, title=title, folded_title=fold(title))


def pin(store: Store, number: int, *, is_pinned: bool) -> None:
    """Keep a conversation at the top of the list, or no more."""
    _change(store, number, pinned=is_pinned)


def set_system_prompt(store: Store, number: int, text: str) -> None:
    """What the model is told before all else, in this conversation."""
    _change(store, number, system_prompt=storable(text))


def set_choices(store: Store, number: int, *, model: str, adapter: str, settings: Mapping[str, Any]) -> None:
    """Which model and adapter answer from here on, and how; `settings` are JSON values by name."""
    _change(store, number, model=model, adapter=adapter, settings=to_json(settings))


def delete(store: Store, number: int) -> None:
    """Put a conversation away; `restore` brings it back until it is purged (`HistoryConfig.keep_deleted_days`)."""
    _change(store, number, deleted=time.time())


def restore(store: Store, number: int) -> None:
    """Undo `delete`."""
    _change(store, number, deleted=None)


def purge(store: Store) -> int:
    """Forget for good what was deleted long ago, and what was begun and left without a word.

    Returns:
        How many conversations.
    """
    now = time.time()
    too_old = (now - store.config.keep_deleted_days * _DAY_SECONDS, now - _DAY_SECONDS)
    with store.reading() as connection:
        if connection.execute(_OLD, too_old).fetchone() is None:
            return 0
    with store.writing() as connection:
        # Another chat may have brought one back meanwhile.
        old = connection.execute(_OLD, too_old).fetchall()
        connection.executemany("DELETE FROM conversations WHERE id = ?", old)
        return len(old)


def _get(connection: sqlite3.Connection, number: int) -> Conversation:
    row = connection.execute(f"{_SELECT} WHERE id = ?", (number,)).fetchone()
    if row is None:
        raise ConversationNotFound(number)
    return to_conversation(row)


def _change(store: Store, number: int, **values: object) -> None:
    """Set columns of a conversation, whose names are ours."""
    settings = ", ".join(f"{name} = ?" for name in values)
    with store.writing() as connection:
        done = connection.execute(
            f"UPDATE conversations SET {settings} WHERE id = ?",  # noqa: S608  # see above
            (*values.values(), number),
        )
        if done.rowcount == 0:
            raise ConversationNotFound(number)
