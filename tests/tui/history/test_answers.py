"""An answer is written down while it comes, whatever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.chat.reasoning import Piece
from runtime.chat.template import Message
from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.loop import CallAsked, CallEnded
from runtime.errors import HistoryBusy, HistoryUnusable
from tui.events import AnswerFinished
from tui.history import conversations, tree
from tui.history.answers import AnswerWriter, figures_of
from tui.history.opening import open_history
from tui.history.records import Entry, NewMessage
from tui.history.search import search
from tui.history.store import Store
from tui.history.turns import to_messages

ENDED = AnswerFinished("stop", 5, 40, 0.5, 2.0)
CALLS = [CallAsked(ToolCall(f"c{at}", "get_time", f'{{"at": {at}}}')) for at in range(2)]


def last(store: Store, said: Entry) -> Entry:
    return tree.branch(store, said.conversation)[-1]


def write(writer: AnswerWriter, *words: str) -> None:
    for word in words:
        writer.take(Piece("content", word))


def test_every_piece_is_in_the_file_before_the_next_one_comes(store: Store, path: Path, said: Entry) -> None:
    writer = AnswerWriter(store, said, model="gemma-3-270m", adapter="legal")
    with open_history(path) as other:
        assert last(other, said).role == "user"
        writer.take(Piece("reasoning", "мис"))
        writer.take(Piece("reasoning", "ля"))
        so_far = ""
        for word in ("София", " е ", "столицата"):
            write(writer, word)
            so_far += word
            seen = last(other, said)
            assert (seen.role, seen.text, seen.reasoning, seen.state) == ("assistant", so_far, "мисля", "streaming")
        assert (seen.model, seen.adapter, seen.parent) == ("gemma-3-270m", "legal", said.id)
        writer.take(ENDED)
        writer.finish("complete")
        assert (last(other, said).text, last(other, said).reasoning) == ("София е столицата", "мисля")
        assert last(other, said).state == "complete"
        with other.reading() as connection:
            assert connection.execute("SELECT COUNT(*) FROM pieces").fetchone()[0] == 0


def test_its_figures_are_kept(store: Store, said: Entry) -> None:
    writer = AnswerWriter(store, said)
    write(writer, "a", "b", "c")
    writer.take(ENDED)
    writer.finish("complete")
    figures = last(store, said).figures
    assert figures is not None
    assert (figures.reason, figures.num_tokens, figures.num_characters) == ("stop", 5, 40)
    assert (figures.first_token_seconds, figures.seconds) == (0.5, 2.5)
    assert (figures.tokens_per_second, figures.characters_per_second) == (4 / 2.0, 40 / 2.5)
    assert figures.itl_median is not None
    assert figures.itl_longest is not None
    assert 0 < figures.itl_median <= figures.itl_longest


def test_times_between_pieces_are_summed_up() -> None:
    figures = figures_of(ENDED, [0.0, 1.0, 1.5, 4.5])
    assert (figures.itl_median, figures.itl_p95, figures.itl_longest) == (1.0, 3.0, 3.0)
    assert figures_of(ENDED, [1.0]).itl_median is None


def test_calls_and_their_results_are_messages_in_the_order_of_the_loop(store: Store, said: Entry) -> None:
    writer = AnswerWriter(store, said)
    write(writer, "I look.")
    events = [
        ENDED,
        *(event for asked in CALLS for event in (asked, CallEnded(asked, "answered", f"at {asked.call.id}", 0.25))),
        Piece("content", "\n\n"),
        Piece("content", "It is noon."),
        ENDED,
    ]
    for event in events:
        writer.take(event)
    writer.finish("complete")
    branch = tree.branch(store, said.conversation)
    assert [(entry.role, entry.text) for entry in branch[1:]] == [
        ("assistant", "I look."),
        ("tool", "at c0"),
        ("tool", "at c1"),
        ("assistant", "It is noon."),
    ]
    assert branch[1].calls == tuple(asked.call for asked in CALLS)
    assert (branch[2].name, branch[2].call_id, branch[2].seconds) == ("get_time", "c0", 0.25)
    assert writer.last == branch[-1].id
    assert to_messages("", branch)[1:4] == [
        Message("assistant", "I look.", tuple(asked.call for asked in CALLS)),
        *(Message("tool", f"at c{at}", tool_call_id=f"c{at}", name="get_time") for at in range(2)),
    ]


def test_a_turn_that_only_calls_is_a_message_too_and_each_turn_has_its_own_calls(store: Store, said: Entry) -> None:
    writer = AnswerWriter(store, said)
    for asked, outcome in zip(CALLS, ("denied", "failed"), strict=True):
        writer.take(ENDED)
        writer.take(asked)
        writer.take(CallEnded(asked, "denied" if outcome == "denied" else "failed", "why"))
    writer.finish("stopped")
    branch = tree.branch(store, said.conversation)[1:]
    assert [(entry.role, entry.state, len(entry.calls)) for entry in branch] == [
        ("assistant", "complete", 1),
        ("tool", "denied", 0),
        ("assistant", "complete", 1),
        ("tool", "failed", 0),
        ("assistant", "stopped", 0),
    ]


def test_a_stop_during_a_call_stops_the_call(store: Store, said: Entry) -> None:
    writer = AnswerWriter(store, said)
    writer.take(ENDED)
    writer.take(CALLS[0])
    assert (last(store, said).name, last(store, said).state) == ("get_time", "streaming")
    writer.finish("stopped")
    assert (last(store, said).role, last(store, said).state) == ("tool", "stopped")


def test_what_came_before_a_stop_or_a_fault_is_kept_and_found(store: Store, said: Entry) -> None:
    for at, (state, fault) in enumerate((("stopped", ""), ("failed", "The server is gone."))):
        writer = AnswerWriter(store, said)
        write(writer, "половин ", "отговор")
        writer.finish("stopped" if state == "stopped" else "failed", fault)
        entry = last(store, said)
        assert (entry.text, entry.state, entry.fault) == ("половин отговор", state, fault)
        assert entry.position == (at + 1, at + 1)
    assert len(search(store, "половин отг")) == 2


def test_an_answer_that_failed_before_its_first_piece_says_why(store: Store, said: Entry) -> None:
    AnswerWriter(store, said, model="m").finish("failed", "No such model.")
    entry = last(store, said)
    assert (entry.role, entry.text, entry.state, entry.fault, entry.model) == (
        "assistant",
        "",
        "failed",
        "No such model.",
        "m",
    )


def test_going_on_writes_into_the_same_message(store: Store, said: Entry) -> None:
    writer = AnswerWriter(store, said)
    write(writer, "Столицата")
    writer.take(AnswerFinished("length", 1, 9, 0.1, 0.1))
    writer.finish("complete")
    cut = last(store, said)
    writer = AnswerWriter.going_on(store, cut)
    write(writer, " е Со", "фия")
    assert (last(store, said).text, last(store, said).state) == ("Столицата е София", "streaming")
    writer.take(ENDED)
    writer.finish("complete")
    assert (last(store, said).id, last(store, said).text) == (cut.id, "Столицата е София")
    assert last(store, said).state == "complete"
    assert [hit.message for hit in search(store, "столицата е софия")] == [cut.id]


def test_going_on_after_calls_keeps_them(store: Store, said: Entry) -> None:
    call = CALLS[0].call
    cut = tree.add(store, said.conversation, said.id, NewMessage("assistant", "I", "stopped", calls=(call,)))
    writer = AnswerWriter.going_on(store, cut)
    write(writer, " look")
    writer.take(ENDED)
    writer.take(CALLS[1])
    writer.finish("stopped")
    entry = tree.branch(store, said.conversation)[-2]
    assert (entry.text, entry.calls) == ("I look", (call, CALLS[1].call))


def test_pieces_that_another_chat_keeps_out_go_in_with_the_next(store: Store, path: Path, said: Entry) -> None:
    with open_history(path) as other:
        writer = AnswerWriter(store, said)
        write(writer, "a")
        with other.writing():
            write(writer, "b", "c")
            assert last(store, said).text == "a"
        write(writer, "d")
        assert last(store, said).text == "abcd"
        with other.writing():
            write(writer, "e")
        writer.finish("stopped")
        assert last(store, said).text == "abcde"


def test_a_first_piece_that_is_kept_out_is_not_lost(store: Store, path: Path, said: Entry) -> None:
    with open_history(path) as other:
        writer = AnswerWriter(store, said)
        with other.writing():
            write(writer, "a")
        write(writer, "b")
        assert last(store, said).text == "ab"


def test_after_a_full_disk_it_goes_on_with_nothing_lost(store: Store, said: Entry) -> None:
    writer = AnswerWriter(store, said)
    write(writer, "a")
    with store.reading() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(HistoryUnusable, match="no room") as told:
        write(writer, "b" * 100_000)
    assert not isinstance(told.value, HistoryBusy)
    with store.reading() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
    write(writer, "c")
    assert last(store, said).text == "a" + "b" * 100_000 + "c"


def test_the_cost_of_a_piece_does_not_grow_with_the_answer(store: Store, said: Entry) -> None:
    """Bytes that a piece adds to the write-ahead log, at the beginning and after a megabyte."""
    log = store.path.with_name(f"{store.path.name}-wal")
    with store.reading() as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    writer = AnswerWriter(store, said)

    def cost() -> int:
        before = log.stat().st_size
        write(writer, *["дума "] * 50)
        return log.stat().st_size - before

    write(writer, "a")
    short = cost()
    write(writer, "b" * 1_000_000)
    assert cost() <= short + 20 * 4120
    assert short <= 50 * 4120 * 1.2


CHAT = """
import sys
from pathlib import Path
from runtime.chat.reasoning import Piece
from tui.history import conversations, tree
from tui.history.answers import AnswerWriter
from tui.history.drafts import Draft, save_draft
from tui.history.opening import open_history
from tui.history.records import NewMessage
store = open_history(Path(sys.argv[1]))
talk = conversations.create(store)
writer = AnswerWriter(store, tree.add(store, talk.id, None, NewMessage("user", "Брой!")))
number = 0
while True:
    writer.take(Piece("reasoning" if number < 5 else "content", f"{number} "))
    print(number, flush=True)
    save_draft(store, talk.id, Draft(f"typed {number}"))
    number += 1
"""


def test_kill_9_during_an_answer_costs_nothing_of_what_was_received(path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(
        [sys.executable, "-c", CHAT, str(path)], stdout=subprocess.PIPE, text=True, env=environment
    ) as chat:
        assert chat.stdout is not None
        received = 0
        while received < 300:
            received = int(chat.stdout.readline())
        with open_history(path) as store:
            (talk,) = conversations.listed(store)
            assert tree.branch(store, talk.id)[-1].state == "streaming", "its writer still runs"
        chat.send_signal(signal.SIGKILL)
        received = max([received, *map(int, chat.stdout.read().split("\n")[:-1])])
    with open_history(path) as store:
        (talk,) = conversations.listed(store)
        question, answer = tree.branch(store, talk.id)
        assert (question.text, talk.title) == ("Брой!", "Брой!")
        assert answer.state == "interrupted"
        numbers = [int(word) for word in answer.text.split()]
        assert numbers == list(range(5, len(numbers) + 5))
        assert numbers[-1] >= received, "the last received piece is there"
        assert answer.reasoning == "0 1 2 3 4 "
        assert int(talk.draft.removeprefix("typed ")) >= received - 1
        assert [hit.message for hit in search(store, f"{received - 1} {received}")] == [answer.id]
        # And the conversation goes on.
        again = AnswerWriter.going_on(store, answer)
        write(again, "край")
        again.finish("complete")
        assert tree.branch(store, talk.id)[-1].text == f"{answer.text}край"


def test_a_writer_that_only_seemed_gone_loses_nothing(store: Store, said: Entry) -> None:
    writer = AnswerWriter(store, said)
    write(writer, "a", "b")
    with store.writing() as connection:
        connection.execute("UPDATE messages SET writer = '999999999@1.00' WHERE writer IS NOT NULL")
    with open_history(store.path) as other:
        assert (last(other, said).text, last(other, said).state) == ("ab", "interrupted")
        write(writer, "c")
        writer.finish("complete")
        assert (last(other, said).text, last(other, said).state) == ("abc", "complete")


def test_a_process_that_got_the_number_of_a_chat_is_not_taken_for_it(store: Store, said: Entry) -> None:
    write(AnswerWriter(store, said), "a")
    with store.writing() as connection:
        connection.execute("UPDATE messages SET writer = ? WHERE writer IS NOT NULL", (f"{os.getpid()}@1.00",))
    open_history(store.path).close()
    assert last(store, said).state == "interrupted"


def test_no_message_of_a_tool_is_lost_with_its_process(store: Store, said: Entry) -> None:
    writer = AnswerWriter(store, said)
    writer.take(ENDED)
    writer.take(CALLS[0])
    with store.writing() as connection:
        connection.execute("UPDATE messages SET writer = '999999999@1.00' WHERE writer IS NOT NULL")
    open_history(store.path).close()
    call, result = tree.branch(store, said.conversation)[1:]
    assert (call.calls[0].name, result.state) == ("get_time", "interrupted")
    tree.add(store, said.conversation, result.id, NewMessage("user", "Go on"))
    roles = [turn.role for turn in to_messages("", tree.branch(store, said.conversation))]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]
