"""A file of conversations of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tui.history import conversations, tree
from tui.history.opening import open_history
from tui.history.records import Conversation, Entry, NewMessage
from tui.history.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "chats.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with open_history(path) as opened:
        yield opened


@pytest.fixture
def talk(store: Store) -> Conversation:
    return conversations.create(store, model="gemma-3-270m")


@pytest.fixture
def said(store: Store, talk: Conversation) -> Entry:
    return tree.add(store, talk.id, None, NewMessage("user", "Коя е столицата?"))
