"""Which process writes an answer, and whether it still runs: what a process that is gone left is taken up by others."""

from __future__ import annotations

import os
import sqlite3
from functools import cache

import psutil

from tui.history import tree

# The system reckons a process's start from its own, which a corrected clock moves a little.
_SAME_SECONDS = 5.0


@cache
def own_writer() -> str:
    """This process, told apart from a later one that gets its number: number and start, in seconds since 1970."""
    return f"{os.getpid()}@{psutil.Process().create_time():.2f}"


def mark_interrupted(connection: sqlite3.Connection) -> None:
    """Put an end to the answers of processes that have ended: they are what came of them.

    Should a writer only seem gone (in a container, say), nothing is lost: its further pieces go after these.
    """
    rows = connection.execute("SELECT id, writer FROM messages WHERE writer IS NOT NULL").fetchall()
    for number, writer in rows:
        if not is_running(writer):
            settle(connection, number, "interrupted")


def settle(connection: sqlite3.Connection, message: int, state: str) -> None:
    """Put the pieces of a message together: from now on it can be found, and has this state."""
    said: dict[str, list[str]] = {"content": [], "reasoning": []}
    for kind, text in connection.execute("SELECT kind, text FROM pieces WHERE message = ? ORDER BY number", (message,)):
        said[kind].append(text)
    connection.execute(
        "UPDATE messages SET text = text || ?, reasoning = reasoning || ?, state = ?, writer = NULL WHERE id = ?",
        ("".join(said["content"]), "".join(said["reasoning"]), state, message),
    )
    connection.execute("DELETE FROM pieces WHERE message = ?", (message,))
    tree.index(connection, message)


def is_running(writer: str) -> bool:
    """Whether the process of a writer has not ended."""
    number, _, started = writer.partition("@")
    try:
        return abs(psutil.Process(int(number)).create_time() - float(started)) < _SAME_SECONDS
    except psutil.Error:
        return False
