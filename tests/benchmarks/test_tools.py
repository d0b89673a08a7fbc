"""The suite of tools is what it says, and answers to it are judged and counted as they are."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jsonschema
import pytest
import regex
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from benchmarks.load import Endpoint
from benchmarks.tools import Mode, Result, Row, Settings, ToolsRun, judged, languages, load_suite, measure
from benchmarks.tools_report import to_markdown, tools_report
from benchmarks.tools_score import Verdict, expected_calls
from runtime.chat.tools.normalise import normalise
from runtime.errors import InvalidRequest
from tests.server import serving

SCENARIOS = {"call": 4, "no_call": 3, "parallel": 3, "nested": 3, "enum": 3, "date": 2, "digits": 2}
SCRIPTS = {
    "Arab": r"\p{Arabic}",
    "Cyrl": r"\p{Cyrillic}",
    "Deva": r"\p{Devanagari}",
    "Hang": r"\p{Hangul}",
    "Hans": r"\p{Han}",
    "Jpan": r"[\p{Han}\p{Hiragana}\p{Katakana}]",
    "Latn": r"\p{Latin}",
    "Thai": r"\p{Thai}",
}
OWN_DIGITS = {"arb_Arab": "[٠-٩]", "hin_Deva": "[०-९]", "tha_Thai": "[๐-๙]"}
SUITE = load_suite()


def rows_of(language: str) -> list[Row]:
    return [row for row in SUITE if row.language == language]


def test_the_suite_has_twelve_languages_and_twenty_rows_each() -> None:
    assert len(languages()) == 12
    for language in languages():
        assert Counter(row.scenario for row in rows_of(language)) == SCENARIOS
    assert len(SUITE) == len({row.user_message for row in SUITE}) == 240


@pytest.mark.parametrize("language", languages())
def test_what_a_row_expects_can_be_done_with_its_functions(language: str) -> None:
    for row in rows_of(language):
        functions = {function["name"]: function["parameters"] for function in row.functions}
        assert row.num_expected == {"no_call": 0, "parallel": 2}.get(row.scenario, 1)
        # There is always one more to be wrong with.
        assert len(functions) > len({call.name for call in expected_calls(row.behavior)})
        for schema in functions.values():
            jsonschema.Draft202012Validator.check_schema(schema)
        for call in expected_calls(row.behavior):
            jsonschema.validate(call.parameters, functions[call.name], format_checker=jsonschema.FormatChecker())
            # It is a fixed point of what the server does to arguments.
            assert normalise(functions[call.name], call.parameters)[1] == ()


@pytest.mark.parametrize("language", languages())
def test_questions_are_in_the_script_of_their_language(language: str) -> None:
    script = SCRIPTS[language.partition("_")[2]]
    for row in rows_of(language):
        letters = regex.findall(r"\p{L}", row.user_message)
        assert all(regex.fullmatch(script + "|[ーـ]", letter) for letter in letters), row.user_message
    for function in rows_of(language)[0].functions:
        assert regex.search(script, function["description"])


@pytest.mark.parametrize(("language", "digits"), OWN_DIGITS.items())
def test_languages_that_have_digits_of_their_own_use_them(language: str, digits: str) -> None:
    for row in rows_of(language):
        if row.scenario == "digits":
            assert regex.search(digits, row.user_message)
            assert not regex.search("[0-9]", row.user_message)


def test_what_is_to_be_sent_stands_in_the_question() -> None:
    for row in SUITE:
        for call in expected_calls(row.behavior):
            if call.name == "send_message" and call.parameters is not None:
                assert call.parameters["text"] in row.user_message


def test_a_language_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(InvalidRequest, match=r"no 'deu_Latn'.*arb_Arab, bul_Cyrl"):
        load_suite(["bul_Cyrl", "deu_Latn"])
    assert {row.language for row in load_suite(["bul_Cyrl"])} == {"bul_Cyrl"}


WEATHER = next(row for row in SUITE if row.language == "bul_Cyrl" and row.scenario == "call")
POEM = next(row for row in SUITE if row.language == "bul_Cyrl" and row.scenario == "no_call")
PLOVDIV = ("get_weather", '{"city": "Plovdiv"}')


def choice(*calls: tuple[str, str], content: str | None = None, reason: str | None = None) -> dict[str, Any]:
    told = [
        {"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}} for name, arguments in calls
    ]
    message = {"role": "assistant", "content": content, **({"tool_calls": told} if told else {})}
    return {"index": 0, "message": message, "finish_reason": reason or ("tool_calls" if told else "stop")}


@pytest.mark.parametrize(
    ("row", "said", "verdict", "is_sound"),
    [
        (WEATHER, choice(PLOVDIV), "CORRECT", True),
        (WEATHER, choice(("get_weather", '{"city": "Sofia"}')), "WRONG_PARAMETERS", True),
        (WEATHER, choice(("get_weather", '{"city": 5}')), "WRONG_PARAMETERS", False),
        (WEATHER, choice(("get_weather", '{"city": "Plovdiv", "unit": "C"}')), "WRONG_PARAMETERS", False),
        (WEATHER, choice(("play_music", '{"genre": "jazz"}')), "WRONG_FUNCTION", True),
        (WEATHER, choice(("get_time", "{}")), "WRONG_FUNCTION", False),
        (WEATHER, choice(("get_weather", '{"city": ')), "MALFORMED_JSON", False),
        (WEATHER, choice(("get_weather", '["Plovdiv"]')), "MALFORMED_JSON", False),
        (WEATHER, choice(content='<tool_call>\n{"name": "get_w', reason="length"), "MALFORMED_JSON", False),
        (WEATHER, choice(content="В Пловдив е слънчево."), "NO_CALL_WHEN_EXPECTED", False),
        (WEATHER, choice(PLOVDIV, reason="length"), "CORRECT", False),
        (POEM, choice(PLOVDIV), "UNEXPECTED_CALL", False),  # the poem's row does not offer it
        (POEM, choice(content="Иван Вазов."), "CORRECT", False),
    ],
)
def test_an_answer_is_judged_by_content_and_by_form(
    row: Row, said: dict[str, Any], verdict: Verdict, is_sound: bool
) -> None:
    if row is POEM and said["message"].get("tool_calls"):
        said["message"]["tool_calls"][0]["function"]["name"] = "unknown"
    result = judged(row, "auto", said)
    assert (result.verdict, result.is_sound) == (verdict, is_sound)


@asynccontextmanager
async def answering(answer: Any) -> AsyncIterator[str]:
    """The address of an endpoint that gives `answer(body)` to each chat."""
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> JSONResponse:
        status, body = answer(await request.json())
        return JSONResponse(body, status)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"data": [{"id": "clever"}]}

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


def asked(url: str) -> Endpoint:
    return Endpoint(url=url, api_key="", model=None, is_chat=True, timeout=20)


async def test_a_model_that_does_what_each_row_wants_is_right_everywhere() -> None:
    rows = {row.user_message: row for row in rows_of("swh_Latn")}
    bodies: list[dict[str, Any]] = []

    def answer(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        bodies.append(body)
        row = rows[body["messages"][0]["content"]]
        calls = [
            (call.name, json.dumps(call.parameters, ensure_ascii=False)) for call in expected_calls(row.behavior)
        ] or ([("send_message", '{"to": "a", "text": "b"}')] if body["tool_choice"] == "required" else [])
        return 200, {"choices": [choice(*calls, content=None if calls else "Sawa.")]}

    async with answering(answer) as url:
        run = await measure(asked(url), list(rows.values()), Settings(max_tokens=9, clients=3))
    report = tools_report(run)
    assert report.model == "clever"
    assert (report.free.verdicts.correct, report.free.verdicts.total) == (20, 20)
    assert (report.free.tried, report.free.sound, report.free.asked) == (17, 17, 20)
    # Three rows want no call: with required they have no verdict.
    assert (report.required.verdicts.correct, report.required.verdicts.total) == (17, 17)
    assert report.required.asked == report.required.tried == 20
    assert Counter((body["tool_choice"], body["max_tokens"]) for body in bodies) == {
        ("auto", 9): 20,
        ("required", 1024): 20,
    }
    assert sum(body["parallel_tool_calls"] for body in bodies) == 2 * SCENARIOS["parallel"]
    assert {(body["model"], body["temperature"]) for body in bodies} == {("clever", 0)}


async def test_a_free_answer_is_waited_for_only_where_it_has_begun_a_call_or_thinks() -> None:
    rows = {row.user_message: row for row in rows_of("swh_Latn") if row.scenario in {"call", "no_call"}}
    openings = iter(
        [
            {"content": "Sawa, nitafanya"},
            {"content": '<tool_call>{"na'},
            {"content": "[send_message(to="},
            {"content": None, "reasoning_content": "Hm"},
            {"content": "Ndiyo", "reasoning_content": "Hm"},
            {"content": '```json {"x":'},
            {"content": "Kwa kweli"},
        ]
    )
    asked_for: list[int] = []

    def answer(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if body["tool_choice"] == "required":
            return 200, {"choices": [choice(content="?")]}
        asked_for.append(body["max_tokens"])
        said = choice(content="Ndiyo.") if body["max_tokens"] > 32 else choice(reason="length")
        said["message"] |= next(openings) if body["max_tokens"] == 32 else {}
        return 200, {"choices": [said]}

    async with answering(answer) as url:
        run = await measure(asked(url), list(rows.values()), Settings(max_tokens=99, clients=1))
    assert asked_for == [32, 32, 99, 32, 99, 32, 99, 32, 32, 32]
    assert [result.error for result in run.results if result.error] == []


async def test_rows_whose_prompts_begin_alike_are_asked_one_after_the_other() -> None:
    seen: list[list[str]] = []

    def answer(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        seen.append([tool["function"]["name"] for tool in body["tools"]])
        return 200, {"choices": [choice(content="?")]}

    async with answering(answer) as url:
        await measure(asked(url), rows_of("swh_Latn"), Settings(max_tokens=9, clients=1))
    assert len(seen) == 40
    assert seen == sorted(seen)


async def test_answers_that_fail_are_errors_of_the_api_and_are_told() -> None:
    turn = iter(range(100))

    def answer(_: dict[str, Any]) -> tuple[int, Any]:
        return [(500, {"error": {"message": "It broke."}}), (200, {"choices": []}), (200, [])][next(turn) % 3]

    async with answering(answer) as url:
        run = await measure(asked(url), rows_of("swh_Latn")[:3], Settings(max_tokens=9, clients=1))
    report = tools_report(run)
    assert {result.verdict for result in run.results} == {"API_ERROR"}
    assert report.errors == {"the answer is not of OpenAI's shape": 4, "HTTP 500: It broke.": 2}
    assert (report.free.tried, report.required.sound) == (0, 0)
    assert "Failed: 2 × HTTP 500: It broke." in to_markdown(report)


def result(row: Row, mode: Mode, verdict: Verdict, *, is_sound: bool) -> Result:
    return Result(row, mode, verdict, int(is_sound), is_malformed=verdict == "MALFORMED_JSON", is_sound=is_sound)


def test_a_report_shows_each_language_both_ways() -> None:
    results = (
        result(WEATHER, "auto", "MALFORMED_JSON", is_sound=False),
        result(WEATHER, "required", "CORRECT", is_sound=True),
        result(POEM, "auto", "CORRECT", is_sound=False),
        result(POEM, "required", "UNEXPECTED_CALL", is_sound=True),
    )
    run = ToolsRun(asked("http://127.0.0.1:1"), Settings(128, 8), results, is_interrupted=True)
    page = to_markdown(tools_report(run))
    assert page.startswith("Stopped by Ctrl-C")
    assert "| bul_Cyrl | 1 of 2 | 0 of 1 | 1 of 2 | 2 of 2 | 1 of 1 |" in page
    assert "| call | 0 of 1 | 1 of 1 |" in page
    assert "| no_call | 1 of 1 | – |" in page
    assert "| MALFORMED_JSON | 1 | 0 |" in page
    assert "Machine: " in page


async def test_the_command_prints_one_document_or_a_page() -> None:
    def answer(_: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 200, {"choices": [choice(content="?")]}

    async with answering(answer) as url:
        words = ["bench", "tools", "--url", url, "--language", "swh_Latn", "--language", "spa_Latn"]
        document = await run(*words, "--json")
        report = json.loads(document)
        assert (report["benchmark"], report["model"], report["errors"]) == ("tools", "clever", {})
        assert set(report["by_language"]) == {"spa_Latn", "swh_Latn"}
        assert report["free"]["asked"] == report["required"]["asked"] == 40
        assert report["free"]["verdicts"]["errors"] == {"NO_CALL_WHEN_EXPECTED": 34}
        assert "| swh_Latn | 0 of 20 | 0 of 0 | 3 of 20 | 0 of 20 | 0 of 17 |" in await run(*words)


async def run(*words: str) -> str:
    """What `demotic` prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "demotic", *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    return out.decode()


async def test_calls_that_must_be_are_sound_with_the_smallest_models() -> None:
    rows = {row.scenario: row for row in rows_of("ind_Latn") if row.scenario in {"call", "nested", "digits"}}
    with serving("smollm2-135m-instruct", "gemma-3-270m", "--context", "2048") as server:
        for model in ("smollm2-135m-instruct", "gemma-3-270m"):
            there = Endpoint(server.base_url, "", model, is_chat=True, timeout=100)
            found = await measure(there, list(rows.values()), Settings(max_tokens=1, clients=4))
            assert [result.error for result in found.results if result.error] == []
            required = [result for result in found.results if result.mode == "required"]
            assert len(required) == 3
            assert all(result.is_sound for result in required)
