"""Lines of the prompt that begin with a slash: done, completed, or told to be no command."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from textual import events

from tests.tui.endpoint import FakeEndpoint
from tests.tui.test_app import SIZE, say, screen, until
from tui.app import ChatApp
from tui.commands import registry
from tui.widgets.completions import Completions
from tui.widgets.prompt import Prompt
from tui.words import use, used


@pytest.fixture(autouse=True)
def in_english() -> Iterator[None]:
    yield
    use("en")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/new", ("new", "")),
        ("/NEW ", ("new", "")),
        ("/language  nl ", ("language", "nl")),
        ("/system one\ntwo", ("system", "one\ntwo")),
        ("/usr/bin is full", None),
        ("//new", None),
        ("/ new", None),
        ("say /new", None),
    ],
)
def test_a_command_is_a_slash_a_name_and_what_stands_behind_it(text: str, found: tuple[str, str] | None) -> None:
    assert registry.called(text) == found


async def test_a_command_is_not_said_and_two_slashes_say_it(fake: FakeEndpoint) -> None:
    fake.script = [["It is a command."], ["Fresh."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, "//new is what?")
        await until(app, "/new is what?", "It is a command.", "ready")
        await say(pilot, "/new")
        await pilot.pause()
        assert "It is a command." not in screen(app)
        await say(pilot, "/usr/bin is full")
        await until(app, "Fresh.")
    assert fake.messages(0) == ["/new is what?"]
    assert fake.messages(1) == ["/usr/bin is full"]


async def test_an_unknown_command_is_told_with_the_nearest_and_stays_in_the_prompt(fake: FakeEndpoint) -> None:
    app = ChatApp(fake.connect)
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, "/langage nl")
        await until(app, "There is no command /langage. Did you mean /language? /help tells")
        assert app.query_one(Prompt).value == "/langage nl"
        app.query_one(Prompt).value = "/zzz"
        await pilot.press("enter")
        await until(app, "There is no command /zzz. /help tells")


async def test_help_tells_every_command_in_the_language_that_is_used(fake: FakeEndpoint) -> None:
    app = ChatApp(fake.connect)
    async with app.run_test(size=(100, 80)) as pilot:
        await say(pilot, "/help")
        shown = await until(app, "/language CODE: show the chat in this language")
        assert [name for name in registry.COMMANDS if f"/{name}" not in shown] == []
        await say(pilot, "/language nl")
        await until(app, "klaar")
        assert used() == "nl"
        await say(pilot, "/help")
        await until(app, "/language TAALCODE: de chat in deze taal tonen")


async def test_a_command_that_fails_tells_why(fake: FakeEndpoint) -> None:
    app = ChatApp(fake.connect)
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, "/language tlh")
        await until(app, "no texts in 'tlh'")
        await say(pilot, "/quit")
    assert app.return_code == 0


async def test_names_and_arguments_are_completed_with_tab_and_arrow_keys(fake: FakeEndpoint) -> None:
    app = ChatApp(fake.connect)
    async with app.run_test(size=SIZE) as pilot:
        prompt = app.query_one(Prompt)
        await pilot.press("/")
        await until(app, "/again", "have the last message answered again")
        await pilot.press("l", "a", "n")
        shown = await until(app, "/language  show the chat in this language")
        assert "/again" not in shown
        await pilot.press("tab")
        assert prompt.value == "/language "
        await pilot.press("b")
        await pilot.pause()
        completions = app.query_one(Completions)
        assert completions.chosen is not None
        assert completions.chosen.line == "/language bg"
        await pilot.press("backspace", "down", "down", "up")
        assert completions.chosen.line == "/language nl"
        await pilot.press("enter")
        assert prompt.value == "/language nl"
        await pilot.press("enter")
        await until(app, "klaar")
        assert not completions.display


async def test_escape_puts_the_completions_away_and_the_arrow_keys_go_on_with_what_was_said(fake: FakeEndpoint) -> None:
    fake.script = [["Yes."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, "Before")
        await until(app, "Yes.", "ready")
        await pilot.press("/")
        completions = app.query_one(Completions)
        await until(app, "/again")
        await pilot.press("escape")
        await pilot.pause()
        assert not completions.display
        await pilot.press("up")
        assert app.query_one(Prompt).value == "Before"


async def test_what_comes_in_one_piece_of_input_is_not_completed_to_something_else(fake: FakeEndpoint) -> None:
    fake.script = [["Yes."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, "Before")
        await until(app, "Yes.", "ready")
        await pilot.press("/")
        await until(app, "/again")
        for key in ("n", "e", "w", "enter"):
            app.post_message(events.Key(key, None if key == "enter" else key))
        async with asyncio.timeout(10):
            while "Yes." in screen(app):
                await asyncio.sleep(0.05)
        assert app.query_one(Prompt).value == ""
