"""Entities from the scores of tokens: what transformers' token-classification pipeline makes of them.

Source: `TokenClassificationPipeline` in transformers' pipelines/token_classification.py, whose names of strategies are
kept. "none" tells of each token; "simple" joins neighbours of one label; "first", "average" and "max" first agree on
one label for each word, whose pieces are those that the vocabulary writes with a prefix or, where it knows none, those
with no space before them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runtime.backends.base import Vectors
from runtime.engine.messages import Aggregation, Entities, Entity, LabelTokens
from runtime.engine.windows import WindowMaker, name_of
from runtime.text.tokenizer import Aligned, AligningTokenizer

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Labelled:
    """A token or a word with its label."""

    label: int
    score: float
    start: int
    end: int


def probabilities(logits: Scores) -> Scores:
    """The softmax of each row."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True), np.float32)


def continues_word(text: str, aligned: Aligned, tokenizer: AligningTokenizer) -> list[bool]:
    """Of each token whether it goes on with the word of the token before."""
    found = []
    for token, (start, end) in zip(aligned.ids, aligned.offsets, strict=True):
        if token == tokenizer.unknown:
            found.append(False)
        elif tokenizer.continuing_prefix:
            found.append(len(tokenizer.token_text(token)) != end - start)
        else:
            found.append(start > 0 and " " not in text[start - 1 : start + 1])
    return found


def entities_of(
    text: str,
    scores: Scores,
    offsets: Sequence[tuple[int, int]],
    goes_on: Sequence[bool],
    labels: Sequence[str],
    *,
    aggregation: Aggregation,
    ignored: Sequence[str],
) -> list[Entity]:
    """The entities of a text whose tokens have these probabilities, shape (tokens, labels)."""
    if aggregation in {"none", "simple"}:
        units = [_labelled(row, span, span) for row, span in zip(scores, offsets, strict=True)]
    else:
        units = [
            _word(scores[word.start : word.stop], offsets[word.start : word.stop], aggregation)
            for word in _words(goes_on)
        ]
    if aggregation == "none":
        groups, shown = [[unit] for unit in units], list(labels)
    else:
        groups, shown = list(_groups(units, labels)), [label.split("-", 1)[-1] for label in labels]
    found = []
    for group in groups:
        label = shown[group[0].label]
        if label in ignored:
            continue
        start, end = group[0].start, group[-1].end
        score = float(np.mean([unit.score for unit in group]))
        found.append(Entity(label, score, start, end, text[start:end]))
    return found


def _labelled(row: Scores, first: tuple[int, int], last: tuple[int, int]) -> _Labelled:
    label = int(row.argmax())
    return _Labelled(label, float(row[label]), first[0], last[1])


def _words(goes_on: Sequence[bool]) -> Iterator[range]:
    starts = [place for place, is_within in enumerate(goes_on) if place == 0 or not is_within]
    for start, end in zip(starts, [*starts[1:], len(goes_on)], strict=True):
        yield range(start, end)


def _word(rows: Scores, offsets: Sequence[tuple[int, int]], aggregation: Aggregation) -> _Labelled:
    match aggregation:
        case "first":
            row = rows[0]
        case "max":
            row = rows[int(rows.max(axis=1).argmax())]
        case _:
            row = rows.mean(axis=0)
    return _labelled(row, offsets[0], offsets[-1])


def _groups(units: Sequence[_Labelled], labels: Sequence[str]) -> Iterator[list[_Labelled]]:
    """Neighbours whose labels are one but for the "B-" or "I-" before it; "B-" begins another group."""
    group: list[_Labelled] = []
    for unit in units:
        if group and (labels[unit.label].startswith("B-") or _tag(labels[unit.label]) != _tag(labels[group[-1].label])):
            yield group
            group = []
        group.append(unit)
    if group:
        yield group


def _tag(label: str) -> str:
    return label[2:] if label.startswith(("B-", "I-")) else label


def _whole_words(aligned: Aligned, goes_on: Sequence[bool]) -> list[bool]:
    """`goes_on`, where a piece that stands for a space and what follows it, which share a place, are one word."""
    ends = [0, *(end for _, end in aligned.offsets)]
    starts = (start for start, _ in aligned.offsets)
    return [within or start < end for within, start, end in zip(goes_on, starts, ends, strict=False)]


class LabelReading:
    """`Reading` of a `LabelTokens`: the windows of a text end before a word, and what is found in each is joined."""

    def __init__(
        self, request: LabelTokens, maker: WindowMaker, tokenizer: AligningTokenizer, labels: Sequence[str]
    ) -> None:
        """Raises InvalidRequest and ContextOverflow as `WindowMaker.spans` does."""
        self._request = request
        self._labels = labels
        self._aligned = [tokenizer.align(text) for text in request.inputs]
        self._goes_on = [
            continues_word(text, aligned, tokenizer)
            for text, aligned in zip(request.inputs, self._aligned, strict=True)
        ]
        self._spans = [
            maker.spans(aligned.ids, request.overflow, name_of(request, index), _whole_words(aligned, goes_on))
            for index, (aligned, goes_on) in enumerate(zip(self._aligned, self._goes_on, strict=True))
        ]
        framed = [
            [maker.framed(aligned.ids, span) for span in spans]
            for aligned, spans in zip(self._aligned, self._spans, strict=True)
        ]
        self.windows = [[window for window, _ in windows] for windows in framed]
        self._starts = [[start for _, start in windows] for windows in framed]

    def keep(self, index: int, place: int, found: Vectors) -> Vectors:
        """See `Reading.keep`: the probabilities of the text's own tokens."""
        start = self._starts[index][place]
        return probabilities(found[start : start + self.windows[index][place].weight])

    def answer(self, index: int, kept: Sequence[Vectors]) -> Entities:
        """See `Reading.answer`."""
        aligned, request = self._aligned[index], self._request
        end = self._spans[index][-1].stop
        found = entities_of(
            request.inputs[index],
            np.concatenate(kept),
            aligned.offsets[:end],
            self._goes_on[index][:end],
            self._labels,
            aggregation=request.aggregation,
            ignored=request.ignored,
        )
        return Entities(request.request_id, index, tuple(found))
