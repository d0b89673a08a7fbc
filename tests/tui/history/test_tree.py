"""Messages are a tree: branches are kept, and the chosen one comes back."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from runtime.chat.template import Message
from runtime.chat.tools.call import Change, ToolCall
from runtime.errors import ConversationNotFound
from tui.history import conversations, tree
from tui.history.opening import open_history
from tui.history.records import Conversation, Entry, NewMessage, State
from tui.history.store import Store
from tui.history.turns import to_messages


def texts(store: Store, talk: Conversation) -> list[str]:
    return [entry.text for entry in tree.branch(store, talk.id)]


def add(store: Store, talk: Conversation, parent: Entry | None, role: str, text: str) -> Entry:
    return tree.add(store, talk.id, None if parent is None else parent.id, NewMessage(role, text))


def test_editing_an_earlier_message_makes_a_branch_and_both_are_kept(store: Store, talk: Conversation) -> None:
    first = add(store, talk, None, "user", "Hello")
    answer = add(store, talk, first, "assistant", "Hi")
    add(store, talk, answer, "user", "How are you?")
    edited = add(store, talk, None, "user", "Bonjour")
    add(store, talk, edited, "assistant", "Salut")
    assert texts(store, talk) == ["Bonjour", "Salut"]
    assert edited.position == (2, 2)
    tree.choose(store, first.id)
    assert texts(store, talk) == ["Hello", "Hi", "How are you?"]
    assert [entry.position for entry in tree.branch(store, talk.id)] == [(1, 2), (1, 1), (1, 1)]
    tree.choose(store, edited.id)
    assert texts(store, talk) == ["Bonjour", "Salut"]
    assert len(tree.every(store, talk.id)) == 5


def test_regenerating_puts_an_answer_beside_the_others(store: Store, talk: Conversation) -> None:
    question = add(store, talk, None, "user", "A number?")
    answers = [add(store, talk, question, "assistant", text) for text in ("one", "two", "three")]
    tree.choose(store, answers[1].id)
    chosen = tree.branch(store, talk.id)[-1]
    assert (chosen.text, chosen.position) == ("two", (2, 3))
    assert chosen.siblings == tuple(answer.id for answer in answers)


def test_choosing_a_message_chooses_the_whole_way_to_it(store: Store, talk: Conversation) -> None:
    old = add(store, talk, None, "user", "old")
    deep = add(store, talk, add(store, talk, old, "assistant", "a"), "user", "deep")
    add(store, talk, None, "user", "new")
    tree.choose(store, deep.id)
    assert texts(store, talk) == ["old", "a", "deep"]
    assert [entry.text for entry in tree.branch_to(store, deep.id)] == ["old", "a", "deep"]


def test_a_parent_of_another_conversation_is_refused(store: Store, said: Entry) -> None:
    other = conversations.create(store)
    with pytest.raises(ConversationNotFound):
        tree.add(store, other.id, said.id, NewMessage("user", "x"))
    assert tree.every(store, other.id) == []


def test_a_message_keeps_all_that_belongs_to_it(store: Store, said: Entry) -> None:
    call = ToolCall("call_1", "get_time", '{"zone": "София"}', (Change("/zone", "Sofia", "София", "transliteration"),))
    message = NewMessage(
        "assistant", "Ден\x00\ud800", "stopped", "мисля", (call,), model="m", adapter="a", created=7.5, fault="f"
    )
    entry = tree.add(store, said.conversation, said.id, message)
    assert tree.branch(store, said.conversation)[-1] == entry
    assert (entry.role, entry.text, entry.state) == ("assistant", "Ден\x00\ufffd", "stopped")
    assert (entry.reasoning, entry.calls, entry.created) == ("мисля", (call,), 7.5)
    assert (entry.model, entry.adapter, entry.fault, entry.parent) == ("m", "a", "f", said.id)


# What the model is told


def entries(*parts: tuple[str, str] | NewMessage) -> list[Entry]:
    messages = [NewMessage(*part) if isinstance(part, tuple) else part for part in parts]
    return [
        Entry(
            at, 1, None, each.role, each.text, 0.0, each.state, calls=each.calls, call_id=each.call_id, name=each.name
        )
        for at, each in enumerate(messages)
    ]


def told(*parts: tuple[str, str] | NewMessage) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in to_messages("", entries(*parts))]


CALL = ToolCall("c1", "get_time", "{}")


def test_a_branch_is_told_with_its_system_prompt_and_its_calls() -> None:
    branch = entries(
        ("user", "q"),
        NewMessage("assistant", "", calls=(CALL,)),
        NewMessage("tool", "12:00", call_id="c1", name="get_time"),
        ("assistant", "noon"),
    )
    assert to_messages("sys", branch) == [
        Message("system", "sys"),
        Message("user", "q"),
        Message("assistant", "", (CALL,)),
        Message("tool", "12:00", tool_call_id="c1", name="get_time"),
        Message("assistant", "noon"),
    ]


def test_a_question_without_any_answer_is_left_out_before_another() -> None:
    assert told(("user", "a"), NewMessage("assistant", "", "failed"), ("user", "b")) == [("user", "b")]
    assert told(("user", "a"), NewMessage("assistant", "par", "interrupted"), ("user", "b")) == [
        ("user", "a"),
        ("assistant", "par"),
        ("user", "b"),
    ]


@pytest.mark.parametrize(
    ("state", "text", "words"),
    [("failed", "no zone", "no zone"), ("denied", "", "get_time"), ("interrupted", "", "did not come to an end")],
)
def test_every_call_has_a_result_and_the_model_the_last_word(state: State, text: str, words: str) -> None:
    turns = to_messages(
        "",
        entries(
            ("user", "q"),
            NewMessage("assistant", "", calls=(CALL,)),
            NewMessage("tool", text, state, call_id="c1", name="get_time"),
            ("user", "next"),
        ),
    )
    assert [turn.role for turn in turns] == ["user", "assistant", "tool", "assistant", "user"]
    assert words in turns[2].content
    assert turns[3].content


def test_a_call_whose_result_was_never_written_gets_one_and_a_stray_result_none() -> None:
    turns = to_messages("", entries(NewMessage("assistant", "", calls=(CALL,)), ("user", "next")))
    assert [turn.role for turn in turns] == ["assistant", "tool", "assistant", "user"]
    assert told(("user", "q"), NewMessage("tool", "x", call_id="zz"), ("assistant", "a")) == [
        ("user", "q"),
        ("assistant", "a"),
    ]


def test_answers_that_follow_each_other_are_one() -> None:
    assert told(("user", "q"), ("assistant", "a"), ("assistant", "b")) == [("user", "q"), ("assistant", "a\n\nb")]


# Any tree


class AnyTree(RuleBasedStateMachine):
    """A real file beside the plainest model of it: parents, children in order, and what was chosen last."""

    messages = Bundle("messages")

    @initialize()
    def begin(self) -> None:
        import tempfile
        from pathlib import Path

        self.folder = tempfile.TemporaryDirectory()
        self.store = open_history(Path(self.folder.name) / "chats.sqlite3")
        self.talk = conversations.create(self.store)
        self.parents: dict[int, int | None] = {}
        self.chosen: dict[int | None, int] = {}

    def choose_in_model(self, message: int) -> None:
        at: int | None = message
        while at is not None:
            self.chosen[self.parents[at]] = at
            at = self.parents[at]

    @rule(target=messages)
    def add_first(self) -> int:
        return self.add(None)

    @rule(target=messages, parent=messages)
    def add_after(self, parent: int) -> int:
        return self.add(parent)

    def add(self, parent: int | None) -> int:
        entry = tree.add(self.store, self.talk.id, parent, NewMessage("user", "x"))
        self.parents[entry.id] = parent
        self.choose_in_model(entry.id)
        return entry.id

    @rule(message=messages)
    def choose(self, message: int) -> None:
        tree.choose(self.store, message)
        self.choose_in_model(message)

    @rule()
    def open_anew(self) -> None:
        path = self.store.path
        self.store.close()
        self.store = open_history(path)

    @invariant()
    def the_branch_is_what_was_chosen_last(self) -> None:
        if not hasattr(self, "store"):
            return
        expected, at = [], self.chosen.get(None)
        while at is not None:
            expected.append(at)
            at = self.chosen.get(at)
        branch = tree.branch(self.store, self.talk.id)
        assert [entry.id for entry in branch] == expected
        for entry in branch:
            siblings = tuple(each for each, parent in self.parents.items() if parent == self.parents[entry.id])
            assert entry.siblings == siblings
        assert [entry.id for entry in tree.every(self.store, self.talk.id)] == sorted(self.parents)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()


AnyTree.TestCase.settings = settings(
    max_examples=20, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestAnyTree = AnyTree.TestCase
