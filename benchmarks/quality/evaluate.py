"""The pipeline of `demotic eval`: models and text found, what is missing measured, and kept as it comes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.parallel import ParallelText, declaration, read_parallel
from benchmarks.quality.measure import Measurement
from benchmarks.quality.metrics import METRICS, PIVOT, Metric
from benchmarks.quality.opened import open_model
from benchmarks.quality.results import Artefact, Results, Settings
from converters.progress import StepProgress
from runtime.card import ModelCard
from runtime.errors import InvalidRequest
from runtime.models.header import Header
from runtime.models.store import Store

_OF_STATES: tuple[Metric, ...] = ("mexa", "ranker")


@dataclass(frozen=True)
class Request:
    """What is asked for; empty `languages`, `metrics` and `layers` are all that there are."""

    models: tuple[str, ...]
    source: str | None = None
    languages: tuple[str, ...] = ()
    parallel: tuple[Path, ...] = ()
    metrics: tuple[Metric, ...] = ()
    layers: tuple[int, ...] = ()
    output: Path | None = None


@dataclass(frozen=True)
class Prepared:
    """What was found for a request; nothing of it has been loaded."""

    cards: tuple[ModelCard, ...]
    source: ModelCard | None
    text: ParallelText
    languages: tuple[str, ...]
    metrics: dict[str, tuple[Metric, ...]]
    results: Results


def prepare(request: Request) -> Prepared:
    """Find models, text and the results that there are, and refuse what cannot be measured.

    Raises:
        ModelNotFound, ModelFileInvalid, UnsupportedArchitecture: a model cannot be read.
        UnknownLanguage, InvalidRequest: no such language or text, a model of which a metric cannot be had, or a file
            with results of something else.
    """
    store = Store()
    cards = tuple(ModelCard.read(store.resolve(name)) for name in request.models or [store.default_name()])
    names = [card.name for card in cards]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InvalidRequest(f"Two models are called {twice}.", remedy="Give one of the files another name.")
    source = None if request.source is None else ModelCard.read(store.resolve(request.source))
    text = read_parallel(request.parallel) if request.parallel else declaration()
    languages = tuple(text.of(request.languages).lines)
    metrics = {card.name: _metrics_of(card, source, text, request.metrics) for card in cards}
    settings = Settings(
        text=text.name,
        text_sha256=hashlib.sha256(json.dumps(dict(sorted(text.lines.items()))).encode()).hexdigest(),
        layers=request.layers,
        source=None if source is None else Artefact.of(source),
    )
    results = Results.open(request.output, settings, [Artefact.of(card) for card in cards])
    return Prepared(cards, source, text, languages, metrics, results)


def _metrics_of(
    card: ModelCard, source: ModelCard | None, text: ParallelText, asked: Sequence[Metric]
) -> tuple[Metric, ...]:
    """The metrics that are asked for, or all that can be had of a model and its source on a text."""
    refused: dict[Metric, str] = {}
    for each in (card, source) if source is not None else (card,):
        refused |= _refused(each)
    if PIVOT not in text.lines or text.num_lines < 2:
        reason = f"{text.name} has not two lines in English, which other languages are held against"
        refused |= dict.fromkeys(_OF_STATES, reason)
    for metric in asked:
        if metric in refused:
            raise InvalidRequest(f"There is no '{metric}': {refused[metric]}.", param="--metrics")
    return tuple(asked) or tuple(metric for metric in METRICS if metric not in refused)


def _refused(card: ModelCard) -> dict[Metric, str]:
    """The metrics that cannot be had of a model, and why."""
    if card.encoding is not None:
        no_guess: dict[Metric, str] = {"bpb": f"{card.name} writes no text, and so guesses at none"}
        no_vectors = f"{card.name} gives scores and no vectors"
        return no_guess if card.encoding.gives_vectors else no_guess | dict.fromkeys(_OF_STATES, no_vectors)
    if card.has_encoder:
        reason = f"{card.name} is an encoder-decoder, which answers texts and does not go on from them"
        return dict.fromkeys(("bpb", *_OF_STATES), reason)
    if not isinstance(card.header, Header):
        return dict.fromkeys(_OF_STATES, f"the graph of {card.name} does not give its hidden states")
    return {}


def measure(found: Prepared, progress: StepProgress, check: Callable[[], None] = lambda: None) -> None:
    """Measure what the results do not have yet.

    `check` is called at each line of text, and ends the work by raising; what was measured until then is kept.

    Raises:
        ModelLoadFailed, InferenceFailed: a model cannot be loaded or computed.
    """
    for card in found.cards:
        measure_model(found, card, progress, check)


def measure_model(
    found: Prepared, card: ModelCard, progress: StepProgress, check: Callable[[], None] = lambda: None
) -> None:
    """Measure one of the models."""
    todo = [
        (language, metric)
        for language in found.languages
        for metric in found.metrics[card.name]
        if not found.results.has(card.name, language, metric)
    ]
    if not todo:
        return
    progress.start(card.name, len(todo))
    try:
        with ExitStack() as stack:
            names = {language for language, _ in todo} | ({PIVOT} & set(found.text.lines))
            lines = [line for name in names for line in found.text.lines[name]]
            model = stack.enter_context(open_model(card, lines))
            source = None if found.source is None else stack.enter_context(open_model(found.source, lines))
            measurement = Measurement(model, source, found.text, found.results.settings.layers, check)
            for language, metric in todo:
                check()
                found.results.put(card.name, language, metric, measurement.cell(language, metric))
                progress.advance()
    finally:
        progress.finish()
