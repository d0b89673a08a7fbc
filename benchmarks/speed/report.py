"""The report of `demotic bench`: all that was measured in a run, and the page to read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.machine import fingerprint
from benchmarks.report import machine_line, page, shown, table
from benchmarks.speed.figures import JobSpeed, ModelSpeed, model_speed
from benchmarks.speed.measure import Run
from benchmarks.speed.noise import SPREAD_BOUND

MEASURED = (
    "Models in this process, in turns, each loaded anew for every repetition; greedy, every prompt new, answers of "
    "exactly the length asked for, a batch handed over at once. Prompt tokens/s: tokens of all prompts over the "
    "seconds from handing over their texts to the last first token, with tokenization and sampling. TTFT: the same of "
    "each sequence. Generation tokens/s: tokens of all sequences after their first over the seconds from the first "
    "token to the last, with sampling and detokenization. Characters/s: code points of the answers over all of the "
    "seconds, the prompts' too. ITL: between two pieces of text of a sequence. Shares: of all seconds. Loading: with "
    "the file in the page cache or not, as it was. Memory: resident set of the whole process, sampled; what the "
    "model's file is mapped to counts. Energy: all that the counted part took over all of the seconds, whoever caused "
    "it."
)
_LEAST_SAMPLES = 3  # fewer say nothing about noise


@dataclass(frozen=True)
class SpeedReport:
    """`demotic bench`. `energy` is why a counter cannot be read; `noise` is what else was seen of the machine."""

    benchmark: str
    measured: str
    plan: dict[str, Any]
    is_interrupted: bool
    warnings: tuple[str, ...]
    left_out: tuple[str, ...]
    energy: tuple[str, ...]
    noise: dict[str, Any]
    models: tuple[ModelSpeed, ...]
    machine: dict[str, Any]


def speed_report(run: Run) -> SpeedReport:
    """The report on a run."""
    noise = run.noise
    models = tuple(model_speed(one, run.plan.jobs) for one in run.measured)
    return SpeedReport(
        benchmark="speed",
        measured=MEASURED,
        plan={name: value for name, value in asdict(run.plan).items() if name != "left_out"},
        is_interrupted=run.interrupt.is_set,
        warnings=(*_spread_warnings(models), *noise.warnings()),
        left_out=(*run.plan.left_out, *run.left_out),
        energy=run.energy.reasons,
        noise={
            "seconds": noise.seconds,
            "others_busy_cpus": noise.others / noise.seconds if noise.seconds else None,
            "waited_share": noise.waited / noise.seconds if noise.seconds else None,
            "megahertz": noise.megahertz,
            "reference_seconds": noise.reference,
        },
        models=models,
        machine=fingerprint(run.machine),
    )


def _spread_warnings(models: tuple[ModelSpeed, ...]) -> Iterator[str]:
    for model in models:
        spreads = {
            name_of(job): job.tokens_per_second.spread or 0
            for job in model.jobs
            if len(job.tokens_per_second.samples) >= _LEAST_SAMPLES
        }
        wide = {name: spread for name, spread in spreads.items() if spread > SPREAD_BOUND}
        if wide:
            worst = max(wide, key=lambda name: wide[name])
            yield (
                f"{model.name}: tokens/s spread over more than {SPREAD_BOUND:.0%} of their median in {len(wide)} of "
                f"{len(spreads)} rows, most in {worst}: {wide[worst]:.0%}. More repetitions, or a quieter machine, "
                "would say more."
            )


def name_of(job: JobSpeed) -> str:
    """A job in words."""
    what = (
        f"prompts of {job.prompt_tokens} tokens"
        if job.kind == "prompt"
        else f"answers of {job.output_tokens} tokens after {job.prompt_tokens}"
    )
    return f"{what}, {job.batch} at once" if job.batch > 1 else what


def to_markdown(report: SpeedReport) -> str:
    """A report as a Markdown page without headings, to read or to paste."""
    pairs = [(model, job) for model in report.models for job in model.jobs]
    parts = [
        *(f"Warning: {line}" for line in report.warnings),
        table(("model", "weights", "device", "KV cache", "threads", "loading, s", "memory, MB"), _ways(report)),
        table(
            ("model", "batch", "prompt tokens", "prompt tokens/s", "TTFT, s"),
            [_prompt_row(model, job) for model, job in pairs if job.kind == "prompt"],
        ),
        table(
            ("model", "batch", "output tokens", "tokens/s", "characters/s", "ITL p50, ms", "p90", "p99"),
            [_generation_row(model, job) for model, job in pairs if job.kind == "generation"],
        ),
        table(
            ("model", "where the time goes", "model", "tokenizer", "sampler", "detokenizer", "engine and the rest"),
            [(model.name, name_of(job), *(f"{share:.1%}" for share in _shares(job))) for model, job in pairs],
        ),
        *_energy(pairs),
        *(f"Left out: {line}" for line in report.left_out),
        *report.energy,
        f"Medians of {report.plan['repetitions']} (least to most). {report.measured}",
        machine_line(report.machine),
    ]
    return page(parts, is_interrupted=report.is_interrupted)


def _ways(report: SpeedReport) -> Iterator[tuple[str, ...]]:
    for one in report.models:
        settings = one.settings
        before, peak = one.memory_before_bytes.median or 0, one.memory_peak_bytes.median or 0
        yield (
            *(one.name, one.quantization, settings["device"], settings["kv_type"], str(settings["threads"])),
            shown(one.load_seconds, ".2f"),
            f"{peak / 1e6:.0f} ({before / 1e6:.0f} before)"
            + (f", {card / 1e6:.0f} of cards" if (card := one.card_memory_peak_bytes.median) else ""),
        )


def _prompt_row(model: ModelSpeed, job: JobSpeed) -> tuple[str, ...]:
    return (
        *(model.name, str(job.batch), f"{job.counted_prompt_tokens.median or 0:.0f}"),
        *(shown(job.tokens_per_second, ".0f"), shown(job.ttft_seconds, ".3f")),
    )


def _generation_row(model: ModelSpeed, job: JobSpeed) -> tuple[str, ...]:
    gaps = job.itl_seconds
    return (
        *(model.name, str(job.batch), str(job.output_tokens)),
        *(shown(job.tokens_per_second, ".1f"), shown(job.characters_per_second, ".0f")),
        *("–" if gap is None else f"{gap * 1000:.1f}" for gap in (gaps.p50, gaps.p90, gaps.p99)),
    )


def _shares(job: JobSpeed) -> tuple[float, ...]:
    return tuple(job.shares[name] for name in ("computing", "tokenizing", "sampling", "detokenizing", "rest"))


def _energy(pairs: list[tuple[ModelSpeed, JobSpeed]]) -> list[str]:
    counters = sorted({name for _, job in pairs for name in job.joules_per_token})
    if not counters:
        return []
    rows = [
        (
            *(model.name, name_of(job)),
            *(shown(job.joules_per_token[each], ".3g") if each in job.joules_per_token else "–" for each in counters),
        )
        for model, job in pairs
    ]
    return [table(("model", "energy, J/token", *counters), rows)]
