"""The report of `demotic bench serve`: from what was recorded of requests to figures and a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from benchmarks.machine import fingerprint
from benchmarks.report import Percentiles, Spread, machine_line, page, shown, table, to_json

if TYPE_CHECKING:
    from benchmarks.load import LoadRun, Outcome

LOAD_MEASURED = (
    "Greedy streams, timed where they arrive. Rates count the requests that finished, over the seconds from the first "
    "request to the last end: output tokens as the endpoint counts them, characters as code points of the text that "
    "came. Tokens/s of a stream: tokens after the first piece of text over the seconds after it. TTFT: from sending a "
    "request to its first piece of text. ITL: between two pieces of text of a stream; endpoints may put several tokens "
    "in a piece. Percentiles are interpolated. Prompts are distinct; the two requests that warm up are not counted."
)


@dataclass(frozen=True)
class LongPrompt:
    """A long prompt that came while streams ran, and what these felt of it."""

    status: str
    error: str
    prompt_tokens: int | None
    ttft_seconds: float | None
    num_streams_throughout: int
    itl_seconds_before: Percentiles
    itl_seconds_during: Percentiles


@dataclass(frozen=True)
class LoadReport:
    """`demotic bench serve`."""

    benchmark: str
    measured: str
    url: str
    model: str | None
    api: str
    workload: dict[str, Any]
    is_interrupted: bool
    seconds: float
    requests: dict[str, int]
    errors: dict[str, int]
    finish_reasons: dict[str, int]
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    output_tokens_counted_by: str
    prompt_tokens_each: Spread
    characters: int
    requests_per_second: float
    output_tokens_per_second: float
    characters_per_second: float
    stream_tokens_per_second: Spread
    ttft_seconds: Percentiles
    itl_seconds: Percentiles
    long_prompt: LongPrompt | None
    machine: dict[str, object]


def load_report(run: LoadRun) -> LoadReport:
    """Figures of one run. Requests that failed or were cut off are counted, and are in no rate."""
    finished = [one for one in run.outcomes if one.status == "finished"]
    statuses = Counter(one.status for one in run.outcomes)
    seconds = max((one.ended for one in run.outcomes), default=0.0) - min(
        (one.sent for one in run.outcomes), default=0.0
    )
    is_stated = all(one.completion_tokens is not None for one in finished)
    tokens = sum(_output_tokens(one) for one in finished)
    characters = sum(one.num_characters for one in finished)
    return LoadReport(
        benchmark="serve",
        measured=LOAD_MEASURED,
        url=run.endpoint.base_url,
        model=run.endpoint.model,
        api="chat" if run.endpoint.is_chat else "completions",
        workload=asdict(run.workload) | {"lengths": asdict(run.lengths)},
        is_interrupted=run.is_interrupted,
        seconds=seconds,
        requests={
            "sent": len(run.outcomes),
            "finished": len(finished),
            "failed": statuses["failed"],
            "cut_off": statuses["running"],
        },
        errors=dict(Counter(one.error for one in run.outcomes if one.status == "failed").most_common()),
        finish_reasons=dict(Counter(str(one.finish_reason) for one in finished).most_common()),
        prompt_tokens=sum(one.prompt_tokens or 0 for one in finished),
        cached_tokens=sum(one.cached_tokens or 0 for one in finished),
        output_tokens=tokens,
        output_tokens_counted_by="the endpoint" if is_stated else "pieces of text, where the endpoint states none",
        prompt_tokens_each=Spread.of([one.prompt_tokens for one in finished if one.prompt_tokens is not None]),
        characters=characters,
        requests_per_second=_rate(len(finished), seconds),
        output_tokens_per_second=_rate(tokens, seconds),
        characters_per_second=_rate(characters, seconds),
        stream_tokens_per_second=Spread.of([rate for one in finished if (rate := _stream_rate(one))]),
        ttft_seconds=Percentiles.of(one.pieces[0] - one.sent for one in finished if one.pieces),
        itl_seconds=Percentiles.of(end - start for one in finished for start, end in pairwise(one.pieces)),
        long_prompt=_long_prompt(run.long, run.outcomes) if run.long is not None else None,
        machine=fingerprint(),
    )


def _output_tokens(outcome: Outcome) -> int:
    return len(outcome.pieces) if outcome.completion_tokens is None else outcome.completion_tokens


def _stream_rate(outcome: Outcome) -> float:
    return _rate(_output_tokens(outcome) - 1, outcome.pieces[-1] - outcome.pieces[0]) if outcome.pieces else 0.0


def _long_prompt(long: Outcome, streams: Sequence[Outcome]) -> LongPrompt:
    """Gaps of the streams that overlap the time from sending the long prompt to its first piece of text."""
    first = long.pieces[0] if long.pieces else long.ended
    gaps = [gap for one in streams for gap in pairwise(one.pieces)]
    return LongPrompt(
        status="cut off" if long.status == "running" else long.status,
        error=long.error,
        prompt_tokens=long.prompt_tokens,
        ttft_seconds=first - long.sent if long.pieces else None,
        num_streams_throughout=sum(bool(one.pieces) and one.pieces[-1] >= first for one in streams),
        itl_seconds_before=Percentiles.of(end - start for start, end in gaps if end <= long.sent),
        itl_seconds_during=Percentiles.of(end - start for start, end in gaps if end > long.sent and start < first),
    )


def _rate(count: int, seconds: float) -> float:
    return count / seconds if count > 0 and seconds > 0 else 0.0


def to_markdown(report: LoadReport) -> str:
    """A report as a Markdown page without headings, to read or to paste."""
    asked = report.workload
    tokens = f"{report.prompt_tokens} prompt ({report.cached_tokens} cached) and {report.output_tokens} output tokens"
    summary = (
        f"{report.model} at {report.url}: {asked['clients']} clients, {report.requests['finished']} of "
        f"{report.requests['sent']} requests finished in {report.seconds:.2f} s; {tokens}, counted by "
        f"{report.output_tokens_counted_by}; prompts of {shown(report.prompt_tokens_each, '.0f')} tokens."
    )
    parts = [
        summary,
        table(
            ("requests/s", "output tokens/s", "characters/s", "tokens/s of a stream"),
            [
                (
                    f"{report.requests_per_second:.3g}",
                    f"{report.output_tokens_per_second:.1f}",
                    f"{report.characters_per_second:.0f}",
                    shown(report.stream_tokens_per_second, ".1f"),
                )
            ],
        ),
    ]
    times = [("TTFT", report.ttft_seconds), ("ITL", report.itl_seconds)]
    if long := report.long_prompt:
        times += [("ITL before the long prompt", long.itl_seconds_before)]
        times += [("ITL while it was read", long.itl_seconds_during)]
    rows = [(name, *(_milliseconds(v) for v in (t.p50, t.p95, t.p99, t.max)), str(t.count)) for name, t in times]
    parts.append(table(("milliseconds", "p50", "p95", "p99", "max", "count"), rows))
    if long:
        waited = "no text came" if long.ttft_seconds is None else f"its first text came after {long.ttft_seconds:.2f} s"
        told = f" ({long.error})" if long.error else ""
        parts.append(
            f"A prompt of {long.prompt_tokens or 'an unknown number of'} tokens came in between: {long.status}{told}, "
            f"{waited}; {long.num_streams_throughout} of {asked['clients']} streams ran until then."
        )
    if cut := report.requests["cut_off"]:
        parts.append(f"Cut off: {cut}.")
    parts += [f"Failed: {count} × {error.rstrip('.')}." for error, count in report.errors.items()]
    parts += [report.measured, machine_line(report.machine)]
    return page(parts, is_interrupted=report.is_interrupted)


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:.1f}"


def print_report(report: LoadReport, *, as_json: bool) -> None:
    """The report on standard output."""
    print(to_json(report) if as_json else to_markdown(report), flush=True)
