"""What a task is to the runner: questions with languages, a way to ask one, and figures of the answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from benchmarks.load import Endpoint, error_text

_PLACE = re.compile(r"\{(\w+)\}")


class AskingFailed(Exception):
    """One question got no answer; the message says why."""


@dataclass(frozen=True)
class Asker:
    """An endpoint that a task can ask."""

    http: httpx.AsyncClient
    endpoint: Endpoint

    async def post(self, path: str, **body: Any) -> Any:
        """The JSON that the endpoint answers to `body` with the model's name.

        Raises:
            AskingFailed: it does not answer, or says that it cannot.
        """
        try:
            response = await self.http.post(
                f"{self.endpoint.base_url}{path}", json={"model": self.endpoint.model, **body}
            )
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            raise AskingFailed(f"{type(fault).__name__}: {fault}".rstrip(": ")) from fault
        if response.status_code != 200:
            raise AskingFailed(f"HTTP {response.status_code}: {error_text(response.content)}")
        try:
            return response.json()
        except ValueError as fault:
            raise AskingFailed("the answer is no JSON") from fault

    async def complete(self, prompt: str, *, max_tokens: int, stop: Sequence[str] = ()) -> str:
        """How the model goes on after `prompt`, greedily."""
        more = {"stop": list(stop)} if stop else {}
        told = await self.post("/completions", prompt=prompt, max_tokens=max_tokens, temperature=0, **more)
        return str(told["choices"][0]["text"])

    async def chat(self, messages: Sequence[Mapping[str, str]], *, max_tokens: int) -> str:
        """What the model answers to a conversation, greedily."""
        told = await self.post("/chat/completions", messages=list(messages), max_tokens=max_tokens, temperature=0)
        return str(told["choices"][0]["message"].get("content") or "")


@dataclass(frozen=True)
class Figures:
    """What came of the answers: `columns` of each language; shares and scores are of 100.

    `more` is for `--json`, and `tables` for people: heads and rows, one table below the other; `notes` are sentences.
    """

    columns: tuple[str, ...]
    by_language: Mapping[str, Mapping[str, float | None]]
    more: Mapping[str, Any] = field(default_factory=dict)
    tables: tuple[tuple[tuple[str, ...], tuple[tuple[str, ...], ...]], ...] = ()
    notes: tuple[str, ...] = ()


class Task(Protocol):
    """One file or several, as questions. `languages` has the language of each question by its key, in order.

    `settings` are JSON values: results with others are not gone on with.
    """

    @property
    def name(self) -> str:
        """The command below `demotic eval`."""

    @property
    def measured(self) -> str:
        """What the figures mean, in sentences."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the answers depend on besides the files and the model."""

    @property
    def languages(self) -> Mapping[str, str]:
        """See the class."""

    async def ask(self, key: str, asker: Asker) -> Any:
        """The answer to a question, a JSON value.

        Raises:
            AskingFailed: there is none.
            LookupError, TypeError, ValueError, AttributeError: it is not of the shape that it should be.
        """

    def figures(self, answers: Mapping[str, Any]) -> Figures:
        """The figures of those questions that were asked; the answer is None where it failed."""


def by_language(task: Task, answers: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The answers that came, by language and key."""
    found: dict[str, dict[str, Any]] = {}
    for key, language in task.languages.items():
        if answers.get(key) is not None:
            found.setdefault(language, {})[key] = answers[key]
    return found


def percent(values: Iterable[float]) -> float | None:
    """The mean of shares, of 100; None where there are none."""
    known = [float(value) for value in values]
    return 100 * sum(known) / len(known) if known else None


def filled(template: str, **texts: str) -> str:
    """A template with texts in the places of their names in braces; other braces stay as they are."""
    return _PLACE.sub(lambda place: texts.get(place[1], place[0]), template)


def shown(value: float | None) -> str:
    """A figure as tables show it."""
    return "–" if value is None else f"{value:.1f}"
