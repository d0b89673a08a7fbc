"""What demotic and llama-server are compared on: workloads, and the figures that are read from each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.load import Workload
from benchmarks.load_report import LoadReport


@dataclass(frozen=True)
class Measured:
    """One workload on one server.

    `server_cpu_seconds` and `client_cpu_seconds`: processor time of all of the server's processes, and of this one,
    which sends the requests and reads the answers, over the same span as the report.
    """

    report: LoadReport
    server_cpu_seconds: float
    client_cpu_seconds: float


@dataclass(frozen=True)
class Figure:
    """One number that is compared, and the ratio that is wanted: at least where more is better, else at most.

    None is wanted of a figure that only explains another.
    """

    name: str
    unit: str
    more_is_better: bool
    wanted: float | None
    read: Callable[[Measured], float | None]


@dataclass(frozen=True)
class Scenario:
    """A workload, and the figures that are compared on it."""

    name: str
    workload: Workload
    figures: tuple[Figure, ...]


def throughput(wanted: float | None) -> tuple[Figure, Figure]:
    """Speed, and what it takes of the processors."""
    return (
        Figure("throughput", "output tokens/s", True, wanted, lambda one: one.report.output_tokens_per_second),
        Figure("CPU time of the server", "s/output token", False, None, _cpu_per_token),
    )


def _cpu_per_token(one: Measured) -> float | None:
    return one.server_cpu_seconds / one.report.output_tokens if one.report.output_tokens else None


def itl_during(one: Measured) -> float | None:
    """Seconds between two pieces of a stream while the long prompt is read; 95 of 100 are shorter."""
    return one.report.long_prompt.itl_seconds_during.p95 if one.report.long_prompt else None


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
        Scenario(distinct.format("1 client"), plain, throughput(1.0)),
        Scenario(distinct.format("4 clients"), replace(plain, clients=4, requests=scaled(16, 4)), throughput(1.0)),
        Scenario(distinct.format("8 clients"), replace(plain, clients=8, requests=scaled(24, 8)), throughput(1.0)),
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
            (*throughput(3.0), Figure("worst TTFT", "s", False, 1 / 3, lambda one: one.report.ttft_seconds.max)),
        ),
        Scenario(
            "4 streams run while a prompt of 2,000 tokens arrives",
            replace(plain, clients=4, requests=4, output_tokens=scaled(192, 24), long_prompt=scaled(2000, 32)),
            (Figure("p95 of ITL while it is read", "s", False, 1.2, itl_during),),
        ),
    )
