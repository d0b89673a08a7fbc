"""One model measured, language by language and metric by metric; where there is a source, against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks.parallel import ParallelText
from benchmarks.quality.alignment import Floats, chosen_layers, cosines, mexa, parallel_cosine
from benchmarks.quality.likelihood import Cost, compare, cost
from benchmarks.quality.metrics import PIVOT, Cell, Metric
from benchmarks.quality.opened import GivesVectors, Opened, OpenedDecoder, shared_tokens
from benchmarks.quality.tokens import TokenReport, report_on
from runtime.errors import InvalidRequest


class Measurement:
    """A model, maybe a source, and the text to measure them on; `check` is called at each line, and may raise."""

    def __init__(
        self,
        model: Opened,
        source: Opened | None,
        text: ParallelText,
        layers: Sequence[int] = (),
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._model = model
        self._source = source
        self._text = text
        self._layers = layers
        self._check = check
        self._shared = None if source is None else shared_tokens(model, source)
        self._pivot_bits: float | None = None
        # By model: those of English, and those of the language at hand.
        self._vectors: dict[Opened, dict[str, dict[str, Floats]]] = {}

    def cell(self, language: str, metric: Metric) -> Cell:
        """A language's figures by a metric.

        Raises:
            InvalidRequest: the model or the text is not one that this can be measured of.
        """
        match metric:
            case "bpb":
                return self._likelihood(language)
            case "tokenizer":
                return self._tokens(language)
            case "mexa":
                return self._mexa(language)
            case "ranker":
                return self._ranker(language)

    def _lines(self, language: str) -> Iterator[str]:
        for line in self._text.lines[language]:
            self._check()
            yield line

    def _likelihood(self, language: str) -> Cell:
        model, source = self._model, self._source
        if not isinstance(model, OpenedDecoder):
            raise InvalidRequest(f"{model.card.name} gives no probability to a text.", remedy="Leave out bpb.")
        if not isinstance(source, OpenedDecoder):
            return self._cost_cell(language, cost(self._lines(language), model))
        if self._shared is None:
            cell = self._cost_cell(language, cost(self._lines(language), model))
            theirs, told = cost(self._lines(language), source), {}
        else:
            found = compare(self._lines(language), model, source, self._shared.kept)
            cell = self._cost_cell(language, found.cost)
            told = {"kl": found.divergence.kl, "top_1": found.divergence.top_1}
            theirs = found.source_cost
            if self._shared.kept is not None:
                told["kept"] = found.divergence.kept
                theirs = cost(self._lines(language), source)
        before = theirs.bits_per_byte
        return cell | {"against": {"bits_per_byte": before, "change": cell["bits_per_byte"] / before - 1, **told}}

    def _cost_cell(self, language: str, found: Cost) -> Cell:
        if not found.num_tokens:
            raise InvalidRequest(f"The lines in {language} are too short: there is no token to guess.")
        cell: Cell = {
            "bits_per_byte": found.bits_per_byte,
            "bits": found.bits,
            "tokens": found.num_tokens,
            "bytes": found.num_bytes,
        }
        if language == PIVOT:
            self._pivot_bits = found.bits
        elif self._pivot_bits is None and PIVOT in self._text.lines and isinstance(self._model, OpenedDecoder):
            self._pivot_bits = cost(self._lines(PIVOT), self._model).bits
        if self._pivot_bits:
            cell["parity"] = found.bits / self._pivot_bits
        return cell

    def _tokens(self, language: str) -> Cell:
        found = self._report(language, self._model)
        cell: Cell = {
            "tokens": found.tokens,
            "words": found.words,
            "characters": found.characters,
            "bytes": found.num_bytes,
            "fertility": found.fertility,
            "fallback_rate": found.fallback_rate,
            "characters_per_token": found.characters_per_token,
        }
        if PIVOT in self._text.lines:
            cell["parity"] = found.tokens / self._report(PIVOT, self._model).tokens
        if self._source is not None:
            before = self._report(language, self._source).tokens
            cell["against"] = {"tokens": before, "change": found.tokens / before - 1}
        return cell

    def _report(self, language: str, model: Opened) -> TokenReport:
        return report_on(language, tuple(self._lines(language)), model.tokenizer)

    def _mexa(self, language: str) -> Cell:
        found = self._shares(language, self._model)
        cell: Cell = {"lines": self._text.num_lines, **found}
        if self._source is not None:
            pooling = next(iter(found))
            before = self._shares(language, self._source)[pooling]["mean"]
            cell["against"] = {"mean": before, "change": found[pooling]["mean"] - before}
        return cell

    def _shares(self, language: str, model: Opened) -> dict[str, Cell]:
        cells = {}
        for pooling, similarity in self._similarity(language, model).items():
            shares = mexa(similarity)
            of = shares[chosen_layers(self._layers, len(shares), first=0)]
            cells[pooling] = {"mean": float(of.mean()), "max": float(of.max()), "layers": shares.tolist()}
        return cells

    def _ranker(self, language: str) -> Cell:
        cell = self._ranked(language, self._model)
        if self._source is not None:
            before = self._ranked(language, self._source)["above_chance"]
            cell["against"] = {"above_chance": before, "change": cell["above_chance"] - before}
        return cell

    def _ranked(self, language: str, model: Opened) -> Cell:
        found = self._similarity(language, model)
        own, rest = parallel_cosine(found.get("last", next(iter(found.values()))))
        of = chosen_layers(self._layers, len(own), first=1)
        return {
            "cosine": float(own[of].mean()),
            "above_chance": float((own - rest)[of].mean()),
            "layers": own.tolist(),
            "chance": rest.tolist(),
        }

    def _similarity(self, language: str, model: Opened) -> dict[str, Floats]:
        """Cosines of English lines with those of a language, by pooling: each of shape (layers, lines, lines)."""
        if PIVOT not in self._text.lines or self._text.num_lines < 2:
            raise InvalidRequest(
                f"{self._text.name} has not two lines in English, which mexa and ranker hold other languages against.",
                remedy="Add a column of English, or leave them out.",
            )
        english, other = self._pooled(PIVOT, model), self._pooled(language, model)
        return {pooling: cosines(rows, other[pooling]) for pooling, rows in english.items()}

    def _pooled(self, language: str, model: Opened) -> dict[str, Floats]:
        """Vectors of the lines of a language, by pooling: each of shape (layers, lines, width)."""
        kept = self._vectors.setdefault(model, {})
        if language not in kept:
            if not isinstance(model, GivesVectors):
                raise InvalidRequest(f"{model.card.name} shows no hidden states.", remedy="Leave out mexa and ranker.")
            for name in set(kept) - {PIVOT}:
                del kept[name]
            found = [model.vectors(line) for line in self._lines(language)]
            kept[language] = {name: np.stack([each[name] for each in found], axis=1) for name in found[0]}
        return kept[language]
