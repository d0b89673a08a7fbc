"""The body of `demotic eval`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.plots import check_target
from benchmarks.quality.evaluate import Prepared, Request, measure, prepare
from benchmarks.quality.report import plot, to_csv, to_markdown
from benchmarks.report import to_json
from converters.progress import steps_for
from runtime.commands.interrupt import INTERRUPTED, Interrupt
from runtime.errors import Cancelled

Format = Literal["md", "csv", "json"]


@dataclass(frozen=True)
class Shown:
    """How figures are told: on standard output, and as a picture."""

    form: Format
    plot: Path | None = None


def evaluate(request: Request, shown: Shown) -> int:
    """`demotic eval`: measure what is missing and print all of it; the exit status is 130 after Ctrl-C.

    Raises:
        DemoticError: as `prepare` and `measure` do.
    """
    if shown.plot is not None:
        check_target(shown.plot)
    found = prepare(request)
    is_interrupted = not until_interrupted(lambda check: measure(found, steps_for(as_json=shown.form == "json"), check))
    print(_told(found, shown.form, is_interrupted=is_interrupted), flush=True)
    if shown.plot is not None and found.results.cells:
        plot(found.results, found.languages, shown.plot)
    return INTERRUPTED if is_interrupted else 0


def until_interrupted(work: Callable[[Callable[[], None]], None]) -> bool:
    """Do work that calls what it is given now and then; false where Ctrl-C ended it."""
    with Interrupt() as interrupt:

        def check() -> None:
            if interrupt.is_set:
                raise Cancelled("Stopped by Ctrl-C.")

        try:
            work(check)
        except Cancelled:
            return False
    return True


def _told(found: Prepared, form: Format, *, is_interrupted: bool) -> str:
    match form:
        case "json":
            return to_json(found.results.as_dict() | {"is_interrupted": is_interrupted})
        case "csv":
            return to_csv(found.results, found.languages)
        case "md":
            return to_markdown(found.results, found.languages, is_interrupted=is_interrupted)
