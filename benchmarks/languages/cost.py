"""From times and lengths to what a language costs: rates, and how many times the cheapest language's time it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.languages.work import Sizes
from benchmarks.report import Spread
from runtime.language.codes import Language, english_name


@dataclass(frozen=True)
class Rates:
    """Reading or writing the text of one language; rates are of the median's seconds, None where there is none.

    times_best: seconds over those of the language that takes the fewest.
    """

    seconds: Spread
    characters_per_second: float | None
    graphemes_per_second: float | None
    bytes_per_second: float | None
    times_best: float | None = None

    @classmethod
    def of(cls, sizes: Sizes, seconds: Spread) -> Rates:
        """Rates of a text of these sizes that took so long."""
        if not seconds.median:
            return cls(seconds, None, None, None)
        rates = (size / seconds.median for size in (sizes.characters, sizes.graphemes, sizes.bytes))
        return cls(seconds, *rates)


@dataclass(frozen=True)
class LanguageCost:
    """What one language costs a model; `name` is English for it."""

    language: str
    name: str
    tokens: int
    characters: int
    graphemes: int
    bytes: int
    characters_per_token: float
    prompt: Rates
    answer: Rates


def costs_of(
    sizes: Mapping[str, Sizes], reading: Mapping[str, Sequence[float]], tokens_per_second: Sequence[float]
) -> tuple[LanguageCost, ...]:
    """The languages that were read at least once, those with the fewest tokens first.

    `reading` has seconds for the whole text by language. Writing takes the text's tokens, each at the speed of
    generation (`tokens_per_second`, of each repetition): the text is the language's own, and not what a model makes up.
    """
    costs = []
    for language, seconds in reading.items():
        if not seconds:
            continue
        size = sizes[language]
        writing = Spread.of([size.tokens / rate for rate in tokens_per_second])
        costs.append(
            LanguageCost(
                language=language,
                name=english_name(Language(*language.split("_"))),
                tokens=size.tokens,
                characters=size.characters,
                graphemes=size.graphemes,
                bytes=size.bytes,
                characters_per_token=size.characters / size.tokens,
                prompt=Rates.of(size, Spread.of(seconds)),
                answer=Rates.of(size, writing),
            )
        )
    best_prompt = min((cost.prompt.seconds.median for cost in costs if cost.prompt.seconds.median), default=None)
    best_answer = min((cost.answer.seconds.median for cost in costs if cost.answer.seconds.median), default=None)
    compared = [
        replace(cost, prompt=_beside(cost.prompt, best_prompt), answer=_beside(cost.answer, best_answer))
        for cost in costs
    ]
    return tuple(sorted(compared, key=lambda cost: (cost.tokens, cost.language)))


def _beside(rates: Rates, best: float | None) -> Rates:
    median = rates.seconds.median
    return replace(rates, times_best=median / best) if median and best else rates
