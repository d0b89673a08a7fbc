"""demotic's generation beside llama-bench's: the same file, threads, depth and length, in turns, and what lies between.

    python -m benchmarks.compare_llama_bench --llama-bench PATH --model gemma-3-270m

llama-bench computes random tokens: it neither samples nor makes text, and needs no engine around it. demotic's engine
tells what it spends on these. Seconds a token of llama-bench with demotic's costs added, over demotic's own seconds a
token, should be 1 within 5 %. llama-bench should be built for the same processor as llama-cpp-python; the latter's
source package has it: `cmake -DGGML_NATIVE=ON`, target `llama-bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.digest import digest_of
from benchmarks.machine import fingerprint
from benchmarks.report import machine_line, table, to_json
from benchmarks.script import leave_with
from benchmarks.speed.asking import difference, prompt_of, request_of
from benchmarks.speed.plan import SpeedPlan, Variant
from runtime.card import ModelCard
from runtime.engine.messages import Delta, Event, Failed, Finished
from runtime.engine.statistics import Spent
from runtime.errors import DemoticError, InferenceFailed
from runtime.hardware.probe import probe
from runtime.model import Model, start_as
from runtime.models.store import Store

RESULT = Path(__file__).parent / "results" / "llama-bench.json"
WANTED = 0.05
COSTS = ("sampling", "detokenizing", "engine")
DEPTH, LENGTH, REPETITIONS = 16, 128, 3


@dataclass(frozen=True)
class Ours:
    """One answer of demotic's: seconds a token after the first one, and of these what each part took.

    `tokenizing` is of the whole prompt, which llama-bench leaves out too; it is no part of generating.
    """

    seconds: float
    computing: float
    sampling: float
    detokenizing: float
    engine: float
    tokenizing: float

    @property
    def costs(self) -> float:
        """Seconds a token that llama-bench has no counterpart of."""
        return self.sampling + self.detokenizing + self.engine


def generate(model: Model, seed: int) -> Ours:
    """One answer of `LENGTH` tokens after a prompt of about `DEPTH`."""
    first: tuple[float, Spent] | None = None
    events: list[Event] = []
    done: list[float] = []

    def take(event: Event) -> None:
        # In the engine's thread, when the event comes about: what is spent up to here is exact.
        nonlocal first
        if isinstance(event, Delta) and first is None:
            first = time.perf_counter(), model.client.statistics.spent
        events.append(event)
        if not isinstance(event, Delta):
            done.append(time.perf_counter())

    before = model.client.statistics.spent
    model.client.submit(request_of(model, prompt_of(model, DEPTH, seed), LENGTH), take)
    while not done:
        time.sleep(0.01)
    match events[-1]:
        case Failed(error=error):
            raise error
        case Finished(usage=usage) if first is not None and usage.completion_tokens == LENGTH:
            after = difference(model.client.statistics.spent, first[1])
            # The first piece of text came with the first token, unless its character was not whole.
            num_tokens = LENGTH - 1
            spent = {name: value / num_tokens for name, value in msgspec.structs.asdict(after).items()}
            seconds = (done[0] - first[0]) / num_tokens
            rest = seconds - spent["computing"] - spent["sampling"] - spent["detokenizing"]
            tokenizing = difference(first[1], before).tokenizing
            return Ours(seconds, spent["computing"], spent["sampling"], spent["detokenizing"], rest, tokenizing)
    raise InferenceFailed("The answer has not the length that was asked for.")


def bench_theirs(program: Path, file: Path, threads: int) -> dict[str, Any]:
    """llama-bench's own figures for the same: its JSON.

    Raises:
        DemoticError: it failed.
    """
    command = [program, "-m", file, "-p", 0, "-n", LENGTH, "-d", DEPTH, "-t", threads, "-r", REPETITIONS, "-o", "json"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoticError(f"{program} failed: {done.stderr.strip().splitlines()[-1:] or done.returncode}.")
    (found,) = json.loads(done.stdout)
    return dict(found)


def compare(program: Path, card: ModelCard, threads: int, alternations: int) -> dict[str, Any]:
    """Both sides in turns on one model, and what their medians say."""
    machine, limits = probe(), SpeedPlan(prompt_tokens=(DEPTH,), output_tokens=(LENGTH,)).limits
    used = Variant(card, threads=threads).plan(machine, limits)
    ours: list[list[Ours]] = []
    theirs: list[dict[str, Any]] = []
    with start_as(card, used, limits) as model:
        generate(model, 0)

        def turn_of_ours() -> None:
            ours.append([generate(model, 1 + len(ours) * REPETITIONS + each) for each in range(REPETITIONS)])

        def turn_of_theirs() -> None:
            theirs.append(bench_theirs(program, card.file.path, threads))

        for alternation in range(alternations):
            turns = [turn_of_ours, turn_of_theirs]
            for turn in turns if alternation % 2 == 0 else turns[::-1]:
                turn()
    own = [(_median(turn, "seconds"), _median(turn, "costs")) for turn in ours]
    other = [statistics.median(one["samples_ns"]) * 1e-9 / LENGTH for one in theirs]
    agreements = [(seconds + costs) / mine for seconds, (mine, costs) in zip(other, own, strict=True)]
    everything = [one for turn in ours for one in turn]
    return {
        "model": card.name,
        "sha256": digest_of(card.file.path)[0],
        "threads": threads,
        "demotic": {
            "tokens_per_second": [1 / seconds for seconds, _ in own],
            "seconds_per_token": {
                name: _median(everything, name) for name in ("seconds", "computing", *COSTS, "costs")
            },
            "tokenizing_seconds_per_prompt": _median(everything, "tokenizing"),
        },
        "llama_bench": {"tokens_per_second": [1 / seconds for seconds in other]},
        "seconds_per_token_with_costs": statistics.median(other) + _median(everything, "costs"),
        "ratio_plain": statistics.median(seconds / mine for seconds, (mine, _) in zip(other, own, strict=True)),
        "agreements": agreements,
        "agreement": statistics.median(agreements),
        "is_met": abs(statistics.median(agreements) - 1) <= WANTED,
        "llama_bench_build": {name: theirs[0].get(name) for name in ("build_commit", "build_number", "backends")},
    }


def _median(answers: Sequence[Ours], name: str) -> float:
    return float(statistics.median(getattr(one, name) for one in answers))


def to_page(result: dict[str, Any]) -> str:
    """The comparison as Markdown."""
    rows = []
    for one in result["models"]:
        own, parts = one["demotic"], one["demotic"]["seconds_per_token"]
        rows.append(
            (
                one["model"],
                f"{statistics.median(one['llama_bench']['tokens_per_second']):.1f}",
                *(f"{parts[name] * 1e6:.0f}" for name in COSTS),
                f"{1 / one['seconds_per_token_with_costs']:.1f}",
                f"{statistics.median(own['tokens_per_second']):.1f}",
                f"{one['agreement']:.3f}",
                "yes" if one["is_met"] else "no",
            )
        )
    heads = (
        *("model", "llama-bench, tokens/s", "sampling, µs/token", "detokenizing, µs", "engine, µs"),
        *("llama-bench with these, tokens/s", "demotic, tokens/s", "agreement", f"within {WANTED:.0%}"),
    )
    return "\n\n".join([table(heads, rows), result["measured"], machine_line(result["machine"])])


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print, and write the results; the exit status is 1 where the two do not agree."""
    parser = argparse.ArgumentParser(description="Compare demotic's generation with llama-bench's.")
    parser.add_argument("--llama-bench", type=Path, required=True, help="its path")
    parser.add_argument("--model", nargs="+", default=["smollm2-135m-instruct", "gemma-3-270m"], help="GGUFs or names")
    parser.add_argument("--threads", type=int, default=2, help="of each side")
    parser.add_argument("--alternations", type=int, default=5)
    parser.add_argument("--result", type=Path, default=RESULT, help="where the JSON goes")
    chosen = parser.parse_args(arguments)
    store = Store()
    cards = [ModelCard.read(store.resolve(name)) for name in chosen.model]
    load = os.getloadavg()[0]
    found = [compare(chosen.llama_bench, card, chosen.threads, chosen.alternations) for card in cards]
    result = {
        "benchmark": "compare_llama_bench",
        "measured": (
            f"Generation of {LENGTH} tokens at a depth of {DEPTH}, one sequence, {chosen.threads} threads, in turns: "
            f"{chosen.alternations} alternations of {REPETITIONS} each. demotic: tokens after the first over the "
            "seconds after it, greedy. Agreement: (llama-bench's seconds a token + demotic's costs) / demotic's "
            "seconds a token, within an alternation; the median counts. Engine: what is neither the model nor the "
            "other two."
        ),
        "wanted": WANTED,
        "models": found,
        "load_average_before": load,
        "machine": fingerprint(),
    }
    chosen.result.write_text(f"{to_json(result)}\n", encoding="utf-8")
    print(to_page(result))
    return 0 if all(one["is_met"] for one in found) else 1


if __name__ == "__main__":
    leave_with(main)
