"""Two results side by side: ratios with their intervals, and what differs between the machines and settings.

The interval of a ratio of medians: both sides' samples are drawn with replacement so many times, and the middle 95 % of
the ratios count (the percentile bootstrap; Efron, Tibshirani: An Introduction to the Bootstrap, chapter 13).
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.report import percentile
from benchmarks.speed.saved import jobs_of, work_of
from runtime.errors import InvalidRequest

RESAMPLES = 2000
LEVEL = 0.95
_LEAST_SAMPLES = 3
# What is compared, and whether more of it is better.
_JOB_FIGURES = {"tokens_per_second": True, "ttft_seconds": False, "itl_seconds": False}
_MODEL_FIGURES = {"load_seconds": False, "memory_peak_bytes": False}
# Settings by which a sweep tells its ways apart; other differences are told.
_SWEPT = ("device", "kv_type", "threads")


@dataclass(frozen=True)
class Ratio:
    """A figure of another result over the base's. The interval is None where there are fewer than three samples.

    `verdict`: "better" or "worse" where the interval is all on one side of 1, "no difference shown" where it is not,
    "too few samples" where there is none.
    """

    model: str
    work: tuple[str, int, int, int] | None
    figure: str
    base: float
    other: float
    ratio: float
    interval: tuple[float, float] | None
    verdict: str


@dataclass(frozen=True)
class Difference:
    """Something that is not the same on both sides; `where` is "machine", "settings" or "run"."""

    where: str
    name: str
    base: Any
    other: Any


@dataclass(frozen=True)
class Comparison:
    """One result beside the base. `unmatched` are ways to run a model that only one of them has."""

    base: str
    other: str
    ratios: tuple[Ratio, ...]
    differences: tuple[Difference, ...]
    unmatched: tuple[str, ...]


def compare(base: dict[str, Any], other: dict[str, Any], names: tuple[str, str]) -> Comparison:
    """Compare two documents of `demotic bench`.

    Raises:
        InvalidRequest: they are not of the same work; it names what is not.
    """
    _check_same_work(base, other, names)
    pairs, unmatched = _pairs(base["models"], other["models"], names)
    ratios: list[Ratio] = []
    differences = list(_differences("machine", base["machine"], other["machine"]))
    differences += _differences("run", _run_of(base), _run_of(other))
    for ours, theirs in pairs:
        ratios += _ratios(ours, theirs)
        differences += _differences(f"settings of {ours['name']}", ours["settings"], theirs["settings"])
    return Comparison(*names, tuple(ratios), tuple(differences), tuple(unmatched))


def bootstrap(base: Sequence[float], other: Sequence[float], seed: int = 0) -> tuple[float, float] | None:
    """The interval of median(other) / median(base); None for fewer than three samples on a side.

    The same samples and `seed` give the same interval.
    """
    if min(len(base), len(other)) < _LEAST_SAMPLES:
        return None
    draw = random.Random(seed)  # noqa: S311  # statistics, no secret
    ratios = sorted(
        statistics.median(draw.choices(other, k=len(other))) / statistics.median(draw.choices(base, k=len(base)))
        for _ in range(RESAMPLES)
    )
    return percentile(ratios, (1 - LEVEL) / 2), percentile(ratios, (1 + LEVEL) / 2)


def _check_same_work(base: dict[str, Any], other: dict[str, Any], names: tuple[str, str]) -> None:
    faults = []
    if base["measured"] != other["measured"]:
        faults.append("they measure by other rules (`measured` differs)")
    ours, theirs = (_digests(one) for one in (base, other))
    faults += [
        f"{name} is another file: SHA-256 {_short(ours[name])} in {names[0]}, {_short(theirs[name])} in {names[1]}"
        for name in sorted(ours.keys() & theirs.keys())
        if not ours[name] & theirs[name]
    ]
    if not faults and not set().union(*ours.values()) & set().union(*theirs.values()):
        faults.append(f"they have no model in common: {', '.join(sorted(ours))} and {', '.join(sorted(theirs))}")
    if not faults and (ours_work := _works(base)) != (theirs_work := _works(other)):
        faults.append(
            f"the lengths or batches differ: only {names[0]} has {_listed(ours_work - theirs_work)}, "
            f"only {names[1]} has {_listed(theirs_work - ours_work)}"
        )
    if faults:
        raise InvalidRequest(
            f"{names[0]} and {names[1]} are not of the same work: {'; '.join(faults)}.",
            remedy="Measure again with the same models and options.",
        )


def _digests(result: dict[str, Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for model in result["models"]:
        found.setdefault(model["model"], set()).add(model["sha256"])
    return found


def _short(digests: set[str]) -> str:
    return ", ".join(f"{digest[:12]}…" for digest in sorted(digests))


def _works(result: dict[str, Any]) -> set[tuple[str, int, int, int]]:
    return {work_of(job) for model in result["models"] for job in jobs_of(model)}


def _listed(works: set[tuple[str, int, int, int]]) -> str:
    return ", ".join(map(work_name, sorted(works))) or "nothing"


def work_name(work: tuple[str, int, int, int]) -> str:
    """A job in words."""
    kind, batch, prompt, output = work
    what = f"prompts of {prompt} tokens" if kind == "prompt" else f"answers of {output} after {prompt}"
    return f"{what}, {batch} at once" if batch > 1 else what


def _pairs(
    base: list[dict[str, Any]], other: list[dict[str, Any]], names: tuple[str, str]
) -> tuple[list[tuple[dict[str, Any], dict[str, Any]]], list[str]]:
    """The same file run in the same way; where each side has one way left for a file, these two."""
    pairs, left, right = [], list(base), list(other)
    for is_same in (_is_same_way, _is_same_file):
        for ours in list(left):
            matches = [theirs for theirs in right if is_same(ours, theirs)]
            alone = is_same is _is_same_way or sum(is_same(one, ours) for one in left) == 1
            if len(matches) == 1 and alone:
                pairs.append((ours, matches[0]))
                left.remove(ours)
                right.remove(matches[0])
    unmatched = [
        f"{one['name']}: only in {name}" for name, rest in zip(names, (left, right), strict=True) for one in rest
    ]
    return pairs, unmatched


def _is_same_file(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return bool(ours["sha256"] == theirs["sha256"])


def _is_same_way(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return _is_same_file(ours, theirs) and all(ours["settings"][one] == theirs["settings"][one] for one in _SWEPT)


def _ratios(ours: dict[str, Any], theirs: dict[str, Any]) -> Iterator[Ratio]:
    for figure, is_more_better in _MODEL_FIGURES.items():
        yield from _ratio(ours["name"], None, figure, (ours[figure], theirs[figure]), is_more_better=is_more_better)
    jobs = {work_of(job): job for job in jobs_of(theirs)}
    for job in jobs_of(ours):
        for figure, is_more_better in _JOB_FIGURES.items():
            if (work := work_of(job)) in jobs:
                both = job[figure], jobs[work][figure]
                yield from _ratio(ours["name"], work, figure, both, is_more_better=is_more_better)


def _ratio(
    model: str,
    work: tuple[str, int, int, int] | None,
    figure: str,
    both: tuple[dict[str, Any], dict[str, Any]],
    *,
    is_more_better: bool,
) -> Iterator[Ratio]:
    base, other = ([float(value) for value in one["samples"]] for one in both)
    if not base or not other or min(*base, *other) <= 0:
        return
    medians = statistics.median(base), statistics.median(other)
    interval = bootstrap(base, other)
    if interval is None:
        verdict = "too few samples"
    elif interval[0] <= 1 <= interval[1]:
        verdict = "no difference shown"
    else:
        verdict = "better" if (interval[0] > 1) == is_more_better else "worse"
    yield Ratio(model, work, figure, *medians, medians[1] / medians[0], interval, verdict)


def _run_of(result: dict[str, Any]) -> dict[str, Any]:
    plan = result["plan"]
    return {
        "repetitions": plan["repetitions"],
        "warm-up": plan["warm_up"],
        "interrupted": result.get("is_interrupted", False),
        "warnings": len(result.get("warnings", [])),
    }


def _differences(where: str, base: dict[str, Any], other: dict[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys([*base, *other]):
        ours, theirs = base.get(name), other.get(name)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            yield from _differences(where, ours, theirs)
        elif isinstance(ours, list) and isinstance(theirs, list):
            only_ours, only_theirs = ([one for one in a if one not in b] for a, b in ((ours, theirs), (theirs, ours)))
            if only_ours or only_theirs:
                yield Difference(where, name, only_ours, only_theirs)
        elif ours != theirs:
            yield Difference(where, name, ours, theirs)
