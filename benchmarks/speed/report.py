"""The report of `demotic bench`: what was measured of models, as figures and a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.machine import fingerprint
from benchmarks.report import Spread, machine_line, page, shown, table, to_json

SPEED_MEASURED = (
    "One model in this process, greedy, one request at a time, every prompt new. Prompt tokens/s: tokens of the prompt "
    "over the seconds from handing over its text to the first token, with tokenization and sampling (TTFT). "
    "Generation tokens/s: tokens after the first over the seconds after the first, with sampling. Characters/s: code "
    "points of the answer over all of its seconds, the prompt's too. Loading: with the file in the page cache or not, "
    "as it was. Memory: resident set of the whole process, sampled; what the model's file is mapped to counts."
)


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


def to_markdown(report: SpeedReport) -> str:
    """A report as a Markdown page without headings, to read or to paste."""
    speeds = [
        (
            one.model,
            f"{prompt.prompt_tokens.median or 0:.0f}",
            shown(prompt.tokens_per_second, ".0f"),
            shown(prompt.ttft_seconds, ".3f"),
        )
        for one in report.models
        for prompt in one.prompts
        if prompt.prompt_tokens.median is not None
    ]
    generated = [
        (
            one.model,
            f"{one.generation.output_tokens.median or 0:.0f}",
            shown(one.generation.tokens_per_second, ".1f"),
            shown(one.generation.characters_per_second, ".0f"),
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


def print_report(report: SpeedReport, *, as_json: bool) -> None:
    """The report on standard output."""
    print(to_json(report) if as_json else to_markdown(report), flush=True)
