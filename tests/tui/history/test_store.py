"""The file: made, migrated, refused, and shared by several chats."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.config import HistoryConfig, data_dir
from runtime.errors import HistoryBusy, HistoryUnusable
from tui.history import conversations, tree
from tui.history.drafts import Draft, save_draft
from tui.history.opening import open_history
from tui.history.records import NewMessage
from tui.history.schema import MIGRATIONS, migrate
from tui.history.store import Store

ADDED = ("ALTER TABLE conversations ADD COLUMN colour TEXT NOT NULL DEFAULT 'green'",)


def test_it_is_one_file_in_the_user_s_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMOTIC_DATA_DIR", str(tmp_path / "here"))
    with open_history() as store:
        assert store.path == tmp_path / "here" / "chats.sqlite3"
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["chats.sqlite3"]
    monkeypatch.delenv("DEMOTIC_DATA_DIR")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    if sys.platform == "linux":
        assert data_dir() == tmp_path / "xdg" / "demotic"


def test_only_its_owner_can_read_it_and_what_lies_beside_it(store: Store) -> None:
    conversations.create(store)
    names = sorted(path.name for path in store.path.parent.iterdir())
    assert names == ["chats.sqlite3", "chats.sqlite3-shm", "chats.sqlite3-wal"]
    for file in store.path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700


def test_it_has_a_write_ahead_log(store: Store) -> None:
    with store.reading() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 1


def plain(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    return sqlite3.connect(path, isolation_level=None)


def test_a_file_of_an_earlier_version_is_brought_up_with_all_that_is_in_it(store: Store, path: Path) -> None:
    talk = conversations.create(store, system_prompt="Bulgarian only")
    store.close()
    connection = plain(path)
    migrate(connection, (*MIGRATIONS, ADDED))
    assert connection.execute("SELECT id, system_prompt, colour FROM conversations").fetchall() == [
        (talk.id, "Bulgarian only", "green")
    ]
    migrate(connection, (*MIGRATIONS, ADDED))
    connection.close()


def test_a_migration_that_fails_changes_nothing(store: Store, path: Path) -> None:
    store.close()
    connection = plain(path)
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, (*MIGRATIONS, (*ADDED, "SELECT no_such_column")))
    assert "colour" not in {row[1] for row in connection.execute("PRAGMA table_info(conversations)")}
    assert connection.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
    connection.close()
    open_history(path).close()


def test_a_newer_file_is_refused_and_left_as_it_is(store: Store, path: Path) -> None:
    store.close()
    connection = plain(path)
    migrate(connection, (*MIGRATIONS, ADDED))
    connection.close()
    before = path.read_bytes()
    with pytest.raises(
        HistoryUnusable, match=rf"is of version {len(MIGRATIONS) + 1}.* up to {len(MIGRATIONS)}"
    ) as told:
        open_history(path)
    assert str(path) in told.value.message
    assert "newer demotic" in told.value.remedy
    assert path.read_bytes() == before


def test_another_program_s_file_is_refused_and_left_as_it_is(path: Path) -> None:
    connection = plain(path)
    connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(HistoryUnusable, match="another program's"):
        open_history(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("garbage", [b"this is no database, " * 500, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_told_of_and_left_as_it_is(path: Path, garbage: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(garbage)
    with pytest.raises(HistoryUnusable) as told:
        open_history(path)
    assert f"{path} is damaged" in told.value.message
    assert ".recover" in told.value.remedy
    assert path.read_bytes() == garbage
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_damage_in_the_midst_of_a_file_is_told_of_when_it_is_met(store: Store, path: Path) -> None:
    talk = conversations.create(store)
    for number in range(300):
        tree.add(store, talk.id, None, NewMessage("user", f"{number} " * 200))
    store.close()
    content = bytearray(path.read_bytes())
    content[20 * 4096 : -4096] = b"\xa5" * (len(content) - 21 * 4096)
    path.write_bytes(content)
    with pytest.raises(HistoryUnusable, match="is damaged"), open_history(path) as opened:
        tree.every(opened, talk.id)


def test_a_folder_that_cannot_be_used_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HistoryUnusable, match="cannot be used"):
        open_history(tmp_path / "file" / "chats.sqlite3")
    with pytest.raises(HistoryUnusable, match="cannot be used"):
        open_history(tmp_path)


def test_what_fails_in_the_midst_leaves_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError, match="in the midst"), store.writing() as connection:
        connection.execute("INSERT INTO conversations (created, updated, draft) VALUES (0, 0, 'x')")
        raise RuntimeError("in the midst")
    assert conversations.listed(store) == []


def test_a_full_disk_is_told_of_and_costs_only_what_was_not_written(store: Store) -> None:
    talk = conversations.create(store)
    with store.reading() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(HistoryUnusable, match="no room on the disk"):
        tree.add(store, talk.id, None, NewMessage("user", "long " * 20_000))
    assert tree.branch(store, talk.id) == []
    tree.add(store, talk.id, None, NewMessage("user", "short"))
    assert [entry.text for entry in tree.branch(store, talk.id)] == ["short"]


def test_who_waits_too_long_for_another_chat_is_told_so(store: Store, path: Path) -> None:
    with Store(path, HistoryConfig(wait_seconds=0.05)) as other:
        with store.writing(), pytest.raises(HistoryBusy, match="Another program is writing"):
            conversations.create(other)
        conversations.create(other)


WRITER = """
import sys
from pathlib import Path
from tui.history import conversations, tree
from tui.history.opening import open_history
from tui.history.drafts import Draft, save_draft
from tui.history.records import NewMessage
with open_history(Path(sys.argv[1])) as store:
    talk = conversations.create(store, model=sys.argv[2])
    parent = None
    for number in range(40):
        parent = tree.add(store, talk.id, parent, NewMessage("user", f"{sys.argv[2]} {number}")).id
        tree.branch(store, talk.id)
"""


def test_two_chats_make_and_use_the_same_file_at_once(path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(path)]
    chats = [
        subprocess.Popen([*command, name], stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": "."})
        for name in ("one", "two")
    ]
    for chat in chats:
        _, fault = chat.communicate(timeout=60)
        assert chat.returncode == 0, fault
    with open_history(path) as store:
        talks = conversations.listed(store)
        assert sorted(talk.model for talk in talks) == ["one", "two"]
        for talk in talks:
            assert [entry.text for entry in tree.branch(store, talk.id)] == [f"{talk.model} {at}" for at in range(40)]


def test_one_chat_reads_while_another_writes(store: Store, path: Path) -> None:
    talk = conversations.create(store, model="before")
    save_draft(store, talk.id, Draft("typed"))
    with open_history(path) as other, store.writing() as connection:
        connection.execute("UPDATE conversations SET model = 'after'")
        assert conversations.get(other, talk.id).model == "before"
    assert conversations.get(store, talk.id).model == "after"


def test_the_limits_in_the_docs_are_those_of_the_program() -> None:
    page = (Path(__file__).parents[3] / "docs" / "chat-history.md").read_text(encoding="utf-8")
    config = HistoryConfig()
    assert f"can be brought back for {config.keep_deleted_days:g} days" in page
    assert f"wait for each other to write, up to {config.wait_seconds:g} s" in page
    assert f"has more than {config.max_import_bytes // 2**20} MiB unpacked" in page
    assert f"has more than {config.max_import_nodes:,} messages" in page
