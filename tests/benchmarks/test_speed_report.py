"""From samples to the figures of `demotic bench`, and the documents that hold them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report import to_json
from benchmarks.speed.asking import Answered, Sample
from benchmarks.speed.documents import plot, to_document
from benchmarks.speed.figures import Figure, Gaps, JobSpeed, ModelSpeed, job_speed
from benchmarks.speed.plan import Job
from benchmarks.speed.report import SpeedReport
from runtime.engine.statistics import Spent

PROMPT = Job("prompt", 2, 16, 1)
ANSWER = Job("generation", 2, 16, 5)


def answered(first: float, end: float, *, prompt: int = 16, cached: int = 0, output: int = 5) -> Answered:
    pieces = [first + at * (end - first) / 4 for at in range(5)]
    return Answered(prompt, cached, output, 3 * output, first, end, pieces)


def sample(*answers: Answered, joules: float = 4.0) -> Sample:
    seconds = max(one.end for one in answers)
    return Sample(
        answers, seconds, Spent(0.01 * seconds, 0.9 * seconds, 0.02 * seconds, 0.03 * seconds), {"cpu": joules}
    )


def test_prompts_are_counted_until_the_last_first_token_without_what_was_cached() -> None:
    speed = job_speed(
        PROMPT, [sample(answered(1, 3, cached=1), answered(2, 3)), sample(answered(4, 5), answered(4, 5))]
    )
    assert speed.tokens_per_second.samples == (31 / 2, 8.0)
    assert speed.ttft_seconds == Figure(3, 1, 4, (1, 2, 4, 4))
    assert speed.joules_per_token["cpu"].samples == (4 / 31, 4 / 32)


def test_answers_are_counted_after_their_first_tokens_over_all_sequences() -> None:
    speed = job_speed(ANSWER, [sample(answered(1, 5), answered(2, 6))])
    # Four tokens of each after the first, from the first second to the sixth.
    assert speed.tokens_per_second.median == 8 / 5
    assert speed.characters_per_second.median == 30 / 6
    assert speed.characters_per_token.median == 3
    assert speed.itl_seconds == Gaps(1, 1, 1, 8, (1,))
    assert speed.joules_per_token["cpu"].median == 0.4


def test_shares_and_the_rest_are_the_whole() -> None:
    shares = job_speed(ANSWER, [sample(answered(1, 5))]).shares
    assert shares == pytest.approx(
        {"tokenizing": 0.01, "computing": 0.9, "sampling": 0.02, "detokenizing": 0.03, "rest": 0.04}
    )


def test_gaps_have_percentiles_of_all_and_the_median_of_each_repetition() -> None:
    gaps = Gaps.of([[1.0, 2.0, 3.0], [], [10.0]])
    assert (gaps.p50, gaps.count, gaps.samples) == (2.5, 4, (2, 10))
    assert gaps.p90 == pytest.approx(7.9)
    assert Gaps.of([]) == Gaps(None, None, None, 0, ())


def test_a_spread_is_a_share_of_the_median() -> None:
    assert Figure.of([10, 9, 11]).spread == pytest.approx(0.2)
    assert Figure.of([1.0]).spread is None
    assert Figure.of([]) == Figure(None, None, None, ())


def report(**more: Any) -> SpeedReport:
    jobs: list[JobSpeed] = [
        job_speed(job, [sample(answered(1, 5)), sample(answered(1, 4)), sample(answered(1, 3))])
        for job in (PROMPT, ANSWER, Job("generation", 4, 16, 5))
    ]
    one = Figure.of([2e8])
    settings = {"device": "cpu", "kv_type": "f16", "threads": 2}
    model = ModelSpeed(
        "m, cpu", "m", "Q4_K_M", "ab" * 32, 5, settings, Figure.of([0.5]), one, one, Figure.of([0]), tuple(jobs)
    )
    machine = {
        "cpu": "Z80",
        "usable_cpus": 2,
        "memory_bytes": 2**34,
        "system": "CP/M",
        "python": "3.11",
        "versions": {},
    }
    values: dict[str, Any] = {
        "benchmark": "speed",
        "measured": "So.",
        "plan": {"repetitions": 3, "batches": (2, 4), "output_tokens": (5,)},
        "is_interrupted": False,
        "warnings": ("It was loud.",),
        "left_out": ("The abacus.",),
        "energy": ("No gpu.",),
        "noise": {},
        "models": (model,),
        "machine": machine,
    }
    return SpeedReport(**(values | more))


def test_the_keys_of_a_report_are_these() -> None:
    document = json.loads(to_json(report()))
    assert list(document) == [
        *("benchmark", "measured", "plan", "is_interrupted", "warnings", "left_out", "energy", "noise", "models"),
        "machine",
    ]
    assert list(document["models"][0]) == [
        *("name", "model", "quantization", "sha256", "file_bytes", "settings", "load_seconds"),
        *("memory_before_bytes", "memory_peak_bytes", "card_memory_peak_bytes", "jobs"),
    ]
    assert list(document["models"][0]["jobs"][0]) == [
        *("kind", "batch", "prompt_tokens", "output_tokens", "counted_prompt_tokens", "tokens_per_second"),
        *("characters_per_second", "characters_per_token", "ttft_seconds", "itl_seconds", "shares", "joules_per_token"),
    ]
    assert list(document["models"][0]["jobs"][0]["tokens_per_second"]) == ["median", "low", "high", "samples"]


def test_a_page_has_its_warnings_first_and_all_tables() -> None:
    page = to_document(report(is_interrupted=True), "md")
    assert page.startswith("Stopped by Ctrl-C")
    assert page.index("Warning: It was loud.") < page.index("| model |")
    assert "| m, cpu | Q4_K_M | cpu | f16 | 2 | 0.50 | 200 (200 before) |" in page
    assert "| m, cpu | 2 | 5 | 1.3 (1.0 to 2.0) | 4 (3 to 5) |" in page
    assert "| m, cpu | answers of 5 tokens after 16, 2 at once | 90.0% | 1.0% | 2.0% | 3.0% | 4.0% |" in page
    assert "| model | energy, J/token | cpu |" in page
    assert "Left out: The abacus." in page
    assert "No gpu." in page


def test_a_line_of_json_has_all_that_it_was_measured_on() -> None:
    lines = [json.loads(line) for line in to_document(report(), "jsonl").splitlines()]
    assert [(line["job"]["kind"], line["job"]["batch"]) for line in lines] == [
        *(("prompt", 2), ("generation", 2), ("generation", 4)),
    ]
    for line in lines:
        assert (line["machine"]["cpu"], line["sha256"], line["settings"]["threads"]) == ("Z80", "ab" * 32, 2)


def test_a_row_of_csv_has_a_value_for_each_head() -> None:
    rows = list(csv.DictReader(to_document(report(), "csv").splitlines()))
    assert [row["kind"] for row in rows] == ["prompt", "generation", "generation"]
    assert rows[1]["tokens_per_second"] == "1.33333"
    assert rows[1]["joules_per_token_cpu"] == "0.8"
    assert all(None not in row.values() for row in rows)


def test_the_plot_is_a_line_over_batches_and_a_bar_without(tmp_path: Path) -> None:
    over, bar, none = (tmp_path / name for name in ("over.svg", "bar.png", "none.svg"))
    plot(report(), over)
    assert "<svg" in over.read_text(encoding="utf-8")
    plot(report(plan={"repetitions": 3, "batches": (2,), "output_tokens": (5,)}), bar)
    assert bar.read_bytes().startswith(b"\x89PNG")
    plot(report(models=()), none)
    assert not none.exists()
