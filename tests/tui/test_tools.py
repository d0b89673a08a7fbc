"""Tools in the terminal chat: what the cards show, who decides, and what the model is told."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from runtime.chat.tools.settings import FunctionSettings, ServerSettings, ToolSettings
from runtime.config import RunConfig, ToolRunConfig
from tests.tui.endpoint import WAIT, Call, FakeEndpoint
from tests.tui.test_app import SIZE, say, screen, until
from tui.app import ChatApp
from tui.bidi import displayed
from tui.server import PrivateServer
from tui.tools import ChatTools
from tui.widgets.card import CallCard
from tui.widgets.prompt import Prompt

SENT = Call("send", ('{"text": "здравей', ', свят"}'))


def settings(*approve: str, read_only: bool = False, rounds: int = 8) -> ToolSettings:
    functions = {"mine": FunctionSettings(str(Path(__file__).with_name("functions.py")))}
    return ToolSettings({}, functions, approve, read_only, ToolRunConfig(max_rounds=rounds))


@asynccontextmanager
async def chat(
    fake: FakeEndpoint, allowed: ToolSettings, message: str, size: tuple[int, int] = SIZE
) -> AsyncIterator[Pilot[None]]:
    async with ChatTools(allowed) as tools:
        app = ChatApp(fake.connect, message=message, tools=tools)
        async with app.run_test(size=size) as pilot:
            yield pilot


def app_of(pilot: Pilot[None]) -> ChatApp:
    assert isinstance(pilot.app, ChatApp)
    return pilot.app


async def asked(pilot: Pilot[None]) -> CallCard:
    """The card that asks, as soon as keys go to it."""
    async with asyncio.timeout(15):
        while not isinstance(pilot.app.focused, CallCard):
            await asyncio.sleep(0.02)
    return pilot.app.focused


def told(fake: FakeEndpoint, request: int) -> list[dict[str, Any]]:
    """The turns of a request after the first question."""
    return list(fake.requests[request]["messages"][1:])


async def test_a_call_is_a_card_that_asks_and_once_is_for_one_call(fake: FakeEndpoint) -> None:
    fake.script = [["Ще пратя.", SENT], [SENT], ["Готово."], ["И сега."]]
    async with chat(fake, settings(), "Прати") as pilot:
        shown = await until(app_of(pilot), "send · may it run?", 'text: "здравей, свят"', "may the tool run?")
        assert "Tools: weather, send, fail, wait, flood, double." in shown
        await asked(pilot)
        shown = await until(app_of(pilot), "o/1 once · a/2 always for this tool · d/3 deny")
        assert "It says that it only reads" not in shown
        await pilot.press("o")
        await until(app_of(pilot), "send · answered after", "→ изпратено: здравей, свят", "send · may it run?")
        await asked(pilot)
        await pilot.press("o")
        await until(app_of(pilot), "Готово.", "ready · 2 calls, ")
        assert isinstance(pilot.app.focused, Prompt)
        await say(pilot, "Още?")
        await until(app_of(pilot), "И сега.")
    sent = {"name": "send", "arguments": '{"text": "здравей, свят"}'}
    calls = [{"id": "call_0", "type": "function", "function": sent}]
    result = {"role": "tool", "content": "изпратено: здравей, свят", "tool_call_id": "call_0"}
    # A later question sees what was called and what came of it.
    assert told(fake, 3) == [
        {"role": "assistant", "content": "Ще пратя.", "tool_calls": calls},
        result,
        {"role": "assistant", "content": "", "tool_calls": calls},
        result,
        {"role": "assistant", "content": "Готово."},
        {"role": "user", "content": "Още?"},
    ]
    assert [
        tool["function"]["name"] for tool in fake.requests[0]["tools"]
    ] == "weather send fail wait flood double".split()
    assert fake.requests[0]["tool_choice"] == "auto"


async def test_always_is_for_all_calls_of_that_tool_in_this_chat(fake: FakeEndpoint) -> None:
    fake.script = [[SENT], ["Едно."], [SENT], ["Две."], [Call("fail", ("{}",))], ["Три."]]
    async with chat(fake, settings(), "Прати") as pilot:
        await asked(pilot)
        await pilot.press("a")
        await until(app_of(pilot), "Едно.", "ready · 1 call, ")
        await say(pilot, "Пак")
        await until(app_of(pilot), "Две.")
        await say(pilot, "Друго")
        card = await asked(pilot)
        assert card.state == "asking"
        await pilot.press("d")
        await until(app_of(pilot), "Три.")


async def test_a_denied_call_does_not_run_and_the_model_is_told_in_the_user_s_language(fake: FakeEndpoint) -> None:
    fake.script = [[SENT], ["Добре."]]
    async with chat(fake, settings(), "Изпрати поздрав на всички приятели, моля.") as pilot:
        await asked(pilot)
        await pilot.press("d")
        shown = await until(app_of(pilot), "send · denied", "Добре.", "ready · 1 call")
        assert "изпратено" not in shown
    assert told(fake, 1)[-1]["content"].startswith("Потребителят не разреши функцията send")


@pytest.mark.parametrize("is_free", [True, False])
async def test_what_only_reads_is_free_where_the_settings_say_so(fake: FakeEndpoint, is_free: bool) -> None:
    fake.script = [[Call("weather", ('{"city": "東京"}',))], ["晴れ。"]]
    async with chat(fake, settings(read_only=is_free), "東京の天気は?") as pilot:
        if not is_free:
            await until(app_of(pilot), "weather · may it run?", "It says that it only reads.")
            await asked(pilot)
            await pilot.press("o")
        await until(app_of(pilot), "weather · answered", "→ 18 °C, 東京", "晴れ。")


async def test_an_approved_tool_that_fails_is_told_as_failed(fake: FakeEndpoint) -> None:
    fake.script = [[Call("fail", ("{}",)), Call("fly", ("{}",))], ["Жалко."]]
    async with chat(fake, settings("fail"), "Направи нещо полезно за мен, моля.") as pilot:
        shown = await until(app_of(pilot), "fail · failed after", "→ ValueError: няма връзка\ufffd[2J", "Жалко.")
        assert "there is no tool named 'fly'" in shown
    failed, missing = told(fake, 1)[1:]
    assert failed["content"].startswith("Функцията fail завърши с грешка: ValueError: няма връзка")
    assert "there is no tool named 'fly'" in missing["content"]


async def test_after_the_last_round_the_model_must_answer_without_tools(fake: FakeEndpoint) -> None:
    fake.script = [[SENT], [SENT], ["Стига."]]
    async with chat(fake, settings("send", rounds=2), "Прати") as pilot:
        await until(app_of(pilot), "Стига.", "ready · 2 calls, ")
    assert [request["tool_choice"] for request in fake.requests] == ["auto", "auto", "none"]


@pytest.mark.parametrize(("call", "allowed"), [(SENT, ()), (Call("wait", ("{}",)), ("wait",))], ids=["asking", "runs"])
async def test_escape_stops_the_call_and_the_conversation_goes_on(
    fake: FakeEndpoint, call: Call, allowed: tuple[str, ...]
) -> None:
    fake.script = [["Сега.", call], ["Добре."]]
    async with chat(fake, settings(*allowed), "Направи го") as pilot:
        await until(app_of(pilot), f"{call.name} · {'running' if allowed else 'may it run?'}")
        await pilot.press("escape")
        await until(app_of(pilot), f"{call.name} · stopped", "ready · stopped")
        await say(pilot, "Остави")
        await until(app_of(pilot), "Добре.", "ready")
    called, result, word, question = told(fake, 1)
    assert called["tool_calls"][0]["function"]["name"] == call.name
    assert result["tool_call_id"] == called["tool_calls"][0]["id"]
    assert "the user stopped it" in result["content"]
    assert (word["role"], question["content"]) == ("assistant", "Остави")


@pytest.mark.parametrize("text", ["Добро утро, София", "صباح الخير يا قاهرة", "おはようございます、東京", "शुभ प्रभात"])
async def test_arguments_and_results_are_readable_in_every_script(fake: FakeEndpoint, text: str) -> None:
    fake.script = [[Call("send", (json.dumps({"text": text, "to": ["Ана", "علي", "さくら"]}),))], ["OK."]]
    async with chat(fake, settings("send"), "!") as pilot:
        # The screen has each wide character followed by nothing, and those that join as they are.
        shown = [
            displayed(line) for line in (f'text: "{text}"', 'to: ["Ана", "علي", "さくら"]', f"→ изпратено: {text}")
        ]
        await until(app_of(pilot), *shown)


async def test_strings_in_arguments_that_run_right_to_left_stay_where_they_are(fake: FakeEndpoint) -> None:
    fake.script = [[Call("send", (json.dumps({"text": "؟", "to": ["علي", "عمر"]}),))], ["OK."]]
    async with chat(fake, settings("send"), "!") as pilot:
        await until(app_of(pilot), 'to: ["يلع", "رمع"]')


async def test_nothing_of_a_call_commands_the_terminal_or_passes_for_another_argument(fake: FakeEndpoint) -> None:
    arguments = {'a"\nto': "\x1b[2J\u202egpj.exe", "lines": "x\nto: \x07all"}
    fake.script = [[Call("se\x1b[1mnd", (json.dumps(arguments),))], ["OK."]]
    async with chat(fake, settings(), "?") as pilot:
        shown = await until(app_of(pilot), "se\ufffd[1mnd · failed", "OK.")
        # JSON escapes what has no letter of its own, and the rest is replaced.
        assert 'a"\ufffdto: "\\u001b[2J\ufffdgpj.exe"' in shown
        assert "    to: \ufffdall" in shown


async def test_what_was_normalised_is_told(fake: FakeEndpoint) -> None:
    by_server = {"demotic": {"changes": [{"path": "/city", "from": "София", "to": "Sofia", "rule": "transliteration"}]}}
    fake.script = [[Call("weather", ('{"city": "Sofia"}',), more=by_server)], ["Топло."]]
    async with chat(fake, settings("weather"), "?") as pilot:
        await until(app_of(pilot), 'normalised /city: "София" -> "Sofia" (transliteration)', "Топло.")


async def test_a_long_result_is_folded_and_shown_by_key_and_mouse(fake: FakeEndpoint) -> None:
    fake.script = [[Call("flood", ("{}",))], ["Много."]]
    async with chat(fake, settings(read_only=True), "?", size=(80, 60)) as pilot:
        shown = await until(
            app_of(pilot), "line 4", "[... 283 characters left out]", "Tab, Enter: the whole", "Много.", "ready"
        )
        assert "line 5" not in shown
        await pilot.press("tab", "enter")
        await until(app_of(pilot), "line 40", "Enter: less")
        await pilot.press("shift+tab")
        assert isinstance(pilot.app.focused, Prompt)
        await click(pilot, "Enter: less")
        await until(app_of(pilot), "the whole")
        assert "line 5" not in screen(app_of(pilot))


async def click(pilot: Pilot[None], words: str) -> None:
    """Click on words of the screen."""
    lines = screen(app_of(pilot)).splitlines()
    (at,) = [(line.index(words), row) for row, line in enumerate(lines) if words in line]
    await pilot.click(offset=at)


@pytest.mark.parametrize(("words", "outcome"), [("o/1 once", "answered"), ("d/3 deny", "denied")])
async def test_the_mouse_decides_too(fake: FakeEndpoint, words: str, outcome: str) -> None:
    fake.script = [[SENT], ["Да."]]
    async with chat(fake, settings(), "?") as pilot:
        await until(app_of(pilot), words)
        await click(pilot, words)
        await until(app_of(pilot), f"send · {outcome}", "Да.", "ready")
        assert isinstance(pilot.app.focused, Prompt)


async def test_what_is_being_typed_decides_nothing(fake: FakeEndpoint) -> None:
    fake.script = [["Чакай", WAIT, SENT], ["Да."]]
    async with chat(fake, settings(), "?") as pilot:
        await until(app_of(pilot), "Чакай")
        await pilot.press("g", "o")
        fake.go_on.set()
        await until(app_of(pilot), "may it run?", "Tab, then: o/1 once")
        await asyncio.sleep(0.7)
        await pilot.press("o", "d")
        assert pilot.app.query_one(Prompt).value == "good"
        assert pilot.app.query_one(CallCard).state == "asking"
        await pilot.press("tab", "o")
        await until(app_of(pilot), "send · answered", "Да.")
        assert pilot.app.query_one(Prompt).value == "good"


async def test_a_key_that_comes_with_the_question_decides_nothing(fake: FakeEndpoint) -> None:
    fake.script = [[SENT], ["Да."]]
    async with chat(fake, settings(), "?") as pilot:
        await until(app_of(pilot), "may it run?")
        await pilot.press("d")
        assert pilot.app.query_one(CallCard).state == "asking"
        assert pilot.app.query_one(Prompt).value == "d"


async def test_a_letter_in_the_middle_of_a_word_decides_nothing(fake: FakeEndpoint) -> None:
    fake.script = [[SENT], ["Да."]]
    async with chat(fake, settings(), "?") as pilot:
        card = await asked(pilot)
        await pilot.press("г", "o", "a", "d")
        assert pilot.app.query_one(Prompt).value == "гoad"
        assert card.state == "asking"
        await pilot.press("tab", "3")
        await until(app_of(pilot), "send · denied", "Да.")


async def test_a_new_conversation_and_quitting_end_a_question(fake: FakeEndpoint) -> None:
    fake.script = [[SENT], ["Ново."], [SENT]]
    async with chat(fake, settings(), "Едно") as pilot:
        await asked(pilot)
        await pilot.press("ctrl+n")
        await say(pilot, "Две")
        shown = await until(app_of(pilot), "Ново.", "ready")
        assert "send" not in shown.replace("Tools: weather, send", "")
        await say(pilot, "Три")
        await asked(pilot)
        await pilot.press("ctrl+q")
    assert pilot.app.return_code == 0
    assert [message["content"] for message in fake.requests[1]["messages"]] == ["Две"]


async def test_what_does_not_fit_the_context_with_its_results_is_not_kept(fake: FakeEndpoint) -> None:
    fake.script = [[SENT], {"message": "Too long.", "code": "context_length_exceeded"}, ["Кратко."]]
    async with chat(fake, settings("send"), "Дълго") as pilot:
        await until(app_of(pilot), "Too long. Ctrl-N starts")
        await say(pilot, "Кратко?")
        await until(app_of(pilot), "Кратко.")
    assert fake.messages(2) == ["Кратко?"]


async def test_calls_of_other_endpoints_are_read_and_normalised_here(fake: FakeEndpoint) -> None:
    # Some number no calls; each has an id of its own.
    first, second = Call("weather", ('{"city":', '"Sofia"}'), "a"), Call("double", ('{"number": "٤٢"}',), "b")
    with pytest.MonkeyPatch.context() as patch:
        deltas = Call.deltas
        patch.setattr(Call, "deltas", lambda call, _: deltas(call, 0))
        fake.script = [[first, second], ["Done."]]
        async with chat(fake, settings(read_only=True), "?") as pilot:
            normalised = 'normalised /number: "٤٢" -> 42 (number)'
            await until(app_of(pilot), "→ 18 °C, Sofia", normalised, "→ 84", "Done.")


async def test_a_call_that_cannot_be_read_is_a_fault_with_a_next_step(fake: FakeEndpoint) -> None:
    fake.script = [[Call("send", ('{"text": ',))], ["Better."]]
    async with chat(fake, settings("send"), "One") as pilot:
        await until(app_of(pilot), "the arguments of a call of 'send' are no JSON object. Say it again")
        await say(pilot, "Two")
        await until(app_of(pilot), "Better.")
    assert fake.messages(1) == ["Two"]


async def test_a_server_of_tools_that_does_not_start_is_told_and_the_chat_does_not(fake: FakeEndpoint) -> None:
    broken = ToolSettings({"notes": ServerSettings(command="no-such-program", cwd=".")})
    async with chat(fake, broken, "?") as pilot:
        await until(app_of(pilot), "The MCP server 'notes' cannot be used", "not started")
    assert "Check [servers.notes]" in str(app_of(pilot).start_fault)


async def test_smollm2_that_must_call_calls_a_real_server() -> None:
    time = ServerSettings(command=sys.executable, args=("-m", "mcp_server_time", "--local-timezone", "Europe/Sofia"))
    allowed = ToolSettings({"time": time}, approve_read_only=False)
    config = RunConfig(temperature=0, max_tokens=120)
    async with (
        PrivateServer("smollm2-135m-instruct") as server,
        ChatTools(allowed, choice="time_get_current_time") as tools,
    ):
        app = ChatApp(server.endpoint, message="What time is it in Sofia?", config=config, tools=tools)
        async with app.run_test(size=SIZE) as pilot:
            await until(app, "time_get_current_time · may it run?", "timezone:", seconds=120)
            await asked(pilot)
            await pilot.press("o")
            # What it asks for is its own: the server answers, or says that there is no such zone.
            await until(app, "time_get_current_time · answered", "· ready", seconds=120)
            assert any(words in screen(app) for words in ("datetime", "Invalid timezone"))
