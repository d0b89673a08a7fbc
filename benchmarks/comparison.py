"""Servers in turns over the same scenarios, and all that was measured on the way."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from benchmarks.load import Endpoint, Lengths, LoadRun, Workload, measure
from benchmarks.load_report import load_report
from benchmarks.scenarios import Measured, Scenario
from benchmarks.servers import Server, Setup, Side, running
from runtime.errors import DemoticError

REST_SECONDS = 2.0  # between two servers, so that the first one's end does not disturb the second one's start


@dataclass(frozen=True)
class Turn:
    """One scenario on one side in one alternation."""

    alternation: int
    side: Side
    scenario: Scenario
    measured: Measured


@dataclass
class Comparison:
    """What has been measured until now."""

    setup: Setup
    scenarios: Sequence[Scenario]
    alternations: int
    turns: list[Turn] = field(default_factory=list)
    is_interrupted: bool = False
    fault: str = ""
    load_average: float = field(default_factory=lambda: os.getloadavg()[0])
    lengths: Lengths | None = None  # asked once, so that all sides get the same prompts

    def run(self) -> None:
        """Run all scenarios on all sides in turns, until done, interrupted or failed."""
        try:
            for alternation in range(self.alternations):
                for side in self.setup.sides if alternation % 2 == 0 else self.setup.sides[::-1]:
                    self._run_side(alternation, side)
                    if self.is_interrupted:
                        return
                    time.sleep(REST_SECONDS)
        except KeyboardInterrupt:
            self.is_interrupted = True
        except DemoticError as error:
            self.fault = str(error)

    def _run_side(self, alternation: int, side: Side) -> None:
        with running(self.setup, side) as server:
            for number, scenario in enumerate(self.scenarios):
                workload = replace(scenario.workload, seed=1 + alternation * len(self.scenarios) + number)
                run, cpu = asyncio.run(_run(server, workload, self.lengths))
                if run.is_interrupted:
                    self.is_interrupted = True
                    return
                self.lengths = run.lengths
                turn = Turn(alternation, side, scenario, Measured(load_report(run), *cpu))
                self.turns.append(turn)
                self._tell(turn)

    def _tell(self, turn: Turn) -> None:
        figures = ", ".join(f"{figure.name} {short(figure.read(turn.measured))}" for figure in turn.scenario.figures)
        failed = turn.measured.report.requests["failed"]
        fault = f", {failed} failed" if failed else ""
        print(
            f"{turn.alternation + 1}/{self.alternations} {turn.side}: {turn.scenario.name}: {figures}{fault}",
            file=sys.stderr,
            flush=True,
        )


async def _run(server: Server, workload: Workload, lengths: Lengths | None) -> tuple[LoadRun, tuple[float, float]]:
    """One workload, and the processor time that the server and this process took over it without the warm-up."""
    before = 0.0, 0.0

    def on_start() -> None:
        nonlocal before
        before = server.cpu_seconds(), time.process_time()

    endpoint = Endpoint(url=server.url, api_key="", model=None, is_chat=False, timeout=600)
    run = await measure(endpoint, workload, lengths=lengths, on_start=on_start)
    return run, (server.cpu_seconds() - before[0], time.process_time() - before[1])


def short(value: float | None) -> str:
    """A figure with three digits that count."""
    return "–" if value is None else f"{value:.3g}"
