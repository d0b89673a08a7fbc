"""The way of all tasks: an endpoint, the questions that are not answered yet, the report.

1. `served.py` finds the endpoint, or starts one.
2. `results.py` reads what an earlier run got, and refuses what was got otherwise.
3. The other questions are asked, several at a time; each answer is kept as it comes. Ctrl-C ends with those.
4. The task makes figures of the answers, and `report.py` a report.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.digest import digest_of
from benchmarks.load import INTERRUPTED, Endpoint, http_client, until_done_or_interrupted, with_model
from benchmarks.report import to_json
from benchmarks.tasks.report import Origin, make_report, to_markdown, write_report
from benchmarks.tasks.results import Results
from benchmarks.tasks.rows import Source
from benchmarks.tasks.served import Target, asked
from benchmarks.tasks.task import Asker, AskingFailed, Task
from runtime.errors import InvalidRequest

_UNSAFE = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class Wishes:
    """How to run a task: `clients` ask at a time; `results` is the file of answers, None beside the first file.

    `force` begins anew; `output` is where the report goes besides standard output.
    """

    clients: int
    results: Path | None
    force: bool
    output: Path | None
    as_json: bool


@dataclass(frozen=True)
class Ended:
    """How asking ended: why questions failed, by key, and whether Ctrl-C cut it short."""

    errors: dict[str, str]
    is_interrupted: bool


def run(task: Task, sources: Sequence[Source], target: Target, wishes: Wishes) -> int:
    """Put `task`, made of `sources`, to `target`, and print its report.

    The exit status is 130 after Ctrl-C, and 1 where no question was answered.

    Raises:
        DemoticError: nothing can be asked, or the results or the report cannot be written.
    """
    if not task.languages:
        raise InvalidRequest(f"There are no rows in {', '.join(str(source.path) for source in sources)}.")
    files = {str(source.path): digest_of(source.path)[0] for source in sources}
    with asked(target) as found:
        endpoint = asyncio.run(_named(found.endpoint))
        origin = Origin(str(endpoint.model), found.model_sha256, _shown(endpoint, target), files)
        header = {
            "task": task.name,
            "model": origin.model,
            "model_sha256": origin.model_sha256,
            "files": files,
            "settings": dict(task.settings),
        }
        path = wishes.results or _beside(sources[0].path, task.name, origin.model)
        with Results(path, header, force=wishes.force) as results:
            ended = asyncio.run(_ask_all(task, endpoint, results, wishes.clients))
    answers = {key: results.answers.get(key) for key in task.languages if key in results.answers or key in ended.errors}
    figures = task.figures(answers)
    known = {key: answer for key, answer in answers.items() if key not in ended.errors}
    report = make_report(task, figures, origin, known, ended.errors, is_interrupted=ended.is_interrupted)
    print(to_json(report) if wishes.as_json else to_markdown(report, figures), flush=True)
    if wishes.output is not None:
        write_report(wishes.output, report, figures)
    if ended.is_interrupted:
        return INTERRUPTED
    return 0 if known else 1


async def _named(endpoint: Endpoint) -> Endpoint:
    """The endpoint with the name of the model to ask."""
    async with http_client(endpoint) as http:
        return await with_model(http, endpoint)


async def _ask_all(task: Task, endpoint: Endpoint, results: Results, clients: int) -> Ended:
    errors: dict[str, str] = {}
    left = [key for key in task.languages if key not in results.answers]
    todo = iter(left)
    with _progress() as progress:
        bar = progress.add_task(task.name, total=len(task.languages), completed=len(task.languages) - len(left))
        async with http_client(endpoint) as http:
            asker = Asker(http, endpoint)

            async def ask_in_turn() -> None:
                for key in todo:
                    answer, error = await _ask(task, key, asker)
                    if error:
                        errors[key] = error
                    else:
                        results.add(key, answer)
                    progress.advance(bar)

            async def all_clients() -> None:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(clients, len(left))):
                        group.create_task(ask_in_turn())

            is_interrupted = await until_done_or_interrupted(all_clients())
    return Ended(errors, is_interrupted)


async def _ask(task: Task, key: str, asker: Asker) -> tuple[Any, str]:
    """An answer, or why there is none."""
    try:
        return await task.ask(key, asker), ""
    except AskingFailed as fault:
        return None, str(fault)
    except (LookupError, TypeError, ValueError, AttributeError):
        return None, "the answer is not of the shape that it should be"


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def _shown(endpoint: Endpoint, target: Target) -> str:
    return "an endpoint of its own" if target.url is None else endpoint.base_url


def _beside(file: Path, task: str, model: str) -> Path:
    """Where answers are kept unless told otherwise: one file for each model and task."""
    file = file.absolute()
    return file.with_name(f"{file.name.removesuffix('.jsonl')}.{task}.{_UNSAFE.sub('-', model)}.results.jsonl")
