"""An endpoint that answers as a test says, and notes what it was asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

import demotic
from tests.benchmarks.serving import JsonHandler, serving

MODEL = "scripted"
Answer = Callable[[str, dict[str, Any]], dict[str, Any] | None]


@dataclass
class Scripted:
    """`answer` gets the path below /v1 and the body; None is a 500. `asked` has both of every request."""

    answer: Answer
    url: str = ""
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    model: str = MODEL


@contextmanager
def scripted(answer: Answer) -> Iterator[Scripted]:
    """An endpoint on a free port, until the block is left."""
    endpoint = Scripted(answer)

    class Handler(JsonHandler):
        def got(self) -> None:
            self.send(200, {"data": [{"id": endpoint.model}]})

        def posted(self, body: dict[str, Any]) -> None:
            path = self.path.removeprefix("/v1")
            endpoint.asked.append((path, body))
            told = endpoint.answer(path, body)
            if told is None:
                self.send(500, {"error": {"message": "It went wrong."}})
            else:
                self.send(200, told)

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as url:
        endpoint.url = f"{url}/v1"
        yield endpoint


def completions(*texts: str) -> dict[str, Any]:
    """An answer of /completions."""
    return {"choices": [{"index": index, "text": text} for index, text in enumerate(texts)]}


def message(content: str) -> dict[str, Any]:
    """An answer of /chat/completions."""
    return {"choices": [{"index": 0, "message": {"content": content}, "finish_reason": "stop"}]}


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    """A file of rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
    return path


def evaluated(*arguments: object) -> Result:
    """`demotic eval ARGUMENTS`."""
    return CliRunner().invoke(demotic.make_app(), ["eval", *map(str, arguments)])


def report(*arguments: object) -> dict[str, Any]:
    """What `demotic eval ARGUMENTS --json` prints."""
    done = evaluated(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found
