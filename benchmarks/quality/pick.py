"""`demotic eval pick`: the smallest artefact that loses little in the languages that somebody needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from benchmarks.machine import fingerprint
from benchmarks.quality.command import until_interrupted
from benchmarks.quality.evaluate import Prepared, Request, measure_model, prepare
from benchmarks.quality.metrics import MEASURED, Cell, Metric
from benchmarks.quality.results import Artefact
from benchmarks.report import machine_line, page, table, to_json
from converters.progress import StepProgress, steps_for
from runtime.commands.interrupt import INTERRUPTED
from runtime.errors import InvalidRequest

Measure: TypeAlias = Literal["bpb", "top-1", "mexa"]
_METRICS: Mapping[Measure, Metric] = {"bpb": "bpb", "top-1": "bpb", "mexa": "mexa"}
_NAMES: Mapping[Measure, str] = {
    "bpb": "more bits per byte",
    "top-1": "of the likeliest tokens are others",
    "mexa": "less MEXA",
}


@dataclass(frozen=True)
class Verdict:
    """What came of an artefact: its loss by language, a share; empty where it was not measured."""

    artefact: Artefact
    losses: Mapping[str, float]

    @property
    def worst(self) -> tuple[str, float]:
        """The language that loses most, and what it loses."""
        return max(self.losses.items(), key=lambda each: each[1])

    def over(self, within: float) -> dict[str, float]:
        """The languages that lose more than `within`, the worst first."""
        found = {language: loss for language, loss in self.losses.items() if loss > within}
        return dict(sorted(found.items(), key=lambda each: -each[1]))


@dataclass(frozen=True)
class Picked:
    """All verdicts, the smallest artefact first; `choice` is the first that stays within, None where none does."""

    verdicts: tuple[Verdict, ...]
    within: float
    measure: Measure
    choice: Artefact | None


def share(text: str) -> float:
    """A share as people write it: 1%, 0.5 % or 0.01.

    Raises:
        InvalidRequest: it is none.
    """
    number, is_percent = text.strip().removesuffix("%").strip(), text.strip().endswith("%")
    try:
        found = float(number) / (100 if is_percent else 1)
    except ValueError:
        found = -1.0
    if not 0 <= found < 1:
        raise InvalidRequest(f"'{text}' is no share.", remedy="Write 1% or 0.01.", param="--within")
    return found


def pick(
    found: Prepared, within: float, measure: Measure, progress: StepProgress, check: Callable[[], None] = lambda: None
) -> Picked:
    """Measure artefacts, the smallest first, until one stays within the loss in every language.

    Raises:
        InvalidRequest: an artefact has not the source's tokens, so that its guesses cannot be compared.
        ModelLoadFailed, InferenceFailed: one cannot be loaded or computed.
    """
    cards = {card.name: card for card in found.cards}
    verdicts: list[Verdict] = []
    choice: Artefact | None = None
    for artefact in sorted(found.results.models.values(), key=lambda each: each.size):
        if choice is not None:
            verdicts.append(Verdict(artefact, {}))
            continue
        measure_model(found, cards[artefact.name], progress, check)
        cells = {
            language: found.results.cell(artefact.name, language, _METRICS[measure]) or {}
            for language in found.languages
        }
        losses = {language: _loss(artefact, cell, measure) for language, cell in cells.items()}
        verdicts.append(Verdict(artefact, losses))
        if not verdicts[-1].over(within):
            choice = artefact
    return Picked(tuple(verdicts), within, measure, choice)


def _loss(artefact: Artefact, cell: Cell, measure: Measure) -> float:
    """What a language loses: more bits, other likeliest tokens, or less MEXA, as a share."""
    against: dict[str, Any] = cell["against"]
    match measure:
        case "bpb":
            return float(against["change"])
        case "top-1":
            if "top_1" not in against:
                raise InvalidRequest(
                    f"{artefact.name} has not the tokens of the source.", remedy="Pick by bpb, which needs none."
                )
            return 1 - float(against["top_1"])
        case "mexa":
            return -float(against["change"]) / against["mean"] if against["mean"] else 0.0


def to_markdown(found: Prepared, picked: Picked) -> str:
    """A sentence on the choice, and a row for each artefact that says why it is or is not the one."""
    source = found.results.settings.source
    of = f" of {source.name} ({_megabytes(source)})" if source is not None else ""
    languages = ", ".join(found.languages) if len(found.languages) <= 12 else f"{len(found.languages)} languages"
    limit = f"{picked.within:.2%}, {_NAMES[picked.measure]}"
    if picked.choice is None:
        first = f"None of the {len(picked.verdicts)} stays within {limit},{of} in {languages}: keep the source."
    else:
        name = f"**{picked.choice.name}** ({_megabytes(picked.choice)})"
        first = f"{name} is the smallest within {limit},{of} in {languages}."
    rows = [[each.artefact.name, _megabytes(each.artefact), *_reason(each, picked)] for each in picked.verdicts]
    parts = [first, table(("artefact", "size", "worst loss", "verdict"), rows)]
    parts += [f"Text: {found.text.name}.", MEASURED[_METRICS[picked.measure]], machine_line(fingerprint())]
    return page(parts, is_interrupted=False)


def _reason(verdict: Verdict, picked: Picked) -> tuple[str, str]:
    if not verdict.losses:
        return "–", "larger than the choice; not measured"
    language, loss = verdict.worst
    worst = f"{loss:+.2%} ({language})"
    if not (over := verdict.over(picked.within)):
        return worst, "taken: the smallest that stays within"
    first = ", ".join(f"{name} {lost:+.2%}" for name, lost in list(over.items())[:3])
    return worst, f"too much in {len(over)} of {len(verdict.losses)} languages: {first}"


def _megabytes(artefact: Artefact) -> str:
    return f"{artefact.size / 1e6:,.1f} MB"


def as_dict(found: Prepared, picked: Picked) -> dict[str, Any]:
    """The choice and all verdicts, for JSON."""
    return {
        "benchmark": "eval pick",
        "measure": picked.measure,
        "within": picked.within,
        "source": found.results.settings.source,
        "languages": list(found.languages),
        "choice": None if picked.choice is None else picked.choice.name,
        "artefacts": [
            {
                "artefact": each.artefact,
                "losses": dict(each.losses),
                "is_within": not each.over(picked.within) if each.losses else None,
            }
            for each in picked.verdicts
        ],
        "machine": fingerprint(),
    }


def run(request: Request, within: str, measure: Measure, *, as_json: bool) -> int:
    """The body of the command; the exit status is 1 where no artefact stays within, 130 after Ctrl-C.

    Raises:
        DemoticError: as `prepare` and `pick` do.
    """
    most = share(within)
    found = prepare(request)
    done: list[Picked] = []
    progress = steps_for(as_json=as_json)
    if not until_interrupted(lambda check: done.append(pick(found, most, measure, progress, check))):
        return INTERRUPTED
    (picked,) = done
    print(to_json(as_dict(found, picked)) if as_json else to_markdown(found, picked), flush=True)
    return 0 if picked.choice is not None else 1
