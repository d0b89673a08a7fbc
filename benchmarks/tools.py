"""How well an endpoint's model calls tools in twelve languages: where it is free to, and where it must.

The suite is in `benchmarks/corpus/tools/`, a file a language, its rows as in TUCAN's data set. Each row is asked twice:
with `tool_choice` auto, where the model may answer without a call, and with required. A free answer that has begun no
call in its first tokens is not waited for: small models go on about anything, and most of the time would go there. The
verdicts are those of `benchmarks/tools_score.py`, and `benchmarks/tools_report.py` makes figures of them.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import httpx
from jsonschema import Draft202012Validator, FormatChecker
from rich.console import Console
from rich.progress import Progress

from benchmarks.load import INTERRUPTED, Endpoint, error_text, http_client, until_done_or_interrupted, with_model
from benchmarks.tools_report import print_tools_report, tools_report
from benchmarks.tools_score import Call, Reply, Verdict, expected_calls, judge
from runtime.errors import InvalidRequest

CORPUS = Path(__file__).with_name("corpus") / "tools"
# What calls begin with where a model writes them into its text.
_MARKS = ("<tool_call>", "```tool_call", "[TOOL_CALLS]", "<|python_tag|>", "<start_function_call>")

Mode = Literal["auto", "required"]
MODES: tuple[Mode, Mode] = ("auto", "required")


@dataclass(frozen=True)
class Row:
    """One case of the suite; `functions` are those that the model may call, and `behavior` what is expected of it."""

    language: str
    user_message: str
    functions: tuple[dict[str, Any], ...]
    behavior: dict[str, Any]
    scenario: str

    @property
    def num_expected(self) -> int:
        """How many calls are expected."""
        return len(expected_calls(self.behavior))


@dataclass(frozen=True)
class Settings:
    """How the suite is asked: `max_tokens` are of a free answer, `max_call_tokens` of one that must be a call.

    In its first `look_tokens` a free answer must have begun a call, or it is text.
    """

    max_tokens: int
    clients: int
    look_tokens: int = 32
    # The suite's schemas bound their texts: this is more than any call of them needs.
    max_call_tokens: int = 1024


@dataclass(frozen=True)
class Result:
    """What came of one row.

    `is_sound`: it has a call, and all its calls parse, name a function that is there, and fit its schema. `error` says
    why no answer came.
    """

    row: Row
    mode: Mode
    verdict: Verdict
    num_calls: int
    is_malformed: bool
    is_sound: bool
    error: str = ""


@dataclass(frozen=True)
class ToolsRun:
    """All that was found in one run."""

    endpoint: Endpoint
    settings: Settings
    results: tuple[Result, ...]
    is_interrupted: bool


def languages() -> list[str]:
    """The languages of the suite."""
    return sorted(file.stem for file in CORPUS.glob("*.json"))


def load_suite(chosen: Sequence[str] = ()) -> list[Row]:
    """The rows of the chosen languages, or of all.

    Raises:
        InvalidRequest: the suite has no such language.
    """
    known = languages()
    for language in chosen:
        if language not in known:
            raise InvalidRequest(f"The suite has no '{language}'.", remedy=f"It has {', '.join(known)}.")
    return [row for language in chosen or known for row in _read(language)]


def _read(language: str) -> Iterator[Row]:
    document = json.loads((CORPUS / f"{language}.json").read_text(encoding="utf-8"))
    functions = {function["name"]: function for function in document["functions"]}
    for row in document["rows"]:
        yield Row(
            language,
            row["user_message"],
            tuple(functions[name] for name in row["functions"]),
            row["expected_behavior"],
            row["scenario_type"],
        )


async def measure(
    endpoint: Endpoint, rows: Sequence[Row], settings: Settings, on_end: Callable[[], None] = lambda: None
) -> ToolsRun:
    """Ask each row in both modes; Ctrl-C ends with what was found until then.

    Raises:
        DemoticError: the endpoint does not list its models, and none was named.
    """
    results: list[Result] = []
    async with http_client(endpoint) as http:
        endpoint = await with_model(http, endpoint)
        # One after the other where their prompts begin alike: both modes of a row, and rows with the same functions.
        todo = iter([(row, mode) for row in sorted(rows, key=_by_prompt) for mode in MODES])

        async def ask_in_turn() -> None:
            for row, mode in todo:
                results.append(await ask_once(http, endpoint, row, mode, settings))
                on_end()

        async def all_clients() -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(settings.clients):
                    group.create_task(ask_in_turn())

        is_interrupted = await until_done_or_interrupted(all_clients())
    return ToolsRun(endpoint, settings, tuple(results), is_interrupted)


async def ask_once(http: httpx.AsyncClient, endpoint: Endpoint, row: Row, mode: Mode, settings: Settings) -> Result:
    """Ask one row; whatever goes wrong is in the result."""
    body = {
        "model": endpoint.model,
        "messages": [{"role": "user", "content": row.user_message}],
        "tools": [{"type": "function", "function": function} for function in row.functions],
        "tool_choice": mode,
        # Several calls only where several are wanted: a small model that may go on does.
        "parallel_tool_calls": row.num_expected > 1,
        "temperature": 0,
    }
    limits = {min(settings.look_tokens, settings.max_tokens), settings.max_tokens}
    try:
        for max_tokens in sorted(limits) if mode == "auto" else [settings.max_call_tokens]:
            response = await http.post(f"{endpoint.base_url}/chat/completions", json={**body, "max_tokens": max_tokens})
            if response.status_code != 200:
                return _failed(row, mode, f"HTTP {response.status_code}: {error_text(response.content)}")
            choice = response.json()["choices"][0]
            if not _may_become_a_call(row, choice):
                break
        return judged(row, mode, choice)
    except (httpx.HTTPError, httpx.InvalidURL) as fault:
        return _failed(row, mode, f"{type(fault).__name__}: {fault}".rstrip(": "))
    except (ValueError, LookupError, TypeError, AttributeError):
        return _failed(row, mode, "the answer is not of OpenAI's shape")


def _by_prompt(row: Row) -> tuple[str, ...]:
    return (row.language, *(function["name"] for function in row.functions))


def _may_become_a_call(row: Row, choice: dict[str, Any]) -> bool:
    """Whether an answer was cut off where it has begun a call, or while it thinks."""
    message = choice["message"]
    if choice["finish_reason"] != "length":
        return False
    content = message.get("content") or ""
    if message.get("tool_calls") or (message.get("reasoning_content") and not content):
        return True
    return any(text in content for text in (*_MARKS, *(function["name"] for function in row.functions)))


def _failed(row: Row, mode: Mode, error: str) -> Result:
    return Result(
        row, mode, judge(row.behavior, Reply(is_failed=True)), 0, is_malformed=False, is_sound=False, error=error
    )


def judged(row: Row, mode: Mode, choice: dict[str, Any]) -> Result:
    """The verdict on a choice of a chat completion.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: it is not of OpenAI's shape.
    """
    message = choice["message"]
    functions = [call["function"] for call in message.get("tool_calls") or ()]
    calls = [Call(function["name"], _object(function["arguments"])) for function in functions]
    has_mark = not calls and any(mark in (message.get("content") or "") for mark in _MARKS)
    is_malformed = has_mark or any(call.parameters is None for call in calls)
    return Result(
        row=row,
        mode=mode,
        verdict=judge(row.behavior, Reply(tuple(calls), is_malformed=is_malformed)),
        num_calls=len(calls),
        is_malformed=is_malformed,
        is_sound=bool(calls) and choice["finish_reason"] == "tool_calls" and all(_fits(row, call) for call in calls),
    )


def _object(arguments: str) -> dict[str, Any] | None:
    """The arguments of a call; None where they are no JSON object."""
    try:
        value = json.loads(arguments)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _fits(row: Row, call: Call) -> bool:
    schema = next((function["parameters"] for function in row.functions if function["name"] == call.name), None)
    return schema is not None and _validator(json.dumps(schema)).is_valid(call.parameters)


@lru_cache(maxsize=256)
def _validator(schema: str) -> Draft202012Validator:
    """What judges is not what enforces: a validator by others."""
    return Draft202012Validator(json.loads(schema), format_checker=FormatChecker())


def bench(endpoint: Endpoint, chosen: Sequence[str], settings: Settings, *, as_json: bool) -> int:
    """`demotic bench tools`: measure and print; the exit status is 130 after Ctrl-C, 1 where no answer came."""
    rows = load_suite(chosen)
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("questions", total=len(rows) * len(MODES))
        run = asyncio.run(measure(endpoint, rows, settings, lambda: progress.advance(task)))
    print_tools_report(tools_report(run), as_json=as_json)
    if run.is_interrupted:
        return INTERRUPTED
    return 0 if any(not result.error for result in run.results) else 1
