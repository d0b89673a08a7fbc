"""The loop of a model that calls tools: who decides, what is run, and what the model is told."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Literal

import pytest

from runtime.chat.reasoning import Piece
from runtime.chat.template import Message
from runtime.chat.tools.approval import Approval, Verdict
from runtime.chat.tools.call import Change, ToolCall
from runtime.chat.tools.loop import CallAsked, CallEnded, Event, run_tools
from runtime.chat.tools.prompts import prompts_for
from runtime.chat.tools.sources.base import OfferedTool
from runtime.chat.tools.sources.functions import FunctionTools, tool
from runtime.chat.tools.toolbox import Toolbox
from runtime.chat.tools.use import ToolUse
from runtime.config import ToolRunConfig
from runtime.engine.messages import Finished, Timings, Usage

ran: list[str] = []
QUESTION = [Message("user", "Времето в София?")]


@tool(read_only=True)
def weather(city: Literal["Sofia", "Varna"]) -> str:
    """Weather of a city."""
    ran.append(city)
    return f"18 °C in {city}"


@tool
def send(text: str) -> str:
    """Send a text."""
    if text == "bad":
        raise ValueError("no line")
    ran.append(text)
    return "sent"


def called(name: str, number: int = 1, **arguments: Any) -> ToolCall:
    return ToolCall(f"call_{number}", name, json.dumps(arguments, ensure_ascii=False))


def finished(reason: Literal["stop", "length"] = "stop") -> Finished:
    return Finished("r", reason, Usage(1, 1), Timings(0.0, 0.0, 0.0))


class Scripted:
    """`runtime.chat.tools.loop.Answers` that says its turns, and keeps what it was asked."""

    def __init__(self, *turns: Sequence[str | ToolCall | Finished]) -> None:
        self._turns = list(turns)
        self.asked: list[list[Message]] = []
        self.uses: list[ToolUse] = []

    async def answer(self, messages: Sequence[Message], tools: ToolUse) -> AsyncGenerator[Piece | ToolCall | Finished]:
        self.asked.append(list(messages))
        self.uses.append(tools)
        turn = self._turns.pop(0)
        for part in turn:
            yield Piece("content", part) if isinstance(part, str) else part
        if not isinstance(turn[-1], Finished):
            yield finished()


async def run(
    model: Scripted,
    approval: Approval | None = None,
    *,
    limits: ToolRunConfig | None = None,
    language: str | None = None,
    choice: Literal["auto", "required"] = "auto",
) -> list[Event[Finished]]:
    ran.clear()
    toolbox = Toolbox([FunctionTools([weather, send])], limits)
    approval = approval or Approval(("weather", "send"), read_only_is_free=False)
    use = ToolUse.checked(toolbox.tools, choice)
    return [event async for event in run_tools(model, list(QUESTION), use, toolbox, approval, language=language)]


def ends(events: list[Event[Finished]]) -> list[tuple[str, str]]:
    return [(event.outcome, event.text) for event in events if isinstance(event, CallEnded)]


def asking(*verdicts: Verdict) -> tuple[list[str], Approval]:
    """An approval by somebody who says `verdicts`, and the tools that were asked about."""
    left, asked = list(verdicts), []

    async def ask(offered: OfferedTool, call: ToolCall) -> Verdict:
        asked.append(call.name)
        return left.pop(0)

    return asked, Approval((), read_only_is_free=False, ask=ask)


async def test_a_call_is_run_and_its_result_told() -> None:
    model = Scripted(["Ще проверя.", called("weather", city="Sofia")], ["18 градуса."])
    events = await run(model)
    assert ends(events) == [("answered", "18 °C in Sofia")]
    assert model.asked[1][1:] == [
        Message("assistant", "Ще проверя.", (called("weather", city="Sofia"),)),
        Message("tool", "18 °C in Sofia", tool_call_id="call_1", name="weather"),
    ]
    # Two turns of one answer do not run into each other.
    assert "".join(event.text for event in events if isinstance(event, Piece)) == "Ще проверя.\n\n18 градуса."
    assert isinstance(events[-1], Finished)


async def test_several_calls_of_a_turn_are_run_in_order() -> None:
    model = Scripted([called("weather", city="Sofia"), called("send", 2, text="hi")], ["Done."])
    assert ends(await run(model)) == [("answered", "18 °C in Sofia"), ("answered", "sent")]
    assert ran == ["Sofia", "hi"]


async def test_a_denied_tool_does_not_run_and_the_model_is_told_in_the_user_s_language() -> None:
    asked, approval = asking("deny")
    model = Scripted([called("send", text="hi")], ["Добре."])
    assert ends(await run(model, approval, language="bul_Cyrl")) == [("denied", "")]
    assert (ran, asked, approval.num_unasked) == ([], ["send"], 0)
    assert model.asked[1][-1].content == prompts_for("bul_Cyrl").denied.format(name="send")
    assert "Потребителят" in model.asked[1][-1].content


async def test_once_is_for_one_call_and_always_for_all_of_that_tool() -> None:
    asked, approval = asking("once", "always", "deny")
    model = Scripted(
        [called("send", 1, text="1"), called("send", 2, text="2"), called("send", 3, text="3")],
        [called("weather", 4, city="Sofia")],
        ["Done."],
    )
    assert [outcome for outcome, _ in ends(await run(model, approval))] == ["answered"] * 3 + ["denied"]
    assert (ran, asked) == (["1", "2", "3"], ["send", "send", "weather"])


async def test_nobody_to_ask_is_a_denial_that_is_counted() -> None:
    approval = Approval(("weather",), read_only_is_free=False)
    model = Scripted([called("weather", 1, city="Sofia"), called("send", 2, text="hi")], ["Done."])
    assert [outcome for outcome, _ in ends(await run(model, approval))] == ["answered", "denied"]
    assert (ran, approval.num_unasked) == (["Sofia"], 1)


@pytest.mark.parametrize(("is_free", "outcome"), [(True, "answered"), (False, "denied")])
async def test_read_only_tools_are_free_only_by_choice(is_free: bool, outcome: str) -> None:
    approval = Approval((), read_only_is_free=is_free)
    model = Scripted([called("weather", 1, city="Sofia"), called("send", 2, text="hi")], ["Done."])
    assert [outcome for outcome, _ in ends(await run(model, approval))] == [outcome, "denied"]


async def test_a_failed_tool_and_one_that_is_not_there_are_told_as_such() -> None:
    model = Scripted([called("send", 1, text="bad"), called("fly", 2)], ["Извинявай."])
    events = await run(model, language="bul_Cyrl")
    assert ends(events) == [("failed", "ValueError: no line"), ("failed", "there is no tool named 'fly'")]
    told = model.asked[1][-2].content
    assert told == prompts_for("bul_Cyrl").failed.format(name="send", error="ValueError: no line")


async def test_changes_of_arguments_are_reported_beside_the_call() -> None:
    call, changes = called("weather", city="Sofia"), (Change("/city", "София", "Sofia", "transliteration"),)
    model = Scripted([replace(call, changes=changes)], ["18."])
    events = await run(model)
    assert ran == ["Sofia"]
    (asked,) = [event for event in events if isinstance(event, CallAsked)]
    assert asked.call.changes == changes
    (ended,) = [event for event in events if isinstance(event, CallEnded)]
    told = ended.to_json()
    assert told["arguments"] == {"city": "Sofia"}
    assert told["changes"] == [{"path": "/city", "from": "София", "to": "Sofia", "rule": "transliteration"}]


async def test_a_call_that_must_be_is_asked_for_once() -> None:
    model = Scripted([called("weather", city="Sofia")], ["18."])
    await run(model, choice="required")
    assert [use.choice for use in model.uses] == ["required", "auto"]


async def test_after_the_last_round_the_model_answers_without_tools() -> None:
    model = Scripted(*[[called("weather", number, city="Sofia")] for number in range(3)], ["Enough."])
    events = await run(model, limits=ToolRunConfig(max_rounds=3))
    assert [use.choice for use in model.uses] == ["auto", "auto", "auto", "none"]
    assert len(ends(events)) == 3


async def test_calls_of_an_answer_that_was_cut_off_are_not_run() -> None:
    model = Scripted([called("weather", city="Sofia"), finished("length")])
    assert ends(await run(model)) == []
    assert ran == []


async def grown(*turns: Sequence[str | ToolCall | Finished], until: type[object] = Finished) -> list[Message]:
    """The turns that a conversation has gained when the loop is left at the last event of a kind, or at its end."""
    conversation = list(QUESTION)
    toolbox = Toolbox([FunctionTools([weather, send])])
    approval = Approval(("weather", "send"), read_only_is_free=False)
    events = run_tools(Scripted(*turns), conversation, ToolUse.checked(toolbox.tools, "auto"), toolbox, approval)
    async with aclosing(events):
        async for event in events:
            if isinstance(event, until) and until is not Finished:
                break
    return conversation[len(QUESTION) :]


async def test_the_conversation_grows_by_calls_results_and_words() -> None:
    call = called("weather", city="Sofia")
    assert await grown(["Ще проверя.", call], ["18 ", "градуса."]) == [
        Message("assistant", "Ще проверя.", (call,)),
        Message("tool", "18 °C in Sofia", tool_call_id="call_1", name="weather"),
        Message("assistant", "18 градуса."),
    ]
    assert await grown(["Здравей."]) == [Message("assistant", "Здравей.")]
    assert await grown([called("weather", city="Sofia"), finished("length")]) == []


async def test_a_stopped_conversation_has_a_result_for_each_call_and_the_model_s_word_last() -> None:
    calls = (called("weather", 1, city="Sofia"), called("send", 2, text="hi"))
    turns = await grown([*calls], ["never"], until=CallEnded)
    assert turns == [
        Message("assistant", "", calls),
        Message("tool", "18 °C in Sofia", tool_call_id="call_1", name="weather"),
        Message("tool", "The function send failed: the user stopped it", tool_call_id="call_2", name="send"),
        Message("assistant", "…"),
    ]
    assert await grown(["Ед", "но."], until=Piece) == [Message("assistant", "Ед")]


async def test_a_long_result_is_cut_before_the_model_sees_it() -> None:
    model = Scripted([called("weather", city="Sofia")], ["18."])
    await run(model, limits=ToolRunConfig(max_result_chars=5))
    assert model.asked[1][-1].content == "18 °C\n[... 9 characters left out]"
