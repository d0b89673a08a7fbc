"""The file of conversations: opened, locked against other chats, and its faults told as sentences.

Several chats may use the file at the same time: SQLite's write-ahead log lets them read while one of them writes, and
they wait for each other to write. What was committed outlives the end of the process, also `kill -9`; the loss of power
may cost the last moments (`synchronous = NORMAL`), but not the file.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from runtime.config import HistoryConfig, data_dir
from runtime.errors import HistoryBusy, HistoryUnusable
from tui.history.schema import migrate

FILE_NAME = "chats.sqlite3"

_FILE_MODE, _FOLDER_MODE = 0o600, 0o700
_RETRY_SECONDS = 0.02


class Store:
    """An open file of conversations. May be used from any thread; close it, or use it as a context manager."""

    def __init__(
        self, path: Path | None = None, config: HistoryConfig | None = None, *, is_in_memory: bool = False
    ) -> None:
        """Open `path`, or the file in the user's data folder; it is made where there is none.

        With `is_in_memory` there is no file, and all is forgotten when it is closed.

        Raises:
            HistoryUnusable: it is damaged, newer than this program, another program's, or cannot be opened.
        """
        self.path = path or data_dir() / FILE_NAME
        self.config = config or HistoryConfig()
        self._lock = threading.Lock()
        with self._faults_told():
            self._connection = _open(None if is_in_memory else self.path, self.config.wait_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees the file as it is now, whatever others write meanwhile.

        Raises:
            HistoryUnusable: the file is damaged or cannot be read.
        """
        with self._transaction("BEGIN", self.config.wait_seconds) as connection:
            yield connection

    @contextmanager
    def writing(self, *, is_brief: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are all made at the end, or none if something is raised.

        `is_brief` waits only a moment for another chat.

        Raises:
            HistoryBusy: another program did not let it write in time.
            HistoryUnusable: the file is damaged or cannot be written.
        """
        wait = self.config.short_wait_seconds if is_brief else self.config.wait_seconds
        with self._transaction("BEGIN IMMEDIATE", wait) as connection:
            yield connection

    @contextmanager
    def _transaction(self, begin: str, wait_seconds: float) -> Iterator[sqlite3.Connection]:
        with self._lock, self._faults_told():
            connection = self._connection
            connection.execute(f"PRAGMA busy_timeout = {round(wait_seconds * 1000)}")
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # A full disk may have ended the transaction already.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _faults_told(self) -> Iterator[None]:
        try:
            yield
        except HistoryUnusable as fault:
            raise type(fault)(f"{self.path} cannot be used. {fault.message}", remedy=fault.remedy) from fault
        except sqlite3.Error as fault:
            raise self._told(fault) from fault
        except OSError as fault:
            raise HistoryUnusable(
                f"{self.path} cannot be used: {fault.strerror or fault}.", remedy="Look at the folder's rights."
            ) from fault

    def _told(self, fault: sqlite3.Error) -> HistoryUnusable:
        code = getattr(fault, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        match code:
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return HistoryBusy(
                    f"Another program is writing to {self.path}.", remedy="Try again, or close the other one."
                )
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return HistoryUnusable(
                    f"{self.path} is damaged ({fault}). It was left as it is.",
                    remedy="Move it and the files beside it to another folder to begin a new history, and keep them: "
                    "`sqlite3 chats.sqlite3 .recover` can often read the conversations in them.",
                )
            case sqlite3.SQLITE_FULL:
                return HistoryUnusable(f"There is no room on the disk for {self.path}.", remedy="Make some.")
            case _:
                return HistoryUnusable(
                    f"{self.path} cannot be used: {fault}.", remedy="Look at the rights of the file and its folder."
                )


def _open(path: Path | None, wait_seconds: float) -> sqlite3.Connection:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=_FOLDER_MODE)
        # SQLite gives the files beside it the mode of the file.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, _FILE_MODE))
    connection = sqlite3.connect(
        path or ":memory:", timeout=wait_seconds, isolation_level=None, check_same_thread=False
    )
    try:
        connection.row_factory = sqlite3.Row
        migrate(connection)
        _use_write_ahead_log(connection, wait_seconds)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_write_ahead_log(connection: sqlite3.Connection, wait_seconds: float) -> None:
    """Have SQLite write a log; a disk that cannot (a network's) keeps the slower journal, which is as safe.

    SQLite does not wait for others here by itself: two chats may have made the file in the same moment.
    """
    until = time.monotonic() + wait_seconds
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return
