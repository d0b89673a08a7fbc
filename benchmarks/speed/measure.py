"""The speed of one model in this process: prompts of some lengths, and generation, one request at a time."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from types import TracebackType
from typing import Self

import psutil
from rich.console import Console
from rich.progress import Progress

from benchmarks.load import passage
from benchmarks.report import Spread
from benchmarks.speed.report import GenerationSpeed, ModelSpeed, PromptSpeed, print_report, speed_report
from runtime.card import ModelCard
from runtime.commands.interrupt import Interrupt
from runtime.config import EngineConfig
from runtime.engine.messages import Delta, Finished
from runtime.errors import Cancelled, InferenceFailed
from runtime.model import Model, start
from runtime.models.store import Store

INTERRUPTED = 130
SECONDS_BETWEEN_SAMPLES = 0.05
MIN_CONTEXT = 512


@dataclass(frozen=True)
class SpeedPlan:
    """What to measure of each model."""

    prompt_tokens: tuple[int, ...]
    output_tokens: int
    repetitions: int
    warm_up: int

    @property
    def num_steps(self) -> int:
        """Requests that one model gets."""
        return (self.repetitions + self.warm_up) * (len(self.prompt_tokens) + 1)


class PeakMemory:
    """The largest resident set of this process while it is entered, in bytes."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.before = self.peak = int(self._process.memory_info().rss)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="demotic-bench-memory", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()

    def _watch(self) -> None:
        while not self._stop.wait(SECONDS_BETWEEN_SAMPLES):
            self._sample()

    def _sample(self) -> None:
        self.peak = max(self.peak, int(self._process.memory_info().rss))


@dataclass
class _Sample:
    """One request: what came of it, in seconds from handing over its text."""

    num_prompt: int
    num_cached: int
    num_output: int
    num_characters: int
    first_token: float
    decode: float
    total: float


@dataclass
class _Samples:
    prompts: dict[int, list[_Sample]] = field(default_factory=dict)
    generations: list[_Sample] = field(default_factory=list)


def bench(references: Sequence[str], plan: SpeedPlan, *, as_json: bool) -> int:
    """`demotic bench`: measure and print; the exit status is 130 after Ctrl-C."""
    store = Store()
    names = list(references) or [store.default_name()]
    cards = [ModelCard.read(store.resolve(name)) for name in names]
    results: list[ModelSpeed] = []
    with (
        Interrupt() as interrupt,
        Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress,
    ):
        for card in cards:
            task = progress.add_task(card.name, total=plan.num_steps)
            with suppress(Cancelled):  # Ctrl-C while it loads
                results.append(measure(card, plan, interrupt, partial(progress.advance, task)))
            if interrupt.is_set:
                break
    print_report(speed_report(results, asdict(plan), is_interrupted=interrupt.is_set), as_json=as_json)
    return INTERRUPTED if interrupt.is_set else 0


def measure(
    card: ModelCard, plan: SpeedPlan, interrupt: Interrupt, on_step: Callable[[], None] = lambda: None
) -> ModelSpeed:
    """Load a model and measure it, until done or interrupted.

    Raises:
        ContextOverflow: a prompt is longer than what the model was trained for.
        ModelLoadFailed: the machine or the backend cannot hold it.
        Cancelled: Ctrl-C came while it was loaded.
    """
    # Prompts may come out a little longer than asked for, where a model's tokenizer adds tokens of its own.
    longest = max(plan.prompt_tokens) + plan.output_tokens + 16
    # How fast tokens are guessed says more about the text than about the machine.
    limits = dataclasses.replace(EngineConfig(), max_context=max(longest, MIN_CONTEXT), max_sequences=1, max_draft=0)
    with PeakMemory() as memory:
        started = time.perf_counter()
        with start(card, limits, lambda _share: not interrupt.is_set) as model:
            load_seconds = time.perf_counter() - started
            samples = _measure_loaded(model, plan, interrupt, on_step)
            used = model.plan
    generations = samples.generations
    return ModelSpeed(
        model=card.name,
        file_bytes=card.file.path.stat().st_size,
        threads=used.threads,
        gpu_layers=used.gpu_layers,
        context=used.context_length,
        load_seconds=load_seconds,
        prompts=tuple(
            PromptSpeed(
                prompt_tokens=Spread.of([one.num_prompt for one in of_length]),
                tokens_per_second=Spread.of([(one.num_prompt - one.num_cached) / one.first_token for one in of_length]),
                ttft_seconds=Spread.of([one.first_token for one in of_length]),
            )
            for of_length in samples.prompts.values()
        ),
        generation=GenerationSpeed(
            prompt_tokens=Spread.of([one.num_prompt for one in generations]),
            output_tokens=Spread.of([one.num_output for one in generations]),
            tokens_per_second=Spread.of([(one.num_output - 1) / one.decode for one in generations if one.decode]),
            characters_per_second=Spread.of([one.num_characters / one.total for one in generations]),
            characters_per_token=Spread.of([one.num_characters / max(1, one.num_output) for one in generations]),
        ),
        rss_before_bytes=memory.before,
        rss_peak_bytes=memory.peak,
    )


def _measure_loaded(model: Model, plan: SpeedPlan, interrupt: Interrupt, on_step: Callable[[], None]) -> _Samples:
    """All lengths in turn, then again, so that a noisy minute is noisy for all of them."""
    samples = _Samples({length: [] for length in plan.prompt_tokens})
    seed = 0
    for repetition in range(-plan.warm_up, plan.repetitions):
        for length in (*plan.prompt_tokens, None):
            seed += 1
            text = prompt_of(model, length or plan.prompt_tokens[0], seed)
            one = _ask(model, text, 1 if length else plan.output_tokens, interrupt)
            if one is None:
                return samples
            on_step()
            if repetition >= 0:
                (samples.prompts[length] if length else samples.generations).append(one)
    return samples


def prompt_of(model: Model, num_tokens: int, seed: int) -> str:
    """The longest new text of at most `num_tokens` tokens, or one of one word."""
    low, high = 1, num_tokens
    while low < high:
        middle = (low + high + 1) // 2
        if len(model.tokenize(passage(middle, seed))) <= num_tokens:
            low = middle
        else:
            high = middle - 1
    return passage(low, seed)


def _ask(model: Model, prompt: str, max_tokens: int, interrupt: Interrupt) -> _Sample | None:
    """Continue `prompt`, greedily; None where Ctrl-C came."""
    request = model.card.completion_request(prompt, max_tokens=max_tokens, temperature=0.0)
    interrupt.on_interrupt = lambda: model.client.abort(request.request_id)
    if interrupt.is_set:
        return None
    started = time.perf_counter()
    num_characters = 0
    for event in model.events(request):
        match event:
            case Delta(text=text):
                num_characters += len(text)
            case Finished(reason="cancelled"):
                return None
            case Finished():
                total = time.perf_counter() - started
                return _Sample(
                    num_prompt=event.usage.prompt_tokens,
                    num_cached=event.usage.cached_tokens,
                    num_output=event.usage.completion_tokens,
                    num_characters=num_characters,
                    # All but what came after the first token: so the time before the engine's clock is in it.
                    first_token=total - event.timings.decode,
                    decode=event.timings.decode,
                    total=total,
                )
    raise InferenceFailed("The answer was cut off before its end.")
