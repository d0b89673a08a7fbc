"""What the chat remembers: conversations go on where they were left, whatever ended them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.tui.endpoint import WAIT, FakeEndpoint
from tests.tui.test_app import SIZE, say, screen, until
from tui.app import ChatApp
from tui.history import conversations, tree
from tui.history.drafts import Draft, save_draft
from tui.history.opening import open_history
from tui.history.records import Conversation, Entry, NewMessage
from tui.history.store import Store
from tui.keeper import Keeper
from tui.widgets.prompt import Prompt


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chats.sqlite3"


@pytest.fixture
def chat(fake: FakeEndpoint, path: Path) -> Callable[..., ChatApp]:
    """A chat that remembers in the file."""
    return lambda **more: ChatApp(fake.connect, keeper=Keeper(partial(open_history, path)), **more)


def remembered(path: Path) -> tuple[Conversation, list[Entry]]:
    """The only conversation, and its branch."""
    with open_history(path) as store:
        (found,) = conversations.listed(store)
        return found, tree.branch(store, found.id)


async def test_what_is_said_and_answered_is_remembered(
    fake: FakeEndpoint, chat: Callable[..., ChatApp], path: Path
) -> None:
    fake.script = [["Blue."], ["Of the ", "air."]]
    app = chat()
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, "What colour has the sky?")
        await until(app, "Blue.", "ready")
        await say(pilot, "Why?")
        await until(app, "Of the air.", "ready")
    conversation, entries = remembered(path)
    assert (conversation.title, conversation.model, conversation.draft) == (
        "What colour has the sky?",
        "fake-model",
        "",
    )
    assert [(entry.role, entry.text, entry.state) for entry in entries] == [
        ("user", "What colour has the sky?", "complete"),
        ("assistant", "Blue.", "complete"),
        ("user", "Why?", "complete"),
        ("assistant", "Of the air.", "complete"),
    ]
    assert entries[3].figures is not None
    assert entries[3].figures.num_tokens == 2


async def test_a_chat_that_ended_well_begins_anew_and_continues_when_that_is_asked_for(
    fake: FakeEndpoint, chat: Callable[..., ChatApp]
) -> None:
    fake.script = [["Blue."], ["Of the air."]]
    async with (app := chat(message="What colour?")).run_test(size=SIZE):
        await until(app, "Blue.", "ready")
    async with (app := chat()).run_test(size=SIZE):
        assert "Blue." not in await until(app, "fake-model · ready")
    async with (app := chat(resume="last")).run_test(size=SIZE) as pilot:
        await until(app, "What colour?", "Blue.", "fake-model · ready")
        await say(pilot, "Why?")
        await until(app, "Of the air.")
    assert fake.messages(1) == ["What colour?", "Blue.", "Why?"]


async def test_what_was_typed_and_not_sent_is_there_again(chat: Callable[..., ChatApp], path: Path) -> None:
    async with (app := chat()).run_test(size=SIZE) as pilot:
        await until(app, "ready")
        app.query_one(Prompt).insert_text_at_cursor("Полуготово изре")
        await until_remembered(path, lambda found: found.draft == "Полуготово изре")
        await pilot.press("ctrl+q")
    async with (app := chat()).run_test(size=SIZE):
        await until(app, "Полуготово изре")
        assert app.query_one(Prompt).value == "Полуготово изре"


async def until_remembered(path: Path, is_so: Callable[[Conversation], bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            with Store(path) as store:
                if any(map(is_so, conversations.listed(store))):
                    return
            await asyncio.sleep(0.05)


async def test_messages_that_wait_are_remembered_as_typed(
    chat: Callable[..., ChatApp], fake: FakeEndpoint, path: Path
) -> None:
    fake.script = [["One", WAIT], ["Two"]]
    async with (app := chat()).run_test(size=SIZE) as pilot:
        await say(pilot, "First")
        await until(app, "One")
        await say(pilot, "Second")
        app.query_one(Prompt).insert_text_at_cursor("third")
        await until_remembered(path, lambda found: found.draft == "Second\n\nthird")
        fake.go_on.set()
        await until(app, "Two", "ready")
        await until_remembered(path, lambda found: found.draft == "third")


async def test_a_stopped_answer_is_remembered_as_far_as_it_came_also_when_the_chat_is_left(
    chat: Callable[..., ChatApp], fake: FakeEndpoint, path: Path
) -> None:
    fake.script = [["Once ", WAIT], ["Twice ", WAIT]]
    async with (app := chat(message="Tell")).run_test(size=SIZE) as pilot:
        await until(app, "Once")
        await pilot.press("escape")
        await until(app, "stopped")
        await say(pilot, "More")
        await until(app, "Twice")
        await pilot.press("ctrl+q")
    _conversation, entries = remembered(path)
    assert [(entry.text, entry.state) for entry in entries if entry.role == "assistant"] == [
        ("Once ", "stopped"),
        ("Twice ", "stopped"),
    ]


async def test_a_private_chat_leaves_nothing(
    fake: FakeEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMOTIC_DATA_DIR", str(tmp_path / "data"))
    fake.script = [["Blue."], ["Because."]]
    app = ChatApp(fake.connect, keeper=Keeper())
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, "What colour?")
        await until(app, "Blue.", "ready")
        await say(pilot, "Why?")
        await until(app, "Because.")
    assert fake.messages(1) == ["What colour?", "Blue.", "Why?"]
    assert not (tmp_path / "data").exists()


async def test_a_file_that_cannot_be_used_is_told_and_the_chat_goes_on_without(
    chat: Callable[..., ChatApp], fake: FakeEndpoint, path: Path
) -> None:
    path.write_bytes(b"no database at all, but a text" * 100)
    fake.script = [["Blue."]]
    async with (app := chat()).run_test(size=SIZE) as pilot:
        await until(app, "is damaged", "This conversation is not kept.")
        await say(pilot, "What colour?")
        await until(app, "Blue.", "ready")
    assert path.read_bytes().startswith(b"no database")


async def test_a_draft_of_a_chat_that_still_runs_is_left_alone(chat: Callable[..., ChatApp], path: Path) -> None:
    with open_history(path) as store:
        other = conversations.create(store)
        save_draft(store, other.id, Draft("mine"))
        with store.writing() as connection:
            connection.execute("UPDATE conversations SET draft_writer = ?", (f"{os.getppid()}@{time.time():.2f}",))
    async with (app := chat()).run_test(size=SIZE):
        await until(app, "mine")
    with open_history(path) as store, store.writing() as connection:
        import psutil

        parent = psutil.Process(os.getppid())
        connection.execute("UPDATE conversations SET draft_writer = ?", (f"{parent.pid}@{parent.create_time():.2f}",))
    async with (app := chat()).run_test(size=SIZE):
        assert "mine" not in await until(app, "fake-model · ready")


CHAT = """
import asyncio, sys
from functools import partial
from pathlib import Path
from tests.tui.endpoint import running_endpoint
from tui.app import ChatApp
from tui.history.opening import open_history
from tui.keeper import Keeper

with running_endpoint() as fake:
    fake.script = [[f"{number} " for number in range(100000)]]
    app = ChatApp(fake.connect, keeper=Keeper(partial(open_history, Path(sys.argv[1]))), message="Брой!")

    async def watch():
        async with app.run_test(size=(100, 30)) as pilot:
            while True:
                await asyncio.sleep(0.01)
                shown = [line for line in pilot.app.query("Answer") if line.source]
                if shown:
                    print(shown[-1].source.split()[-1], flush=True)

    asyncio.run(watch())
"""


async def test_kill_9_in_mid_answer_and_the_chat_goes_on_where_it_was(
    chat: Callable[..., ChatApp], fake: FakeEndpoint, path: Path
) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", CHAT, str(path)], stdout=subprocess.PIPE, text=True, env=environment
    ) as killed:
        assert killed.stdout is not None
        seen = 0
        while seen < 100:
            seen = int(killed.stdout.readline())
        killed.send_signal(signal.SIGKILL)
        seen = max([seen, *map(int, killed.stdout.read().split("\n")[:-1])])
    async with (app := chat()).run_test(size=SIZE):
        shown = await until(app, "The answer was interrupted. /continue goes on", "fake-model · ready")
        assert str(seen) in shown
    _conversation, (question, answer) = remembered(path)
    assert (question.text, answer.state) == ("Брой!", "interrupted")
    numbers = [int(word) for word in answer.text.split()]
    assert numbers == list(range(len(numbers)))
    assert numbers[-1] >= seen


async def test_a_conversation_of_many_messages_shows_its_last_ones(chat: Callable[..., ChatApp], path: Path) -> None:
    with open_history(path) as store:
        talk, last = conversations.create(store), None
        for number in range(120):
            last = tree.add(store, talk.id, last, NewMessage("user", f"question {number}")).id
            last = tree.add(store, talk.id, last, NewMessage("assistant", f"answer {number}")).id
    async with (app := chat(resume="last")).run_test(size=SIZE):
        shown = await until(app, "answer 119")
        assert "question 119" in shown
        assert "answer 19\n" not in screen(app)
