"""A graph that reads texts at once: vectors, scores, or scores of each token, of passages batched by length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from runtime.backends.base import Passage, Vectors
from runtime.backends.onnx.session import Array, OnnxSession, padded
from runtime.errors import InferenceFailed
from runtime.hardware.plan import Plan
from runtime.models.onnx_folder import OnnxFolder

# Of the tokens that are computed together the most that may be padding.
MAX_PADDING = 0.1


class OnnxEncoder:
    """`Encoder` over a folder's one graph."""

    def __init__(self, folder: OnnxFolder, plan: Plan) -> None:
        """Load the graph as `plan` says.

        Raises:
            ModelFileInvalid, ModelLoadFailed: as `OnnxSession`.
        """
        settings = folder.settings
        self._outputs = settings.outputs["model"]
        self._session: OnnxSession | None = OnnxSession(
            folder.path / settings.graphs["model"], plan, inputs=settings.inputs["model"], outputs=self._outputs
        )
        self._settings = settings
        self._fill = max(0, settings.tokens.pad or 0)
        self.context_length = plan.context_length
        self.batch_size = plan.batch_size
        self.max_sequences = plan.max_sequences
        match settings.task:
            case "features":
                self.width = settings.sizes.width
            case "fill-mask":
                self.width = settings.sizes.vocabulary
            case "question-answering":
                self.width = len(self._outputs)
            case _:
                self.width = max(1, len(settings.labels))

    def encode(self, passages: Sequence[Passage]) -> list[Vectors]:
        """See `Encoder.encode`."""
        found: list[Vectors | None] = [None] * len(passages)
        for batch in batches([len(passage.tokens) for passage in passages]):
            for index, rows in zip(batch, self._compute([passages[index] for index in batch]), strict=True):
                found[index] = rows
        return [rows for rows in found if rows is not None]

    def close(self) -> None:
        """See `Encoder.close`."""
        self._session = None

    def _compute(self, passages: Sequence[Passage]) -> Iterator[Vectors]:
        if self._session is None:
            raise InferenceFailed("The model is closed.")
        feeds = self._feeds(passages)
        lengths = [len(passage.tokens) for passage in passages]
        # The memory for a text that is longer than a step grows with the square of its length: it would stay for ever.
        found = self._session.run(self._outputs, feeds, gives_back=max(lengths) > self.batch_size)
        states = np.stack(found, axis=-1) if self._settings.task == "question-answering" else found[0]
        if states.ndim != (2 if self._settings.task in {"classify", "reward"} else 3) or states.shape[-1] != self.width:
            raise InferenceFailed(
                f"The graph gave numbers of shape {states.shape}, of which the last should be {self.width}."
            )
        match self._settings.pooling:
            case "mean":
                for length, row in zip(lengths, states, strict=True):
                    yield row[:length].mean(axis=0)
            case "cls":
                yield from states[:, 0]
            case "last":
                yield from states[np.arange(len(lengths)), np.array(lengths) - 1]
            case None if states.ndim == 2:
                yield from states
            case None:
                for length, row in zip(lengths, states, strict=True):
                    yield row[:length]

    def _feeds(self, passages: Sequence[Passage]) -> dict[str, Array]:
        rows = [passage.tokens for passage in passages]
        places = np.arange(max(map(len, rows)))
        lengths = np.array([[len(tokens)] for tokens in rows])
        second = np.array([[len(tokens.tokens) if tokens.second is None else tokens.second] for tokens in passages])
        mask = places < lengths
        feeds: dict[str, Array] = {"input_ids": padded(rows, self._fill), "attention_mask": mask.astype(np.int64)}
        for name in self._settings.inputs["model"]:
            if name == "token_type_ids":
                feeds[name] = ((places >= second) & mask).astype(np.int64)
            elif name == "global_attention_mask":
                feeds[name] = self._seen_by_all(places, second).astype(np.int64)
        return feeds

    def _seen_by_all(self, places: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which tokens of a Longformer see the whole text: bool, shape (passages, the longest)."""
        match self._settings.global_attention:
            case "first":
                return np.broadcast_to(places == 0, (len(second), len(places)))
            case "question":
                return places < second
        return np.zeros((len(second), len(places)), np.bool_)


def batches(lengths: Sequence[int]) -> list[list[int]]:
    """Places of sequences of these lengths, put together so that little is padding (`MAX_PADDING`)."""
    groups: list[list[int]] = []
    num_tokens = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        longest = lengths[groups[-1][0]] if groups else 0
        if groups and num_tokens + lengths[index] >= (1 - MAX_PADDING) * longest * (len(groups[-1]) + 1):
            groups[-1].append(index)
            num_tokens += lengths[index]
        else:
            groups.append([index])
            num_tokens = lengths[index]
    return groups
