"""Tools from Python: `Model.chat` tells of calls, `Model.chat_with_tools` runs functions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

import demotic
from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.prompts import prompts_for
from runtime.config import ToolRunConfig
from runtime.errors import ConfigurationInvalid, InvalidRequest
from runtime.model import Model
from tests.fakes.scripted import ScriptedLoader
from tests.fakes.worker import PLAN
from tests.tiny.gguf import write_tiny_gguf

ran: list[str] = []


@demotic.tool(read_only=True)
def weather(city: Literal["Sofia", "Varna"], day: Literal["today", "tomorrow"] = "today") -> str:
    """Weather of a city."""
    ran.append(city)
    return f"18 °C in {city}"


@demotic.tool
def send(text: str) -> str:
    """Send a text."""
    raise ValueError("няма връзка")


SEND = {"type": "function", "function": {"name": "send", "parameters": {"type": "object", "properties": {}}}}
QUESTION = "Какво е времето в София, моля?"


def call(name: str, **arguments: Any) -> str:
    text = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{text}\n</tool_call>"


@contextmanager
def scripted(folder: Path, *answers: str) -> Iterator[Model]:
    ran.clear()
    loader = ScriptedLoader(folder, answers)
    with loader.start(loader.read("scripted"), PLAN, lambda _: True) as model:
        yield model


def test_a_model_that_must_call_makes_a_call_that_fits(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", context_length=8192)
    with demotic.load(str(path)) as model:
        for seed in range(3):
            answer = model.chat(QUESTION, tools=[weather], tool_choice="required", temperature=2, seed=seed)
            assert (answer.text, answer.finish_reason) == ("", "stop")
            for made in answer.tool_calls:
                arguments = json.loads(made.arguments)
                assert made.name == "weather"
                assert arguments["city"] in {"Sofia", "Varna"}
                assert arguments.get("day", "today") in {"today", "tomorrow"}
            assert answer.tool_calls
        named = model.chat("Hi", tools=[weather, SEND], tool_choice="send", temperature=0)
        assert [(made.name, made.arguments) for made in named.tool_calls] == [("send", "{}")]
    assert ran == []


def test_a_conversation_goes_on_with_the_results_of_its_calls(tmp_path: Path) -> None:
    with scripted(tmp_path, f"Ще видя. {call('weather', city='Sofia')}", "Осемнайсет градуса.") as model:
        answer = model.chat(QUESTION, tools=[weather, SEND])
        (made,) = answer.tool_calls
        assert (answer.text, made.name, json.loads(made.arguments)) == ("Ще видя.", "weather", {"city": "Sofia"})
        assert answer.turns == (demotic.Message("assistant", "Ще видя.", answer.tool_calls),)
        result = demotic.Message("tool", "18 °C", tool_call_id=made.id, name=made.name)
        turns = [demotic.Message("user", QUESTION), *answer.turns, result]
        assert model.chat(turns, tools=[weather, SEND]).text == "Осемнайсет градуса."
    assert ran == []


def test_without_a_choice_for_them_there_are_no_calls(tmp_path: Path) -> None:
    with scripted(tmp_path, call("weather", city="Sofia")) as model:
        answer = model.chat(QUESTION, tools=[weather], tool_choice="none")
        assert answer.tool_calls == ()
        assert "<tool_call>" in answer.text
        assert answer.turns == (demotic.Message("assistant", answer.text),)


def test_functions_are_run_where_that_is_approved(tmp_path: Path) -> None:
    asked: list[ToolCall] = []

    def approve(made: ToolCall) -> bool:
        asked.append(made)
        return made.name != "send" or len(asked) > 2

    answers = [call("weather", city="Varna"), call("send", text="a"), call("send", text="b"), "Готово."]
    with scripted(tmp_path, *answers) as model:
        answer = model.chat_with_tools(QUESTION, [weather, send], approve=approve)
    assert (answer.text, ran) == ("Готово.", ["Varna"])
    assert [(run.asked.call.name, run.outcome) for run in answer.tool_runs] == [
        ("weather", "answered"),
        ("send", "denied"),
        ("send", "failed"),
    ]
    assert answer.tool_calls == ()
    told = [turn.content for turn in answer.turns if turn.role == "tool"]
    words = prompts_for("bul_Cyrl")
    failed = words.failed.format(name="send", error="ValueError: няма връзка")
    assert told == ["18 °C in Varna", words.denied.format(name="send"), failed]
    assert answer.turns[-1] == demotic.Message("assistant", "Готово.")
    assert answer.completion_tokens > len("Готово.".encode())


def test_rounds_have_a_limit(tmp_path: Path) -> None:
    with scripted(tmp_path, call("weather", city="Sofia"), call("weather", city="Sofia"), "Стига.") as model:
        limits = ToolRunConfig(max_rounds=1)
        answer = model.chat_with_tools(QUESTION, [weather], approve=lambda _: True, limits=limits)
    assert len(answer.tool_runs) == 1
    assert "<tool_call>" in answer.text


def test_what_cannot_be_honoured_is_refused(tmp_path: Path) -> None:
    def bare(city) -> str:  # type: ignore[no-untyped-def]  # on purpose
        return str(city)

    with scripted(tmp_path) as model:
        with pytest.raises(InvalidRequest, match=r"no tool of OpenAI's shape.*`function`"):
            model.chat("?", tools=[{"type": "function"}])
        with pytest.raises(InvalidRequest, match="no tools to call"):
            model.chat("?", tool_choice="required")
        with pytest.raises(InvalidRequest, match="no tool named 'fly'"):
            model.chat("?", tools=[weather], tool_choice="fly")
        with pytest.raises(ConfigurationInvalid, match="'city' has no type hint"):
            model.chat("?", tools=[bare])

        async def within_a_loop() -> None:
            model.chat_with_tools("?", [weather], approve=lambda _: True)

        with pytest.raises(InvalidRequest, match="An event loop runs in this thread"):
            asyncio.run(within_a_loop())
