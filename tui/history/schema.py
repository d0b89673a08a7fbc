"""The tables of the file of conversations, and how a file of an earlier version becomes one of this version.

The version is SQLite's `user_version`: how many of `MIGRATIONS` the file has had. A migration that was released is
never changed; a new one is put after it.

A message's row comes before all that can be long, so that reading many rows' numbers and times reads few pages. Pieces
of an answer that is still coming are rows of their own, in the order of their key: a piece costs one page, however long
the answer is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from runtime.errors import HistoryUnusable

# Tells our file from another program's; SQLite keeps it in the header (the letters "demo").
APPLICATION_ID = int.from_bytes(b"demo", "big")

_FIRST = (
    """
    CREATE TABLE conversations (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        created REAL NOT NULL,
        updated REAL NOT NULL,
        pinned INTEGER NOT NULL DEFAULT 0,
        deleted REAL,
        chosen INTEGER,
        origin TEXT UNIQUE,
        model TEXT NOT NULL DEFAULT '',
        adapter TEXT NOT NULL DEFAULT '',
        title TEXT NOT NULL DEFAULT '',
        folded_title TEXT NOT NULL DEFAULT '',
        settings TEXT NOT NULL DEFAULT '{}',
        system_prompt TEXT NOT NULL DEFAULT '',
        draft TEXT NOT NULL DEFAULT ''
    )
    """,
    """
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation INTEGER NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
        parent INTEGER REFERENCES messages (id),
        chosen INTEGER,
        created REAL NOT NULL,
        role TEXT NOT NULL,
        state TEXT NOT NULL,
        writer TEXT,
        model TEXT NOT NULL DEFAULT '',
        adapter TEXT NOT NULL DEFAULT '',
        call_id TEXT,
        name TEXT,
        seconds REAL,
        figures TEXT,
        fault TEXT NOT NULL DEFAULT '',
        calls TEXT NOT NULL DEFAULT '[]',
        text TEXT NOT NULL DEFAULT '',
        reasoning TEXT NOT NULL DEFAULT ''
    )
    """,
    "CREATE INDEX children ON messages (conversation, parent)",
    # What SQLite looks up for each message that is deleted: whether it is another one's parent.
    "CREATE INDEX parents ON messages (parent)",
    "CREATE INDEX being_written ON messages (writer) WHERE writer IS NOT NULL",
    """
    CREATE TABLE pieces (
        message INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        kind TEXT NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (message, number)
    ) WITHOUT ROWID
    """,
    # Its rows have the numbers of the messages. It only has to tell which messages have three letters in them.
    """
    CREATE VIRTUAL TABLE message_index
    USING fts5 (folded, tokenize = 'trigram case_sensitive 1', detail = 'none', columnsize = 0)
    """,
    """
    CREATE TRIGGER forget_message AFTER DELETE ON messages
    BEGIN
        DELETE FROM message_index WHERE rowid = old.id;
    END
    """,
)
# Which chat typed the draft: another one leaves it alone while that runs.
_SECOND = ("ALTER TABLE conversations ADD COLUMN draft_writer TEXT",)
# Which message the draft is to replace, and the files that go along with it.
_THIRD = (
    "ALTER TABLE conversations ADD COLUMN draft_edits INTEGER",
    """
    CREATE TABLE attached (
        conversation INTEGER NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        name TEXT NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (conversation, number)
    ) WITHOUT ROWID
    """,
)
MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST, _SECOND, _THIRD)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Bring a file up to the newest version, all of it or nothing; an empty one gets its tables.

    Raises:
        HistoryUnusable: the file is another program's, or of a version that is not known yet.
    """
    if _version(connection, len(migrations)) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another chat may have done it while this one waited.
        for statements in migrations[_version(connection, len(migrations)) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, newest: int) -> int:
    """How many migrations the file has had."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID and (tables or version or application):
        raise HistoryUnusable("It is another program's SQLite file.", remedy="Name another folder or file.")
    if version > newest:
        raise HistoryUnusable(
            f"It is of version {version}, and this demotic knows versions up to {newest}.",
            remedy="Use the newer demotic that wrote it; nothing was changed.",
        )
    return int(version)
