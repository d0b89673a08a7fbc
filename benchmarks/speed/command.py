"""`demotic bench`: from words to models, and from what was measured to a document."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks.output import check_free, deliver
from benchmarks.plots import check_target
from benchmarks.speed.documents import Format, plot, to_document
from benchmarks.speed.measure import Run
from benchmarks.speed.plan import SpeedPlan, Variant, variants_of
from benchmarks.speed.report import speed_report
from runtime.card import ModelCard
from runtime.commands.interrupt import INTERRUPTED, Interrupt
from runtime.errors import InvalidRequest
from runtime.hardware.probe import probe, with_cards
from runtime.models.store import Store


@dataclass(frozen=True)
class Outlet:
    """Where a report goes: a format, and files, each of which is whole or not there."""

    form: Format = "md"
    output: Path | None = None
    plot: Path | None = None
    force: bool = False

    def check(self) -> None:
        """Refuse before anything is measured what could not be written after it.

        Raises:
            InvalidRequest: a file is there already, or has no folder, or no name of a plot.
            ConfigurationInvalid: plots need what is not installed.
        """
        if self.plot is not None:
            check_target(self.plot)
        for path in (self.output, self.plot):
            if path is not None:
                check_free(path, force=self.force)


def bench(references: Sequence[str], plan: SpeedPlan, outlet: Outlet) -> int:
    """Measure and print; the exit status is 130 after Ctrl-C."""
    outlet.check()
    variants = variants_to_measure(references, plan)
    with Interrupt() as interrupt:
        with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
            run = Run(plan, with_cards(probe()), interrupt, _teller(progress, variants, plan.num_steps))
            run.measure(variants)
        report = speed_report(run)
    deliver(to_document(report, outlet.form), outlet.output)
    if outlet.plot is not None:
        plot(report, outlet.plot)
    return INTERRUPTED if report.is_interrupted else 0


def variants_to_measure(references: Sequence[str], plan: SpeedPlan) -> list[Variant]:
    """The ways to run the models that are named, or the default model.

    Raises:
        ModelNotFound: there is no such model.
        InvalidRequest: one generates no text.
    """
    store = Store()
    cards = [ModelCard.read(store.resolve(name)) for name in references or [store.default_name()]]
    for card in cards:
        if card.encoding is not None:
            raise InvalidRequest(f"{card.name} makes vectors or scores and generates no text.", param="model")
    return variants_of(cards, plan)


def _teller(progress: Progress, variants: Sequence[Variant], num_steps: int) -> Callable[[str], None]:
    tasks = {one.name: progress.add_task(one.name, total=num_steps) for one in variants}
    return lambda name: progress.advance(tasks[name])
