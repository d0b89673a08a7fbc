"""Opens what is remembered, and puts in order what earlier chats left."""

from __future__ import annotations

from pathlib import Path

from runtime.config import HistoryConfig
from tui.history.conversations import purge
from tui.history.store import Store
from tui.history.writers import mark_interrupted


def open_history(path: Path | None = None, config: HistoryConfig | None = None) -> Store:
    """The conversations in `path`, or in the user's data folder; close it when it is not used any more.

    Answers of chats that ended in their midst are interrupted from now on, and what was deleted long ago is forgotten.

    Raises:
        HistoryUnusable: see `Store`.
    """
    store = Store(path, config)
    try:
        with store.reading() as connection:
            is_settled = connection.execute("SELECT 1 FROM messages WHERE writer IS NOT NULL").fetchone() is None
        if not is_settled:
            with store.writing() as connection:
                mark_interrupted(connection)
        purge(store)
    except BaseException:
        store.close()
        raise
    return store
