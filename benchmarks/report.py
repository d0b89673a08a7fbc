"""From what was recorded to figures, and from figures to JSON and Markdown.

Every report says in `measured` what its figures mean, and in `machine` where they were taken.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from benchmarks.machine import fingerprint

if TYPE_CHECKING:
    from benchmarks.load import LoadRun, Outcome

SPEED_MEASURED = (
    "One model in this process, greedy, one request at a time, every prompt new. Prompt tokens/s: tokens of the prompt "
    "over the seconds from handing over its text to the first token, with tokenization and sampling (TTFT). "
    "Generation tokens/s: tokens after the first over the seconds after the first, with sampling. Characters/s: code "
    "points of the answer over all of its seconds, the prompt's too. Loading: with the file in the page cache or not, "
    "as it was. Memory: resident set of the whole process, sampled; what the model's file is mapped to counts."
)
LOAD_MEASURED = (
    "Greedy streams, timed where they arrive. Rates count the requests that finished, over the seconds from the first "
    "request to the last end: output tokens as the endpoint counts them, characters as code points of the text that "
    "came. Tokens/s of a stream: tokens after the first piece of text over the seconds after it. TTFT: from sending a "
    "request to its first piece of text. ITL: between two pieces of text of a stream; endpoints may put several tokens "
    "in a piece. Percentiles are interpolated. Prompts are distinct; the two requests that warm up are not counted."
)


@dataclass(frozen=True)
class Percentiles:
    """Of a number of values; all None where there are none."""

    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Percentiles:
        """Percentiles of values in any order."""
        ordered = sorted(values)
        if not ordered:
            return cls(None, None, None, None, 0)
        p50, p95, p99 = (percentile(ordered, share) for share in (0.5, 0.95, 0.99))
        return cls(p50, p95, p99, ordered[-1], len(ordered))


@dataclass(frozen=True)
class Spread:
    """The median of some repetitions, and the least and the most; all None where there are none."""

    median: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Spread of values in any order."""
        return cls(statistics.median(values), min(values), max(values)) if values else cls(None, None, None)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the sorted values lie, interpolated between two neighbours."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


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


@dataclass(frozen=True)
class PromptSpeed:
    """Prompts of one length; a token of theirs that was cached would not be counted."""

    prompt_tokens: Spread
    tokens_per_second: Spread
    ttft_seconds: Spread


@dataclass(frozen=True)
class GenerationSpeed:
    """What comes after a prompt."""

    prompt_tokens: Spread
    output_tokens: Spread
    tokens_per_second: Spread
    characters_per_second: Spread
    characters_per_token: Spread


@dataclass(frozen=True)
class ModelSpeed:
    """One model; bytes are of its file and of memory."""

    model: str
    file_bytes: int
    threads: int
    gpu_layers: int
    context: int
    load_seconds: float
    prompts: tuple[PromptSpeed, ...]
    generation: GenerationSpeed
    rss_before_bytes: int
    rss_peak_bytes: int


@dataclass(frozen=True)
class SpeedReport:
    """`demotic bench`."""

    benchmark: str
    measured: str
    plan: dict[str, Any]
    is_interrupted: bool
    models: tuple[ModelSpeed, ...]
    machine: dict[str, object]


def speed_report(models: Sequence[ModelSpeed], plan: dict[str, Any], *, is_interrupted: bool) -> SpeedReport:
    """The report on some models."""
    return SpeedReport("speed", SPEED_MEASURED, plan, is_interrupted, tuple(models), fingerprint())


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


def to_json(report: Any) -> str:
    """A report, or what holds reports, as one JSON document; numbers have six digits that count."""
    return json.dumps(_plain(report), ensure_ascii=False, indent=2)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return _plain(asdict(value)) if hasattr(value, "__dataclass_fields__") else value


def to_markdown(report: SpeedReport | LoadReport) -> str:
    """A report as a Markdown page without headings, to read or to paste."""
    return _speed_page(report) if isinstance(report, SpeedReport) else _load_page(report)


def _speed_page(report: SpeedReport) -> str:
    speeds = [
        (
            one.model,
            f"{prompt.prompt_tokens.median or 0:.0f}",
            _spread(prompt.tokens_per_second, ".0f"),
            _spread(prompt.ttft_seconds, ".3f"),
        )
        for one in report.models
        for prompt in one.prompts
        if prompt.prompt_tokens.median is not None
    ]
    generated = [
        (
            one.model,
            f"{one.generation.output_tokens.median or 0:.0f}",
            _spread(one.generation.tokens_per_second, ".1f"),
            _spread(one.generation.characters_per_second, ".0f"),
            f"{one.load_seconds:.2f}",
            f"{one.rss_peak_bytes / 1e6:.0f} ({one.rss_before_bytes / 1e6:.0f} before)",
            str(one.threads),
        )
        for one in report.models
    ]
    generation_heads = "model|generated tokens|tokens/s|characters/s|loading, s|memory, MB|threads".split("|")
    parts = [
        table(("model", "prompt tokens", "prompt tokens/s", "TTFT, s"), speeds),
        table(generation_heads, generated),
        f"Medians of {report.plan['repetitions']} (least to most). {report.measured}",
        machine_line(report.machine),
    ]
    return page(parts, is_interrupted=report.is_interrupted)


def _load_page(report: LoadReport) -> str:
    asked = report.workload
    tokens = f"{report.prompt_tokens} prompt ({report.cached_tokens} cached) and {report.output_tokens} output tokens"
    summary = (
        f"{report.model} at {report.url}: {asked['clients']} clients, {report.requests['finished']} of "
        f"{report.requests['sent']} requests finished in {report.seconds:.2f} s; {tokens}, counted by "
        f"{report.output_tokens_counted_by}; prompts of {_spread(report.prompt_tokens_each, '.0f')} tokens."
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
                    _spread(report.stream_tokens_per_second, ".1f"),
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


def page(parts: list[str], *, is_interrupted: bool) -> str:
    """The parts of a report, one below the other."""
    return "\n\n".join([*(["Stopped by Ctrl-C: what was measured until then."] if is_interrupted else []), *parts])


def machine_line(machine: dict[str, Any]) -> str:
    """One sentence on where figures were taken."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    memory = f"{machine['memory_bytes'] / 2**30:.1f} GiB"
    return (
        f"Machine: {machine['cpu']}, {machine['usable_cpus']} usable CPUs, {memory}; {machine['system']}; "
        f"Python {machine['python']}, {versions}."
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *rows])


def _spread(spread: Spread, form: str) -> str:
    if spread.median is None or spread.low is None or spread.high is None:
        return "–"
    median, low, high = (format(value, form) for value in (spread.median, spread.low, spread.high))
    return median if low == high else f"{median} ({low} to {high})"


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:.1f}"


def print_report(report: SpeedReport | LoadReport, *, as_json: bool) -> None:
    """The report on standard output."""
    print(to_json(report) if as_json else to_markdown(report), flush=True)
