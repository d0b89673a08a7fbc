"""Conversations: titles, order, drafts, deletion with undo."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import ConversationNotFound
from tui.history import conversations, tree
from tui.history.drafts import Draft, save_draft
from tui.history.opening import open_history
from tui.history.records import Conversation, Entry, NewMessage
from tui.history.store import Store
from tui.history.titles import title_of

DAY = 24 * 3600.0


def say(store: Store, text: str) -> Conversation:
    talk = conversations.create(store)
    tree.add(store, talk.id, None, NewMessage("user", text))
    return conversations.get(store, talk.id)


def test_a_conversation_keeps_what_it_was_made_with(store: Store) -> None:
    settings = {"temperature": 0.2, "language": "bul_Cyrl", "stop": ["край"]}
    made = conversations.create(store, model="m", adapter="legal", system_prompt="Кратко.", settings=settings)
    assert conversations.get(store, made.id) == made
    assert (made.model, made.adapter, made.system_prompt, made.settings) == ("m", "legal", "Кратко.", settings)
    assert (made.title, made.is_pinned, made.deleted, made.draft, made.num_messages) == ("", False, None, "", 0)
    conversations.set_system_prompt(store, made.id, "Дълго.")
    conversations.set_choices(store, made.id, model="n", adapter="", settings={"seed": 7})
    now = conversations.get(store, made.id)
    assert (now.model, now.adapter, now.system_prompt, now.settings) == ("n", "", "Дълго.", {"seed": 7})


def test_the_first_words_are_the_title_until_there_is_another(store: Store) -> None:
    talk = say(store, "  Разкажи ми\nза Рила.  ")
    assert talk.title == "Разкажи ми за Рила."
    tree.add(store, talk.id, None, NewMessage("user", "Something else"))
    assert conversations.get(store, talk.id).title == "Разкажи ми за Рила."
    conversations.rename(store, talk.id, " Планини\n")
    assert conversations.get(store, talk.id).title == "Планини"


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("short", "short"),
        ("one two three four", "one two…"),
        ("онова нещо там", "онова…"),
        ("你好世界你好世界你好世界", "你好世界你好世界你…"),
        ("👨‍👩‍👧‍👦" * 12, "👨‍👩‍👧‍👦" * 9 + "…"),
        ("मैं हिन्दी में लिखता हूँ", "मैं हिन्दी में…"),
        ("a\x1b[2Jb\u202ec\x00", "a[2Jbc"),
        (" \u200b\n", ""),
    ],
)
def test_a_title_is_cut_between_words_or_at_least_between_characters(text: str, title: str) -> None:
    assert title_of(text, 10) == title


@given(st.text(), st.integers(2, 20))
def test_a_title_is_one_line_of_whole_characters_that_is_not_too_long(text: str, most: int) -> None:
    title = title_of(text, most)
    assert title == " ".join(title.split())
    assert len(regex.findall(r"\X", title)) <= most
    line = " ".join(
        regex.sub(
            r"[\p{Cc}\p{Cf}\p{Cs}\p{Cn}--[\u200C\u200D]]", "", regex.sub(r"\s", " ", text), flags=regex.V1
        ).split()
    )
    kept = title.removesuffix("…")
    assert line.startswith(kept)
    borders = {match.end() for match in regex.finditer(r"\X", line)} | {0}
    assert title == line or len(kept) in borders


def test_pinned_ones_come_first_and_then_the_latest(store: Store) -> None:
    first, second, third = (say(store, text) for text in ("a", "b", "c"))
    conversations.pin(store, second.id, is_pinned=True)
    tree.add(store, first.id, None, NewMessage("user", "again"))
    assert [talk.id for talk in conversations.listed(store)] == [second.id, first.id, third.id]
    assert [talk.num_messages for talk in conversations.listed(store)] == [1, 2, 1]
    conversations.pin(store, second.id, is_pinned=False)
    assert [talk.id for talk in conversations.listed(store)] == [first.id, third.id, second.id]


def test_one_that_was_only_begun_is_not_listed_until_something_is_typed(store: Store) -> None:
    talk = conversations.create(store)
    assert conversations.listed(store) == []
    assert save_draft(store, talk.id, Draft("Здрав"))
    assert [each.draft for each in conversations.listed(store)] == ["Здрав"]


def test_a_draft_is_not_waited_for_where_another_chat_writes(store: Store, path: Path) -> None:
    talk = conversations.create(store)
    with open_history(path) as other:
        with other.writing():
            started = time.perf_counter()
            assert not save_draft(store, talk.id, Draft("Zd"))
            assert time.perf_counter() - started < 5
        assert save_draft(store, talk.id, Draft("Zdr"))
        assert conversations.get(other, talk.id).draft == "Zdr"


def test_what_was_deleted_comes_back_as_it_was(store: Store, said: Entry) -> None:
    before = conversations.get(store, said.conversation)
    conversations.delete(store, said.conversation)
    assert conversations.listed(store) == []
    assert [talk.id for talk in conversations.listed(store, is_deleted=True)] == [said.conversation]
    conversations.restore(store, said.conversation)
    assert conversations.listed(store, is_deleted=True) == []
    assert conversations.listed(store) == [before]
    assert tree.branch(store, said.conversation) == [said]


def test_what_was_deleted_long_ago_is_forgotten_at_opening(store: Store, path: Path) -> None:
    old, recent, kept = (say(store, text) for text in ("Сребърна тайна", "b", "c"))
    for talk, days in ((old, 31), (recent, 29)):
        with store.writing() as connection:
            connection.execute("UPDATE conversations SET deleted = ? WHERE id = ?", (time.time() - days * DAY, talk.id))
    store.close()
    with open_history(path) as opened:
        assert [talk.id for talk in conversations.listed(opened, is_deleted=True)] == [recent.id]
        assert [talk.id for talk in conversations.listed(opened)] == [kept.id]
        with pytest.raises(ConversationNotFound):
            conversations.get(opened, old.id)
        with opened.reading() as connection:
            assert connection.execute("SELECT COUNT(*) FROM messages").fetchone()[0] == 2
            assert connection.execute("SELECT COUNT(*) FROM message_index").fetchone()[0] == 2
    assert "тайна".encode() not in path.read_bytes()


def test_a_long_conversation_can_be_forgotten(store: Store) -> None:
    talk = conversations.create(store)
    with store.writing() as connection:
        parent = None
        for number in range(3000):
            parent = tree.insert(connection, talk.id, parent, NewMessage("user", str(number)))
        connection.execute("UPDATE conversations SET deleted = 1")
    assert conversations.purge(store) == 1
    with store.reading() as connection:
        assert connection.execute("SELECT COUNT(*) FROM messages").fetchone()[0] == 0


def test_one_that_was_begun_and_left_without_a_word_is_forgotten_after_a_day(store: Store) -> None:
    talks = [conversations.create(store) for _ in range(3)]
    save_draft(store, talks[1].id, Draft("typed"))
    with store.writing() as connection:
        connection.execute("UPDATE conversations SET updated = ? WHERE id < ?", (time.time() - 2 * DAY, talks[2].id))
    assert conversations.purge(store) == 1
    conversations.get(store, talks[1].id)
    conversations.get(store, talks[2].id)


def test_a_number_that_is_none_is_told_of(store: Store) -> None:
    for change in (
        lambda: conversations.get(store, 9),
        lambda: conversations.rename(store, 9, "x"),
        lambda: conversations.delete(store, 9),
        lambda: conversations.restore(store, 9),
        lambda: tree.add(store, 9, None, NewMessage("user", "x")),
    ):
        with pytest.raises(ConversationNotFound, match="no conversation 9"):
            change()


def test_a_number_is_never_given_twice(store: Store) -> None:
    talk = conversations.create(store)
    with store.writing() as connection:
        connection.execute("DELETE FROM conversations")
    assert conversations.create(store).id > talk.id
