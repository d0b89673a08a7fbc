"""One way to run a model, language by language: how long it reads the same text, and how fast it writes tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.languages.work import Work, work_of
from benchmarks.parallel import ParallelText
from benchmarks.speed.asking import Sample, ask_together, prompt_of
from benchmarks.speed.noise import Noise, Reading
from benchmarks.speed.plan import Variant
from runtime.commands.interrupt import Interrupt
from runtime.config import EngineConfig
from runtime.hardware.plan import Plan
from runtime.hardware.probe import Machine
from runtime.model import Model, start_as

# The five articles in one part or two; in many languages that is a page.
_MOST_PASSAGE_TOKENS = 4096
_PROMPT_TOKENS, _ANSWER_TOKENS = 64, 64
# Between two answers, so that a noisy minute is noisy for reading and for writing.
_LANGUAGES_BETWEEN = 12


@dataclass(frozen=True)
class LanguagePlan:
    """How often each language is read; warm_up: readings and answers of each model before that, which do not count."""

    repetitions: int = 3
    warm_up: int = 1

    def num_steps(self, num_languages: int) -> int:
        """Readings and answers of one model."""
        answers = -(-num_languages // _LANGUAGES_BETWEEN)
        return 2 * self.warm_up + self.repetitions * (num_languages + answers)


@dataclass
class Measured:
    """What was measured of one way to run a model.

    reading: seconds for the whole text, by language. writing: tokens/s of each answer.
    """

    variant: Variant
    used: Plan
    work: Work
    reading: dict[str, list[float]]
    writing: list[float] = field(default_factory=list)


def measure(
    variant: Variant,
    machine: Machine,
    text: ParallelText,
    plan: LanguagePlan,
    interrupt: Interrupt,
    noise: Noise,
    on_step: Callable[[], None] = lambda: None,
) -> Measured:
    """Load a model and measure it, until done or interrupted; `noise` is told what else the machine did.

    Raises:
        InvalidRequest: the machine has not what the variant asks for, or all languages have a line that is too long.
        ModelLoadFailed: the machine or the backend cannot hold it.
        Cancelled: Ctrl-C came while it was loaded.
    """
    limits = dataclasses.replace(EngineConfig(), max_context=_MOST_PASSAGE_TOKENS + 1, max_sequences=1, max_draft=0)
    used = variant.plan(machine, limits)
    with start_as(variant.card, used, limits, lambda _share: not interrupt.is_set) as model:
        most = min(_MOST_PASSAGE_TOKENS, used.context_length - 1)
        work = work_of(text, lambda passage: len(model.tokenize(passage)), most)
        found = Measured(variant, used, work, {language: [] for language in work.passages})
        turns = [(list(work.passages)[:1], False)] * plan.warm_up + [(list(work.passages), True)] * plan.repetitions
        seed = 0
        for languages, counts in turns:
            noise.note_speed()
            for language, sample in _turn(model, work, languages, seed, interrupt, noise):
                if counts and language is None:
                    found.writing.append(_tokens_per_second(sample))
                elif counts and language is not None:
                    found.reading[language].append(sum(one.answers[0].first for one in sample))
                on_step()
            if interrupt.is_set:
                break
            seed += len(languages)
    return found


def _turn(
    model: Model, work: Work, languages: Sequence[str], seed: int, interrupt: Interrupt, noise: Noise
) -> Iterator[tuple[str | None, list[Sample]]]:
    """A language and what came of reading its passages, or None and what came of an answer, until interrupted.

    An answer comes first: so no text is read right after itself, when it would be kept from before.
    """
    for at, language in enumerate(languages):
        if at % _LANGUAGES_BETWEEN == 0:
            prompt = prompt_of(model, _PROMPT_TOKENS, 1 + seed + at)
            if (answer := _ask(model, [prompt], _ANSWER_TOKENS, interrupt, noise)) is None:
                return
            yield None, answer
        if (read := _ask(model, work.passages[language], 1, interrupt, noise)) is None:
            return
        yield language, read


def _ask(
    model: Model, texts: Sequence[str], num_output: int, interrupt: Interrupt, noise: Noise
) -> list[Sample] | None:
    """Continue texts, one after the other; None where Ctrl-C came."""
    samples = []
    for text in texts:
        before = Reading.now()
        sample = ask_together(model, [text], num_output, interrupt)
        if sample is None:
            return None
        noise.add(before, Reading.now())
        samples.append(sample)
    return samples


def _tokens_per_second(samples: Sequence[Sample]) -> float:
    """Tokens after the first, over the seconds after it."""
    [answer] = samples[0].answers
    return (answer.num_output - 1) / (answer.end - answer.first)
