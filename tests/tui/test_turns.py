"""What is done with messages: answered again, edited, copied, and the way between their branches."""

from __future__ import annotations

from tests.tui.endpoint import WAIT, FakeEndpoint, Thought
from tests.tui.test_app import SIZE, say, until, until_so
from tui.app import ChatApp
from tui.widgets.answer import Answer
from tui.widgets.message import Reasoning
from tui.widgets.prompt import Prompt


async def test_another_answer_is_a_branch_and_both_are_kept(fake: FakeEndpoint) -> None:
    fake.script = [["Blue."], ["Grey."], ["Because."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, "What colour?")
        await until(app, "Blue.", "ready")
        await say(pilot, "/again")
        assert "Blue." not in await until(app, "Grey.", "‹2/2›", "ready")
        await pilot.press("alt+up", "left")
        assert "Grey." not in await until(app, "Blue.", "‹1/2›")
        await until_so(lambda: isinstance(app.focused, Answer))
        await pilot.press("right")
        assert "Blue." not in await until(app, "Grey.", "‹2/2›")
        await pilot.press("escape")
        await say(pilot, "Why?")
        await until(app, "Because.", "ready")
    assert fake.messages(1) == ["What colour?"]
    assert fake.messages(2) == ["What colour?", "Grey.", "Why?"]


async def test_an_earlier_message_is_edited_and_its_old_branch_stays(fake: FakeEndpoint) -> None:
    fake.script = [["Blue."], ["Air."], ["Green."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, "The sky?")
        await until(app, "Blue.", "ready")
        await say(pilot, "Why?")
        await until(app, "Air.", "ready")
        await pilot.press("alt+up", "alt+up", "alt+up", "alt+up", "e")
        prompt = app.query_one(Prompt)
        await until_so(lambda: prompt.value == "The sky?")
        prompt.value = "The grass?"
        await pilot.press("enter")
        shown = await until(app, "The grass?", "‹2/2›", "Green.", "ready")
        assert "The sky?" not in shown
        assert "Air." not in shown
        await pilot.press("alt+up", "alt+up", "left")
        await until(app, "The sky?", "‹1/2›", "Blue.", "Why?", "Air.")
    assert fake.messages(2) == ["The grass?"]


async def test_escape_leaves_a_message_as_it_is(fake: FakeEndpoint) -> None:
    fake.script = [["Blue."], ["Air."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, "The sky?")
        await until(app, "Blue.", "ready")
        await pilot.press("alt+up", "alt+up", "e")
        await until_so(lambda: app.query_one(Prompt).value == "The sky?")
        await pilot.press("escape")
        assert app.query_one(Prompt).value == ""
        await say(pilot, "Why?")
        await until(app, "Air.", "ready")
    assert fake.messages(1) == ["The sky?", "Blue.", "Why?"]


async def test_an_answer_that_was_stopped_goes_on_in_its_place(fake: FakeEndpoint) -> None:
    fake.script = [["Once upon", WAIT, "lost"], [" a time."], ["The end."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, "Tell")
        await until(app, "Once upon")
        await pilot.press("escape")
        await until(app, "stopped")
        await say(pilot, "/continue")
        await until(app, "Once upon a time.", "ready")
        assert len(app.query(Answer)) == 1
        await say(pilot, "/continue")
        await until(app, "The last answer is not cut. /again has it answered anew.")
        await say(pilot, "More")
        await until(app, "The end.")
    assert fake.messages(1) == ["Tell", "Once upon"]
    assert fake.requests[1]["continue_final_message"] is True
    assert "continue_final_message" not in fake.requests[2]
    assert fake.messages(2) == ["Tell", "Once upon a time.", "More"]


async def test_a_message_and_its_code_are_copied_as_they_were_written(fake: FakeEndpoint) -> None:
    text = "See **this**:\n\n```python\nx = 1\n\ny = 2\n```\n\nThat is all."
    fake.script = [[text], ["No code."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, "/copy")
        await until(app, "There is no answer yet.")
        await say(pilot, "Code?")
        await until(app, "That is all.", "ready")
        await pilot.press("alt+up", "y")
        await pilot.pause()
        assert app.clipboard == text
        await pilot.press("c")
        await pilot.pause()
        assert app.clipboard == "x = 1\n\ny = 2"
        await pilot.press("escape")
        await say(pilot, "/copy")
        await pilot.pause()
        assert app.clipboard == text
        await say(pilot, "And?")
        await until(app, "No code.", "ready")
        await say(pilot, "/copy code")
        await until(app, "There is no block of code in it.")


async def test_a_letter_that_is_no_key_of_a_message_is_typed(fake: FakeEndpoint) -> None:
    fake.script = [["Blue."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, "The sky?")
        await until(app, "Blue.", "ready")
        await pilot.press("alt+up", "H", "i")
        assert app.query_one(Prompt).value == "Hi"


async def test_nothing_is_done_with_messages_while_an_answer_comes(fake: FakeEndpoint) -> None:
    fake.script = [["Blue", WAIT, "."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, "The sky?")
        await until(app, "Blue")
        await say(pilot, "/again")
        await until(app, "The model is not free. Esc stops an answer.")
        fake.go_on.set()
        await until(app, "Blue.", "ready")


async def test_reasoning_is_folded_and_there_for_those_who_open_it(fake: FakeEndpoint) -> None:
    fake.script = [[Thought("Let me "), Thought("think."), "Four."], ["Eight."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, "2 + 2?")
        shown = await until(app, "Reasoning", "Four.", "ready")
        assert "Let me think." not in shown
        app.query_one(Reasoning).collapsed = False
        await until(app, "Let me think.")
        await say(pilot, "4 + 4?")
        await until(app, "Eight.")
    assert fake.messages(1) == ["2 + 2?", "Four.", "4 + 4?"]


async def test_messages_and_branches_are_chosen_from_lists_too(fake: FakeEndpoint) -> None:
    fake.script = [["Blue."], ["Green."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, "The sky?")
        await until(app, "Blue.", "ready")
        await say(pilot, "/branches")
        await until(app, "There are no branches. /again and /edit begin one.")
        await say(pilot, "/edit")
        await until(app, "Which message is to be said in another way?")
        await pilot.press("enter")
        prompt = app.conversation.prompt
        await until_so(lambda: prompt.value == "The sky?")
        prompt.value = "The grass?"
        await pilot.press("enter")
        await until(app, "Green.", "‹2/2›", "ready")
        await say(pilot, "/branches")
        await until(app, "1/2 The sky?", "2/2 The grass? · in use")
        await pilot.press("enter")
        await until(app, "The sky?", "‹1/2›", "Blue.")
