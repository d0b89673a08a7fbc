"""What is kept of answers, how much of it, and for whom."""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path

import pytest

from runtime.api.stored import ResponseStore
from runtime.chat.template import Message
from runtime.chat.tools.call import ToolCall

TURNS = [Message("user", "Wie heißt du?"), Message("assistant", "私は雪です。")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "responses.sqlite3"


def test_an_answer_comes_back_as_it_was_kept_also_after_a_restart(path: Path) -> None:
    store = ResponseStore(path, 10_000)
    assert store.keep("a", "", {"text": "雪"}, TURNS)
    store.close()
    store = ResponseStore(path, 10_000)
    stored = store.get("a", "")
    assert stored is not None
    assert stored.body == {"text": "雪"}
    assert list(stored.conversation) == TURNS
    store.close()


def test_calls_and_results_are_kept_and_turns_of_before_these_are_read(path: Path) -> None:
    store = ResponseStore(path, 10_000)
    calls = [
        Message("assistant", "", (ToolCall("call_1", "get_weather", '{"city": "София"}'),)),
        Message("tool", "18 °C", tool_call_id="call_1", name="get_weather"),
    ]
    assert store.keep("a", "", {}, [*TURNS, *calls])
    assert store.keep("old", "", {}, TURNS)
    store.close()
    with sqlite3.connect(path) as connection:
        turns = json.dumps([[turn.role, turn.content] for turn in TURNS])
        connection.execute("UPDATE responses SET conversation = ? WHERE id = 'old'", (turns,))
    connection.close()
    store = ResponseStore(path, 10_000)
    kept, old = store.get("a", ""), store.get("old", "")
    assert kept is not None
    assert old is not None
    assert list(kept.conversation) == [*TURNS, *calls]
    assert list(old.conversation) == TURNS
    store.close()


def test_the_oldest_answers_make_room_for_new_ones(path: Path) -> None:
    store = ResponseStore(path, 50_000)
    for number in range(40):
        assert store.keep(str(number), "", {"text": "x" * 4_000}, TURNS)
    kept = [number for number in range(40) if store.get(str(number), "") is not None]
    assert kept == list(range(40 - len(kept), 40))
    assert 10 <= len(kept) <= 12
    assert path.stat().st_size < 150_000
    store.close()


def test_an_answer_over_the_limit_is_not_kept_and_costs_no_other(path: Path) -> None:
    store = ResponseStore(path, 1_000)
    assert store.keep("small", "", {}, TURNS)
    assert not store.keep("large", "", {"text": "x" * 1_000}, TURNS)
    assert store.get("large", "") is None
    assert store.get("small", "") is not None
    store.close()


def test_an_owner_neither_sees_nor_deletes_what_is_anothers(path: Path) -> None:
    store = ResponseStore(path, 10_000)
    store.keep("a", "ada", {}, TURNS)
    assert store.get("a", "bob") is None
    assert not store.delete("a", "bob")
    assert store.get("a", "ada") is not None
    assert store.delete("a", "ada")
    assert store.get("a", "ada") is None
    store.close()


def test_a_file_that_cannot_be_written_costs_no_answer(path: Path) -> None:
    path.parent.parent.joinpath("cache").write_text("in the way")
    assert not ResponseStore(path, 10_000).keep("a", "", {}, TURNS)


def test_threads_may_use_it_at_once(path: Path) -> None:
    store = ResponseStore(path, 1_000_000)
    threads = [
        threading.Thread(target=lambda name=name: [store.keep(f"{name}-{at}", "", {}, TURNS) for at in range(10)])
        for name in "abcd"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(store.get(f"{name}-{at}", "") is not None for name in "abcd" for at in range(10))
    store.close()


def overwrite(path: Path, start: int) -> None:
    """Damage a file from a byte on, as a disk would: its size stays."""
    data = bytearray(path.read_bytes())
    data[start:] = b"\xa5" * (len(data) - start)
    path.write_bytes(data)


# In the head, in the first page, and in what the first page leads to.
@pytest.mark.parametrize("start", [0, 100, 4096])
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(
    path: Path, start: int, caplog: pytest.LogCaptureFixture
) -> None:
    store = ResponseStore(path, 1_000_000)
    for number in range(20):
        assert store.keep(str(number), "", {"text": "x" * 2_000}, TURNS)
    store.close()
    overwrite(path, start)
    assert store.get("7", "") is None
    assert store.keep("new", "", {"text": "雪"}, TURNS)
    stored = store.get("new", "")
    assert stored is not None and stored.body == {"text": "雪"}
    assert store.delete("new", "")
    aside = path.with_name("responses.sqlite3.damaged")
    assert b"\xa5" * 500 in aside.read_bytes()
    assert aside.stat().st_mode & 0o777 == 0o600
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "is damaged" in caplog.text
    store.close()


def test_a_row_that_makes_no_sense_is_not_there(path: Path) -> None:
    store = ResponseStore(path, 10_000)
    assert store.keep("a", "", {"text": "雪"}, TURNS)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE responses SET body = '{'")
    connection.close()
    assert store.get("a", "") is None
    store.close()


def test_a_file_that_cannot_be_opened_holds_nothing(path: Path) -> None:
    path.parent.parent.joinpath("cache").write_text("in the way")
    store = ResponseStore(path, 10_000)
    assert store.get("a", "") is None
    assert not store.delete("a", "")
