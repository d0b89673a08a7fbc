"""What was typed and not sent: it is there again after kill -9, with the message it replaces and what goes along."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.tui.endpoint import WAIT, FakeEndpoint
from tests.tui.test_app import SIZE, say, screen, until, until_so
from tui.app import ChatApp
from tui.attaching import Attachment
from tui.history import conversations, tree
from tui.history.drafts import Draft, draft_of, save_draft
from tui.history.opening import open_history
from tui.history.records import NewMessage
from tui.history.resuming import left_open
from tui.history.store import Store
from tui.keeper import Keeper
from tui.widgets.message import Said

NOTES = Attachment("бележки.md", "едно\nдве")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chats.sqlite3"


def chat(fake: FakeEndpoint, path: Path) -> ChatApp:
    return ChatApp(fake.connect, keeper=Keeper(partial(open_history, path)))


def the_draft(path: Path) -> Draft:
    with Store(path) as store:
        found = conversations.listed(store)
        return draft_of(store, found[0].id) if found else Draft()


TYPING = """
import asyncio, sys
from functools import partial
from pathlib import Path
from tests.tui.endpoint import running_endpoint
from tests.tui.test_app import say, until
from tui.app import ChatApp
from tui.history.opening import open_history
from tui.keeper import Keeper

path, notes = map(Path, sys.argv[1:])

async def chat(fake):
    app = ChatApp(fake.connect, keeper=Keeper(partial(open_history, path)))
    async with app.run_test(size=(100, 30)) as pilot:
        await say(pilot, "Wrong question")
        await until(app, "An answer.", "ready")
        await say(pilot, f"/attach {notes}")
        await until(app, "+ notes.md")
        await pilot.press("alt+up", "alt+up", "e")
        await pilot.pause()
        app.conversation.prompt.value = "Right"
        number = 0
        while True:
            app.conversation.prompt.insert_text_at_cursor(f" {number}")
            number += 1
            await pilot.pause()
            while app.conversation.talk.draft.text != app.conversation.prompt.value:
                await asyncio.sleep(0.001)
            print(number, flush=True)

with running_endpoint() as fake:
    fake.script = [["An answer."]]
    asyncio.run(chat(fake))
"""


async def test_kill_9_while_a_message_is_edited_loses_at_most_the_last_word(
    fake: FakeEndpoint, path: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "notes.md"
    notes.write_text("one\ntwo")
    with subprocess.Popen(
        [sys.executable, "-c", TYPING, str(path), str(notes)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    ) as killed:
        assert killed.stdout is not None
        while int(killed.stdout.readline()) < 20:
            pass
        killed.send_signal(signal.SIGKILL)
        num_typed = max([20, *map(int, killed.stdout.read().split("\n")[:-1])])
    fake.script = [["A better answer."]]
    async with (app := chat(fake, path)).run_test(size=SIZE) as pilot:
        await until(app, "An answer.", "Right 0 1 2", "+ notes.md", "ready")
        *before, last = app.conversation.prompt.value.split()
        assert ["Right", *map(str, range(num_typed))] in ([*before, last], before)
        assert [said.text for said in app.query(Said) if said.has_class("edited")] == ["Wrong question"]
        await pilot.press("enter")
        await until(app, "A better answer.", "‹2/2›")
    assert fake.messages(0) == [f"notes.md:\n```\none\ntwo\n```\n\n{' '.join([*before, last])}"]


async def test_files_that_go_along_and_the_edited_message_are_left_with_esc_and_stay_with_their_conversation(
    fake: FakeEndpoint, path: Path
) -> None:
    with open_history(path) as store:
        number = conversations.create(store).id
        said = tree.add(store, number, None, NewMessage("user", "Question"))
        save_draft(store, number, Draft("Other", said.id, (NOTES,)))
    async with (app := chat(fake, path)).run_test(size=SIZE) as pilot:
        await until(app, "Question", "Other", "+ бележки.md", "ready")
        await pilot.press("escape")
        await until_so(lambda: the_draft(path) == Draft("", None, (NOTES,)))
        app.conversation.prompt.value = "/attach"
        await pilot.press("enter")
        await until_so(lambda: the_draft(path) == Draft())
        assert "+ бележки.md" not in screen(app)


async def test_what_was_sent_is_kept_until_it_is_in_the_conversation(fake: FakeEndpoint, path: Path) -> None:
    fake.script = [["One", WAIT], ["Two"]]
    async with (app := chat(fake, path)).run_test(size=SIZE) as pilot:
        await say(pilot, "First")
        await until(app, "One")
        app.conversation.prompt.insert_text_at_cursor("Second")
        app.conversation.prompt.action_send()
        assert app.conversation._draft() == Draft("Second"), "between the key and its message on the screen"
        await until(app, "Second")
        assert app.conversation._draft() == Draft("Second"), "while it waits"
        fake.go_on.set()
        await until(app, "Two", "ready")
        assert app.conversation._draft() == Draft()


def test_files_alone_are_something_begun(path: Path) -> None:
    with open_history(path) as store:
        number = conversations.create(store).id
        assert left_open(store) is None
        assert save_draft(store, number, Draft("", None, (NOTES, NOTES)))
        assert draft_of(store, number) == Draft("", None, (NOTES, NOTES))
        found = left_open(store)
        assert (found and found.id, found and found.num_attached) == (number, 2)
        assert save_draft(store, number, Draft("x"), before=draft_of(store, number))
        assert draft_of(store, number) == Draft("x")
