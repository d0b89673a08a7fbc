"""Conversations from within the chat: the list, its keys, and the commands for the one that is open."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from tests.tui.endpoint import FakeEndpoint
from tests.tui.test_app import SIZE, say, screen, until, until_so
from tui.app import ChatApp
from tui.attaching import MAX_BYTES
from tui.history import conversations, tree
from tui.history.opening import open_history
from tui.history.records import NewMessage
from tui.keeper import Keeper


@pytest.fixture
def chat(fake: FakeEndpoint, tmp_path: Path) -> ChatApp:
    """A chat with two earlier conversations."""
    path = tmp_path / "chats.sqlite3"
    with open_history(path) as store:
        for question, answer in (("Прозорец?", "От стъкло."), ("Sky?", "Blue.")):
            talk = conversations.create(store)
            said = tree.add(store, talk.id, None, NewMessage("user", question))
            tree.add(store, talk.id, said.id, NewMessage("assistant", answer))
    return ChatApp(fake.connect, keeper=Keeper(partial(open_history, path)))


async def test_the_list_searches_and_opens_and_the_conversation_goes_on(fake: FakeEndpoint, chat: ChatApp) -> None:
    fake.script = [["Yes."]]
    async with chat.run_test(size=SIZE) as pilot:
        await until(chat, "fake-model · ready")
        await say(pilot, "/open")
        shown = await until(chat, "1  Прозорец?", "2  Sky?", "Open", "Delete")
        assert shown.index("Sky?") < shown.index("Прозорец?"), "the latest first"
        await pilot.press(*"стък")
        await until(chat, "От стъкло.")
        await until_so(lambda: "Sky?" not in screen(chat))
        await pilot.press("enter")
        await until(chat, "От стъкло.", "fake-model · ready")
        await say(pilot, "Sure?")
        await until(chat, "Yes.")
    assert fake.messages(0) == ["Прозорец?", "От стъкло.", "Sure?"]


async def test_the_list_pins_deletes_and_brings_back(chat: ChatApp) -> None:
    async with chat.run_test(size=SIZE) as pilot:
        await until(chat, "fake-model · ready")
        await say(pilot, "/open")
        await until(chat, "2  Sky?")
        await pilot.press("down", "ctrl+t")
        shown = await until(chat, "1  * Прозорец?")
        assert shown.index("Прозорец?") < shown.index("Sky?")
        await pilot.press("ctrl+d")
        await until_so(lambda: "Sky?" not in screen(chat))
        await pilot.press("ctrl+z")
        await until(chat, "2  Sky?")
        await pilot.press("escape")
        await until(chat, "fake-model · ready")


async def test_the_open_conversation_is_renamed_exported_deleted_and_restored(chat: ChatApp, tmp_path: Path) -> None:
    async with chat.run_test(size=(100, 40)) as pilot:
        await until(chat, "fake-model · ready")
        await say(pilot, "/pin")
        await until(chat, "Nothing was said yet.")
        await say(pilot, "/open 2")
        await until(chat, "Blue.")
        await say(pilot, "/rename The sky")
        await until(chat, "Renamed.")
        await say(pilot, "/pin")
        await until(chat, "At the top of the list.")
        await say(pilot, f"/export {tmp_path}/sky.json")
        await until_so((tmp_path / "sky.json").is_file)
        (written,) = json.loads((tmp_path / "sky.json").read_text())["conversations"]
        assert (written["title"], written["pinned"]) == ("The sky", True)
        (tmp_path / "folder.md").mkdir()
        await say(pilot, f"/export {tmp_path}/folder.md")
        await until_so(lambda: "cannot be written" in screen(chat).replace("\n", " "))
        await say(pilot, "/delete")
        assert "Blue." not in await until(chat, "Deleted. /restore 2 brings it back.")
        await say(pilot, "/restore 2")
        await until(chat, "Blue.")


async def test_a_system_prompt_is_the_conversations_own(fake: FakeEndpoint, chat: ChatApp) -> None:
    fake.script = [["Aye."], ["Yes."], ["No."]]
    async with chat.run_test(size=SIZE) as pilot:
        await until(chat, "fake-model · ready")
        await say(pilot, "/system")
        await until(chat, "There is no system prompt.")
        await say(pilot, "/system Talk like a pirate.")
        await until(chat, "Talk like a pirate.")
        await say(pilot, "Well?")
        await until(chat, "Aye.", "ready")
        await say(pilot, "/system off")
        await until(chat, "There is no system prompt.")
        await say(pilot, "Well?")
        await until(chat, "Yes.")
    assert fake.messages(0) == ["Talk like a pirate.", "Well?"]
    assert fake.requests[0]["messages"][0]["role"] == "system"
    assert fake.messages(1) == ["Well?", "Aye.", "Well?"]


async def test_a_text_file_goes_along_with_the_next_message_only(
    fake: FakeEndpoint, chat: ChatApp, tmp_path: Path
) -> None:
    (tmp_path / "бележки.md").write_text("```\ncode\n```\n", encoding="utf-8")
    fake.script = [["Read."], ["Yes."]]
    async with chat.run_test(size=SIZE) as pilot:
        await until(chat, "fake-model · ready")
        await say(pilot, f"/attach {tmp_path}/бележки.md")
        await until(chat, "+ бележки.md")
        await say(pilot, "What is it?")
        await until(chat, "Read.", "ready")
        assert "+ бележки.md" not in screen(chat)
        await say(pilot, "And?")
        await until(chat, "Yes.")
    assert fake.messages(0) == ["бележки.md:\n````\n```\ncode\n```\n````\n\nWhat is it?"]
    assert fake.messages(1)[-1] == "And?"


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"caf\xe9", "is no UTF-8 text."), (b"a" * (MAX_BYTES + 1), "has more than 64 KiB."), (None, "is no file.")],
)
async def test_what_cannot_go_along_is_told(chat: ChatApp, tmp_path: Path, content: bytes | None, told: str) -> None:
    if content is not None:
        (tmp_path / "f").write_bytes(content)
    async with chat.run_test(size=(200, 30)) as pilot:
        await until(chat, "fake-model · ready")
        await say(pilot, f"/attach {tmp_path}/f")
        await until(chat, told)


async def test_the_list_renames_and_exports_as_markdown_and_json(
    chat: ChatApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with chat.run_test(size=SIZE) as pilot:
        await until(chat, "fake-model · ready")
        await say(pilot, "/open")
        await until(chat, "2  Sky?", "Rename", "Export")
        await pilot.press("ctrl+r")
        await until(chat, "Another title", "Sky?", "Enter keeps it · Esc leaves it as it was")
        await pilot.press("end", *" Blue!", "enter")
        await until(chat, "2  Sky? Blue!", "Rename")
        await pilot.press("ctrl+e")
        await until(chat, "Write the conversation to a file", "chat-2.md", "Tab Markdown or JSON")
        await pilot.press("enter")
        await until(chat, "Written to chat-2.md.")
        await pilot.press("ctrl+e")
        await until(chat, "Tab Markdown or JSON")
        await pilot.press("tab")
        await until(chat, "chat-2.json")
        await pilot.press("enter")
        await until_so((tmp_path / "chat-2.json").is_file)
        (tmp_path / "chat-2.md").unlink()
        (tmp_path / "chat-2.md").mkdir()
        await pilot.press("ctrl+e")
        await until(chat, "Tab Markdown or JSON")
        await pilot.press("enter")
        await until(chat, "cannot be written", "2  Sky? Blue!")
    (written,) = json.loads((tmp_path / "chat-2.json").read_text())["conversations"]
    assert written["title"] == "Sky? Blue!"
