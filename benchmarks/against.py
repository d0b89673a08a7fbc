"""`demotic bench serve --against`: starts other programs beside this one, alternates with them, and prints ratios."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.comparison import Comparison
from benchmarks.comparison_report import to_page, to_result
from benchmarks.load import INTERRUPTED, Workload
from benchmarks.programs import demotic, find, named
from benchmarks.report import to_json
from benchmarks.scenarios import Figure, Scenario, itl_during, throughput
from benchmarks.servers import Setup
from runtime.hardware.probe import probe
from runtime.models.store import Store

_CONTEXT_STEP = 256
_LEAST_CONTEXT = 1024  # what the requests that warm up take, and more
_SLACK = 1.5  # lengths of prompts are wishes: tokenizers differ


def bench_against(
    model: str | None, others: Sequence[str], workload: Workload, alternations: int, *, as_json: bool, repeat: str
) -> int:
    """Measure and print; the exit status is 130 after Ctrl-C, and 1 where a server failed.

    Args:
        model: a GGUF's path or name; None for the default model.
        others: programs, as NAME or NAME=PATH.
        workload: what each of them is asked for.
        alternations: how often each has its turn.
        as_json: one JSON document instead of Markdown.
        repeat: the command that does it again.

    Raises:
        InvalidRequest: a program is not known, or not here.
        ModelNotFound: there is no such model.
    """
    programs = named(demotic(), *map(find, others))
    file = Store().resolve(model)
    threads = probe().usable_cores
    setup = Setup(programs, file.name, file.path, threads, context_of(workload), clients=workload.clients)
    comparison = Comparison(setup, [Scenario(described(workload), workload, _figures(workload))], alternations)
    comparison.run()
    result = to_result(comparison, benchmark="serve_against", repeat=repeat)
    print(to_json(result) if as_json else to_page(result))
    if comparison.fault:
        return 1
    return INTERRUPTED if comparison.is_interrupted else 0


def context_of(workload: Workload) -> int:
    """Tokens that a request of it may hold."""
    prompt = workload.shared_prefix + max(workload.prompt_tokens, workload.long_prompt)
    needed = round(prompt * _SLACK) + workload.output_tokens + 64
    return max(_LEAST_CONTEXT, -(-needed // _CONTEXT_STEP) * _CONTEXT_STEP)


def described(workload: Workload) -> str:
    """A workload in words."""
    clients = "1 client" if workload.clients == 1 else f"{workload.clients} clients"
    shared = f" after {workload.shared_prefix} that all share" if workload.shared_prefix else ""
    long = f", while a prompt of {workload.long_prompt} tokens arrives" if workload.long_prompt else ""
    return f"{clients}, prompts of {workload.prompt_tokens} tokens{shared}, {workload.output_tokens} new tokens{long}"


def _figures(workload: Workload) -> tuple[Figure, ...]:
    if workload.long_prompt:
        return (Figure("p95 of ITL while it is read", "s", False, None, itl_during),)
    return (
        *throughput(None),
        Figure("median TTFT", "s", False, None, lambda one: one.report.ttft_seconds.p50),
        Figure("p95 of ITL", "s", False, None, lambda one: one.report.itl_seconds.p95),
    )
