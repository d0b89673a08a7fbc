"""From records to figures, and the documents that hold them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.load import Endpoint, Lengths, LoadRun, Outcome, Workload
from benchmarks.load_report import load_report, to_markdown
from benchmarks.report import Percentiles, Spread, percentile, to_json

ENDPOINT = Endpoint("http://127.0.0.1:1", "secret-key", "m", is_chat=False, timeout=1)
WORK = Workload(
    clients=2, requests=4, prompt_tokens=8, shared_prefix=0, output_tokens=4, stagger=0, long_prompt=0, seed=1
)


def outcome(sent: float, pieces: list[float], **more: Any) -> Outcome:
    defaults: dict[str, Any] = {
        "ended": pieces[-1] if pieces else sent,
        "status": "finished",
        "finish_reason": "length",
        "num_characters": 3 * len(pieces),
        "prompt_tokens": 10,
        "cached_tokens": 2,
        "completion_tokens": len(pieces),
    }
    return Outcome(sent, pieces, **(defaults | more))


def load_run(*outcomes: Outcome, long: Outcome | None = None, is_interrupted: bool = False) -> LoadRun:
    return LoadRun(ENDPOINT, WORK, Lengths(), outcomes, long, is_interrupted)


def test_percentiles_are_interpolated() -> None:
    assert [percentile([1, 2, 3, 4, 5], share) for share in (0, 0.25, 0.5, 1)] == [1, 2, 3, 5]
    assert percentile([1, 2, 3, 4], 0.5) == 2.5
    assert percentile([0, 10], 0.95) == 9.5
    found = Percentiles.of(reversed([float(number) for number in range(101)]))
    assert found == Percentiles(50, 95, 99, 100, 101)
    assert Percentiles.of([7.0]) == Percentiles(7, 7, 7, 7, 1)
    assert Percentiles.of([]) == Percentiles(None, None, None, None, 0)


def test_a_spread_is_the_median_and_both_ends() -> None:
    assert Spread.of([5, 1, 2]) == Spread(2, 1, 5)
    assert Spread.of([]) == Spread(None, None, None)


def test_rates_span_from_the_first_request_to_the_last_end() -> None:
    report = load_report(load_run(outcome(10, [11, 12, 13]), outcome(11, [13, 13.5, 20])))
    assert report.seconds == 10
    assert report.output_tokens_per_second == 0.6
    assert report.characters_per_second == 1.8
    assert report.requests_per_second == 0.2
    assert report.ttft_seconds == Percentiles(1.5, 1.95, 1.99, 2, 2)
    assert report.itl_seconds.max == 6.5
    assert report.itl_seconds.count == 4
    # The first token is in the TTFT and not in a stream's rate: two tokens in two seconds, two in seven.
    stream = report.stream_tokens_per_second
    assert stream.median == pytest.approx((1 + 2 / 7) / 2)
    assert (stream.low, stream.high) == (2 / 7, 1)


def test_tokens_are_those_that_the_endpoint_counted_and_not_its_pieces() -> None:
    report = load_report(load_run(outcome(0, [1, 2], completion_tokens=9)))
    assert (report.output_tokens, report.prompt_tokens, report.cached_tokens) == (9, 10, 2)
    assert report.stream_tokens_per_second.median == 8


def test_failed_and_cut_off_requests_are_counted_apart() -> None:
    failed = outcome(0, [1], status="failed", error="HTTP 500: no", ended=4)
    report = load_report(load_run(outcome(0, [1, 2]), failed, outcome(0, [1], status="running"), is_interrupted=True))
    assert report.requests == {"sent": 3, "finished": 1, "failed": 1, "cut_off": 1}
    assert report.errors == {"HTTP 500: no": 1}
    assert (report.output_tokens, report.seconds) == (2, 4)
    page = to_markdown(report)
    for part in ("Stopped by Ctrl-C", "Cut off: 1.", "Failed: 1 × HTTP 500: no."):
        assert part in page


def test_nothing_measured_is_a_report_without_figures() -> None:
    report = load_report(load_run())
    assert (report.seconds, report.output_tokens_per_second, report.ttft_seconds.count) == (0, 0, 0)
    assert "–" in to_markdown(report)


def test_gaps_that_a_long_prompt_falls_into_are_told_apart() -> None:
    stream = outcome(0, [1, 2, 3, 4.5, 6, 7, 8])
    short = outcome(0, [1, 2])
    report = load_report(load_run(stream, short, long=outcome(3.2, [6.5, 6.6])))
    assert report.long_prompt is not None
    assert report.long_prompt.ttft_seconds == pytest.approx(3.3)
    assert report.long_prompt.num_streams_throughout == 1
    # Of the gaps that it falls into, the one that ends after its first text counts, the next one does not.
    assert report.long_prompt.itl_seconds_during == Percentiles(1.5, 1.5, 1.5, 1.5, 3)
    assert report.long_prompt.itl_seconds_before.count == 3
    assert "1 of 2 streams" in to_markdown(report)


LOAD_KEYS = """
benchmark measured url model api workload is_interrupted seconds requests errors finish_reasons prompt_tokens
cached_tokens output_tokens output_tokens_counted_by prompt_tokens_each characters requests_per_second
output_tokens_per_second characters_per_second stream_tokens_per_second ttft_seconds itl_seconds long_prompt machine
""".split()


def test_the_keys_of_a_load_report_are_these() -> None:
    document = json.loads(to_json(load_report(load_run(outcome(0, [1, 2]), long=outcome(0, [1])))))
    assert list(document) == LOAD_KEYS
    assert list(document["ttft_seconds"]) == ["p50", "p95", "p99", "max", "count"]
    assert list(document["long_prompt"]) == [
        *("status", "error", "prompt_tokens", "ttft_seconds", "num_streams_throughout"),
        *("itl_seconds_before", "itl_seconds_during"),
    ]
    assert "secret-key" not in str(document)
    assert document["machine"]["versions"]["demotic"]
