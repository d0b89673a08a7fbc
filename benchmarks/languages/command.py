"""`demotic bench --languages`: from words to models and text, and from what was measured to a document."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks.languages.measure import LanguagePlan, Measured, measure
from benchmarks.languages.picture import draw
from benchmarks.languages.report import languages_report, to_document
from benchmarks.output import deliver
from benchmarks.parallel import declaration, read_parallel
from benchmarks.report import plain
from benchmarks.speed.command import Outlet, variants_to_measure
from benchmarks.speed.noise import Noise
from benchmarks.speed.plan import SpeedPlan
from runtime.commands.interrupt import INTERRUPTED, Interrupt
from runtime.errors import Cancelled
from runtime.hardware.probe import probe, with_cards


def bench(
    references: Sequence[str],
    languages: Sequence[str],
    files: Sequence[Path],
    ways: SpeedPlan,
    plan: LanguagePlan,
    outlet: Outlet,
) -> int:
    """Measure models in languages and print; the exit status is 130 after Ctrl-C.

    `files` are parallel text of the user's own; without any it is the declaration. `ways` says how to run the models.

    Raises:
        InvalidRequest: the text has not one of the languages, or a model writes no text; as `read_parallel`.
    """
    outlet.check()
    text = (read_parallel(files) if files else declaration()).of(languages)
    variants = variants_to_measure(references, ways)
    machine, noise = with_cards(probe()), Noise()
    results: list[Measured] = []
    with Interrupt() as interrupt:
        with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
            tasks = {one.name: progress.add_task(one.name, total=plan.num_steps(len(text.lines))) for one in variants}
            for one in variants:
                step = partial(progress.advance, tasks[one.name])
                with suppress(Cancelled):  # Ctrl-C while it loads
                    results.append(measure(one, machine, text, plan, interrupt, noise, step))
                if interrupt.is_set:
                    break
        is_cut = interrupt.is_set
        report = languages_report(results, text, plan, machine, noise.warnings(), is_interrupted=is_cut)
    deliver(to_document(report, outlet.form), outlet.output)
    if outlet.plot is not None and any(one.languages for one in report.models):
        draw(plain(report), outlet.plot)
    return INTERRUPTED if report.is_interrupted else 0
