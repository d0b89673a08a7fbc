"""The chat application on Textual's own terminal: what a person does, and what the screen shows."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest
from textual import events
from textual.pilot import Pilot

from runtime.config import RunConfig
from runtime.errors import DemoticError, ModelNotFound
from tests.tui.endpoint import CUT, WAIT, FakeEndpoint
from tui.app import ChatApp
from tui.events import Endpoint
from tui.server import PrivateServer
from tui.widgets.answer import Answer
from tui.widgets.prompt import Prompt

SIZE = (100, 30)


def screen(app: ChatApp) -> str:
    """The text on the screen, line by line, as the terminal is given it."""
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


async def until(app: ChatApp, *texts: str, seconds: float = 15) -> str:
    """The screen, as soon as it shows all of `texts`."""
    async with asyncio.timeout(seconds):
        while not all(text in screen(app) for text in texts):
            await asyncio.sleep(0.05)
    return screen(app)


async def until_so(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.02)


async def say(pilot: Pilot[None], text: str) -> None:
    pilot.app.query_one(Prompt).insert_text_at_cursor(text)
    await pilot.press("enter")


async def test_an_enter_that_comes_with_the_letters_before_it_sends_them(fake: FakeEndpoint) -> None:
    fake.script = [["Hello."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=SIZE):
        await until(app, "fake-model · ready")
        for key in ("S", "a", "y", "enter"):  # as a terminal gives what came in one read
            app.post_message(events.Key(key, None if key == "enter" else key))
        await until(app, "Say", "Hello.")
        assert app.query_one(Prompt).value == ""


async def test_an_answer_streams_onto_the_screen_and_its_figures_follow(fake: FakeEndpoint) -> None:
    fake.script = [["The answer ", WAIT, "is **42**."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=(130, 30)) as pilot:
        await until(app, "fake-model · ready")
        await say(pilot, "What is the answer?")
        shown = await until(app, "What is the answer?", "The answer", "fake-model · answering")
        assert "42" not in shown
        fake.go_on.set()
        shown = await until(app, "The answer is 42.", "ready · 3 tokens")
        assert re.search(r"ready · 3 tokens, [\d.]+ tokens/s, [\d.]+ characters/s, first token after [\d.]+ s", shown)
        assert app.query_one(Prompt).value == ""


async def test_the_conversation_so_far_is_sent_with_each_message(fake: FakeEndpoint) -> None:
    fake.script = [["Blue."], ["Because ", "of the air."]]
    app = ChatApp(fake.connect, config=RunConfig(max_tokens=7, temperature=0))
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, "What colour has the sky?")
        await until(app, "Blue.", "ready")
        await say(pilot, "Why?")
        await until(app, "Because of the air.")
    assert fake.messages(1) == ["What colour has the sky?", "Blue.", "Why?"]
    assert [message["role"] for message in fake.requests[1]["messages"]] == ["user", "assistant", "user"]
    assert (fake.requests[1]["max_tokens"], fake.requests[1]["temperature"]) == (7, 0)


async def test_messages_wait_while_the_model_loads_and_are_answered_in_order(fake: FakeEndpoint) -> None:
    fake.script = [["Hello to you."], ["Good to hear."]]
    loaded = asyncio.Event()

    async def connect() -> Endpoint:
        await loaded.wait()
        return Endpoint(fake.url, "the-key", ("It is licensed under Apache-2.0.",))

    app = ChatApp(connect, model_name="named", message="Hello")
    async with app.run_test(size=SIZE) as pilot:
        await until(app, "Hello", "named · loading")
        await say(pilot, "I am well")
        await until(app, "I am well")
        assert fake.requests == []
        loaded.set()
        shown = await until(app, "Good to hear.", "fake-model · ready")
    order = ["It is licensed", "Hello\n", "Hello to you.", "I am well", "Good to hear."]
    assert sorted(order, key=shown.index) == order


async def test_escape_stops_the_answer_and_keeps_what_came(fake: FakeEndpoint) -> None:
    fake.script = [["Once upon", WAIT, " a time"], ["There was a king."]]
    app = ChatApp(fake.connect, message="Tell a story")
    async with app.run_test(size=SIZE) as pilot:
        await until(app, "Once upon")
        await pilot.press("escape")
        await until(app, "Once upon", "ready · stopped")
        await say(pilot, "Go on")
        shown = await until(app, "There was a king.")
        assert "a time" not in shown
    assert fake.messages(1) == ["Tell a story", "Once upon", "Go on"]


async def test_an_error_stands_in_the_conversation_with_a_next_step_and_the_next_message_is_answered(
    fake: FakeEndpoint,
) -> None:
    fake.script = [{"message": "The request is odd."}, ["Half an answ", CUT], ["Better."]]
    app = ChatApp(fake.connect, message="One")
    async with app.run_test(size=SIZE) as pilot:
        await until(app, "The request is odd. Say it again, or say something else.")
        await say(pilot, "Two")
        await until(app, "Half an answ", "broke off")
        await say(pilot, "Three")
        await until(app, "Better.")
    assert fake.messages(1) == ["Two"]
    assert fake.messages(2) == ["Two", "Half an answ", "Three"]


async def test_a_full_context_points_to_a_new_conversation_which_starts_empty(fake: FakeEndpoint) -> None:
    overflow = {"message": "The request needs 90 tokens.", "code": "context_length_exceeded"}
    fake.script = [["First."], overflow, ["Fresh."]]
    app = ChatApp(fake.connect, message="One")
    async with app.run_test(size=SIZE) as pilot:
        await until(app, "First.")
        await say(pilot, "Two")
        await until(app, "needs 90 tokens. Ctrl-N starts a new conversation.")
        await pilot.press("ctrl+n")
        await say(pilot, "Three")
        shown = await until(app, "Fresh.")
        assert "First." not in shown
    assert fake.messages(2) == ["Three"]


async def test_a_new_conversation_in_mid_answer_forgets_it(fake: FakeEndpoint) -> None:
    fake.script = [["Old text", WAIT], ["New text"]]
    app = ChatApp(fake.connect, message="One")
    async with app.run_test(size=SIZE) as pilot:
        await until(app, "Old text")
        await pilot.press("ctrl+n")
        await say(pilot, "Two")
        shown = await until(app, "New text", "ready")
        assert "Old text" not in shown
    assert fake.messages(1) == ["Two"]


async def test_a_model_that_does_not_start_is_told_with_the_nearest_name() -> None:
    async def connect() -> Endpoint:
        raise ModelNotFound("smolm", nearest=("smollm2-135m-instruct",))

    app = ChatApp(connect, model_name="smolm", message="Hello")
    async with app.run_test(size=SIZE) as pilot:
        await until(app, "Did you mean smollm2-135m-instruct? Ctrl-Q quits.", "smolm · not started")
        await pilot.press("ctrl+q")
    assert isinstance(app.start_fault, ModelNotFound)


@pytest.mark.parametrize("key", ["ctrl+q", "ctrl+c"])
async def test_quitting_in_mid_answer_is_clean(fake: FakeEndpoint, key: str) -> None:
    fake.script = [["Once", WAIT]]
    app = ChatApp(fake.connect, message="Tell a story")
    async with app.run_test(size=SIZE) as pilot:
        await until(app, "Once")
        await pilot.press(key)
    assert app.return_code == 0


async def test_ctrl_c_copies_what_is_marked_and_then_quits(fake: FakeEndpoint) -> None:
    fake.script = [["Добър ден, (שלום) свят"]]
    app = ChatApp(fake.connect, message="Здравей")
    async with app.run_test(size=SIZE) as pilot:
        await until(app, "םולש", "ready")
        app.query_one(Answer).text_select_all()
        await pilot.press("ctrl+c")
        assert app.clipboard == "Добър ден, (שלום) свят"
        assert app.return_code is None
        app.query_one(Prompt).value = "черновата"
        await pilot.press("shift+home", "ctrl+c")
        assert app.clipboard == "черновата"
        app.query_one(Prompt).value = ""
        await pilot.press("ctrl+c")
    assert app.return_code == 0


async def test_nothing_a_model_writes_is_lost_or_commands_the_terminal(fake: FakeEndpoint) -> None:
    fake.script = [["<think>\nhm\n</think>\n\nroses\nviolets\u2028", "\x1b[31mlilies\x85", "poppies\x07 end [b]x[/b]"]]
    app = ChatApp(fake.connect, message="[red]Write[/red] \x1b[2J")
    async with app.run_test(size=SIZE):
        shown = await until(app, "end [b]x[/b]")
    assert "[red]Write[/red] [2J" in shown
    lines = [line.strip() for line in shown.splitlines()]
    start = lines.index("<think>")
    flowers = [line for line in lines[start : start + 10] if line]
    assert flowers[:7] == ["<think>", "hm", "</think>", "roses", "violets", "[31mlilies", "poppies end [b]x[/b]"]


async def test_what_is_pasted_is_kept_whole(fake: FakeEndpoint) -> None:
    app = ChatApp(fake.connect)
    async with app.run_test(size=SIZE) as pilot:
        app.query_one(Prompt).post_message(events.Paste("one\ntwo\r\nthree"))
        await pilot.pause()
        assert app.query_one(Prompt).value == "one\ntwo\nthree"


async def test_the_real_server_and_the_real_model_know_the_capital_of_france() -> None:
    async with PrivateServer("smollm2-135m-instruct") as server:
        app = ChatApp(server.endpoint, config=RunConfig(temperature=0, max_tokens=40))
        async with app.run_test(size=SIZE) as pilot:
            await say(pilot, "What is the capital of France? Answer in one sentence.")
            await until(app, "Paris", "smollm2-135m-instruct ·", "· ready", "tokens/s", seconds=90)


async def test_a_base_model_can_be_talked_to() -> None:
    async with PrivateServer("gemma-3-270m") as server:
        app = ChatApp(server.endpoint, message="What is 2 + 2?", config=RunConfig(temperature=0, max_tokens=20))
        async with app.run_test(size=SIZE):
            shown = await until(app, "gemma-3-270m ·", "· ready", "tokens/s", seconds=120)
    assert "broke off" not in shown


async def test_a_server_that_cannot_start_is_reported_with_its_own_sentence() -> None:
    async with PrivateServer("smolm2-135m-instruct") as server:
        with pytest.raises(DemoticError) as told:
            await server.endpoint()
    assert str(told.value).startswith("There is no model named 'smolm2-135m-instruct'. Did you mean smollm2")
