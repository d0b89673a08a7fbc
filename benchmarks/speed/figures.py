"""From samples to the figures of a report, which keep their samples so that two reports can be compared."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.report import Spread, percentile
from benchmarks.speed.asking import Answered, Sample
from benchmarks.speed.measure import Measured
from benchmarks.speed.plan import Job
from benchmarks.speed.way import Way, way_of
from runtime.engine.statistics import Spent


@dataclass(frozen=True)
class Figure(Spread):
    """A spread that keeps its samples, in the order in which they were taken."""

    samples: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure:
        """The figure of samples."""
        samples = tuple(values)
        spread = Spread.of(samples)
        return cls(spread.median, spread.low, spread.high, samples)

    @property
    def spread(self) -> float | None:
        """From the least to the most, as a share of the median; None for fewer than two samples."""
        if len(self.samples) < 2 or not self.median or self.low is None or self.high is None:
            return None
        return (self.high - self.low) / self.median


@dataclass(frozen=True)
class Gaps:
    """Times between two pieces of text, in seconds: percentiles of all, and the median of each repetition."""

    p50: float | None
    p90: float | None
    p99: float | None
    count: int
    samples: tuple[float, ...]

    @classmethod
    def of(cls, repetitions: Sequence[Sequence[float]]) -> Gaps:
        """Percentiles over the gaps of all repetitions, interpolated."""
        ordered = sorted(gap for gaps in repetitions for gap in gaps)
        medians = tuple(statistics.median(gaps) for gaps in repetitions if gaps)
        if not ordered:
            return cls(None, None, None, 0, ())
        p50, p90, p99 = (percentile(ordered, share) for share in (0.5, 0.9, 0.99))
        return cls(p50, p90, p99, len(ordered), medians)


@dataclass(frozen=True)
class JobSpeed:
    """One job of one way to run a model.

    `prompt_tokens` and `output_tokens` were asked for of each sequence, `counted_prompt_tokens` is how long prompts
    came out. `shares`: of the job's seconds, medians. `joules_per_token`: of each counter that could be read.
    """

    kind: str
    batch: int
    prompt_tokens: int
    output_tokens: int
    counted_prompt_tokens: Figure
    tokens_per_second: Figure
    characters_per_second: Figure
    characters_per_token: Figure
    ttft_seconds: Figure
    itl_seconds: Gaps
    shares: dict[str, float]
    joules_per_token: dict[str, Figure]


@dataclass(frozen=True)
class ModelSpeed(Way):
    """How fast one way to run a model is; bytes of memory are of the process's resident set, and of the cards."""

    load_seconds: Figure
    memory_before_bytes: Figure
    memory_peak_bytes: Figure
    card_memory_peak_bytes: Figure
    jobs: tuple[JobSpeed, ...]


def model_speed(one: Measured, jobs: Sequence[Job]) -> ModelSpeed:
    """The figures of one way to run a model; the file is read through once for its SHA-256."""
    return ModelSpeed(
        **vars(way_of(one.variant, one.used)),
        load_seconds=Figure.of(one.loads),
        memory_before_bytes=Figure.of(one.memory_before),
        memory_peak_bytes=Figure.of(one.memory_peak),
        card_memory_peak_bytes=Figure.of(one.card_memory_peak),
        jobs=tuple(job_speed(job, samples) for job in jobs if (samples := one.samples.get(job))),
    )


def job_speed(job: Job, samples: Sequence[Sample]) -> JobSpeed:
    """The figures of a job, of at least one sample."""
    rate = _prompt_rate if job.kind == "prompt" else _generation_rate
    counters = {name for sample in samples for name in sample.joules}
    return JobSpeed(
        kind=job.kind,
        batch=job.batch,
        prompt_tokens=job.prompt_tokens,
        output_tokens=job.output_tokens,
        counted_prompt_tokens=Figure.of(one.num_prompt for sample in samples for one in sample.answers),
        tokens_per_second=Figure.of(map(rate, samples)),
        characters_per_second=Figure.of(_sum(sample, _characters) / sample.seconds for sample in samples),
        characters_per_token=Figure.of(_sum(sample, _characters) / max(1, _sum(sample, _output)) for sample in samples),
        ttft_seconds=Figure.of(one.first for sample in samples for one in sample.answers),
        itl_seconds=Gaps.of([[gap for one in sample.answers for gap in one.gaps] for sample in samples]),
        shares=_shares(samples),
        joules_per_token={
            name: Figure.of(
                sample.joules[name] / max(1, _sum(sample, _computed if job.kind == "prompt" else _output))
                for sample in samples
                if name in sample.joules
            )
            for name in sorted(counters)
        },
    )


def _prompt_rate(sample: Sample) -> float:
    """Tokens of all prompts over the seconds until the last of them had its first token."""
    return _sum(sample, _computed) / max(one.first for one in sample.answers)


def _generation_rate(sample: Sample) -> float:
    """Tokens after the first of each sequence, over the seconds from the first first token to the last end."""
    seconds = max(one.end for one in sample.answers) - min(one.first for one in sample.answers)
    tokens = _sum(sample, _output) - len(sample.answers)
    return tokens / seconds if seconds > 0 else 0.0


def _sum(sample: Sample, count: Callable[[Answered], int]) -> int:
    return sum(map(count, sample.answers))


def _computed(answer: Answered) -> int:
    return answer.num_prompt - answer.num_cached


def _output(answer: Answered) -> int:
    return answer.num_output


def _characters(answer: Answered) -> int:
    return answer.num_characters


def _shares(samples: Sequence[Sample]) -> dict[str, float]:
    """Medians of the share of each part; "rest" is the engine itself and the way to it and back."""
    shares = {
        name: statistics.median(getattr(sample.spent, name) / sample.seconds for sample in samples)
        for name in Spent.__struct_fields__
    }
    return {**shares, "rest": max(0.0, 1 - sum(shares.values()))}
