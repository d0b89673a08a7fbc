"""Answers of the Responses API, kept so that they can be read back and followed up.

They are in one SQLite file, which only its owner may read. Each holds its whole conversation, so that it can be
followed up when those before it are gone. The oldest make room for new ones. What is deleted is overwritten with
zeros in the file.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from runtime.chat.template import Message
from runtime.chat.tools.call import ToolCall

_log = logging.getLogger("demotic.api")

ResultT = TypeVar("ResultT")

_FILE_MODE = 0o600
_SCHEMA = """
CREATE TABLE IF NOT EXISTS responses (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    size INTEGER NOT NULL,
    conversation TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS sizes ON responses (size);
"""


@dataclass(frozen=True)
class StoredResponse:
    """An answer as it was sent, and the conversation up to and with it, without the instructions."""

    body: dict[str, Any]
    conversation: tuple[Message, ...]


class ResponseStore:
    """Answers by id, each of which only its `owner` gets. May be used from any thread.

    Nothing is opened or written before the first answer is kept or asked for.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Keep at most `max_bytes` of answers and conversations in the file `path`."""
        self._path = path
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._opened: sqlite3.Connection | None = None

    def keep(self, response_id: str, owner: str, body: dict[str, Any], conversation: Sequence[Message]) -> bool:
        """Keep an answer, and delete the oldest ones over the limit.

        Returns:
            Whether it is kept. It is not where it is over the limit alone, or where the file cannot be written.
        """
        body_text = json.dumps(body, ensure_ascii=False)
        turns = json.dumps([dataclasses.astuple(message) for message in conversation], ensure_ascii=False)
        size = len(body_text.encode()) + len(turns.encode())
        if size > self._max_bytes:
            return False

        def insert(connection: sqlite3.Connection) -> bool:
            connection.execute(
                "INSERT INTO responses (id, owner, size, conversation, body) VALUES (?, ?, ?, ?, ?)",
                (response_id, owner, size, turns, body_text),
            )
            (total,) = connection.execute("SELECT SUM(size) FROM responses").fetchone()
            while total > self._max_bytes:
                number, freed = connection.execute(
                    "SELECT number, size FROM responses ORDER BY number LIMIT 1"
                ).fetchone()
                connection.execute("DELETE FROM responses WHERE number = ?", (number,))
                total -= freed
            return True

        return bool(self._do(insert))

    def get(self, response_id: str, owner: str) -> StoredResponse | None:
        """The answer; None where there is none, or not for `owner`, or where the file cannot be read."""

        def select(connection: sqlite3.Connection) -> StoredResponse | None:
            row = connection.execute(
                "SELECT body, conversation FROM responses WHERE id = ? AND owner = ?", (response_id, owner)
            ).fetchone()
            if row is None:
                return None
            body, turns = map(json.loads, row)
            return StoredResponse(body, tuple(_to_message(*turn) for turn in turns))

        return self._do(select)

    def delete(self, response_id: str, owner: str) -> bool:
        """Delete an answer, and tell whether there was one for `owner`."""

        def delete(connection: sqlite3.Connection) -> bool:
            done = connection.execute("DELETE FROM responses WHERE id = ? AND owner = ?", (response_id, owner))
            return done.rowcount > 0

        return bool(self._do(delete))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def _do(self, work: Callable[[sqlite3.Connection], ResultT]) -> ResultT | None:
        """What `work` gives, as one transaction of one thread at a time; None where the file does not allow it.

        A file that is damaged is set aside, and a new one takes its place.
        """
        with self._lock:
            try:
                try:
                    return self._transact(work)
                except sqlite3.DatabaseError as fault:
                    if type(fault) is not sqlite3.DatabaseError:
                        raise
                    # The class itself is what SQLite's NOTADB and CORRUPT become; all else has a class below it.
                    self._set_aside(fault)
                    return self._transact(work)
            except (sqlite3.Error, OSError, ValueError) as fault:
                _log.warning("kept responses cannot be used: %s", fault)
                return None

    def _transact(self, work: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        if self._opened is None:
            self._opened = self._open()
        with self._opened:
            return work(self._opened)

    def _set_aside(self, fault: sqlite3.DatabaseError) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None
        aside = self._path.with_name(f"{self._path.name}.damaged")
        self._path.replace(aside)
        # It belongs to the damaged file, and would be read into the new one.
        self._path.with_name(f"{self._path.name}-journal").unlink(missing_ok=True)
        _log.warning("%s is damaged (%s): it is now %s, and a new one is begun", self._path, fault, aside.name)

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # SQLite gives its journal the mode of the file.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, _FILE_MODE))
        self._path.chmod(_FILE_MODE)
        connection = sqlite3.connect(self._path, check_same_thread=False)
        try:
            connection.execute("PRAGMA auto_vacuum = FULL")
            connection.execute("PRAGMA secure_delete = ON")
            connection.executescript(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def _to_message(role: str, content: str, calls: Sequence[Sequence[str]] = (), *more: str | None) -> Message:
    """A turn as it is kept. Those of earlier versions have only a role and a content; no changes of calls are kept."""
    return Message(role, content, tuple(ToolCall(call[0], call[1], call[2]) for call in calls), *more)
