"""A decoder with a KV cache over one ONNX graph, as the engine's scheduler sees it.

Sequences that get equally many new tokens are one call of the graph, whatever their lengths: shorter caches are padded
on the left and masked, and the graph is told the place of every token. Those that were computed together in the step
before are so again without a copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.backends.base import Chunk, Ids, Logits, RowDecoder, SourceEncoder
from runtime.backends.onnx.optimum import open_graphs
from runtime.backends.onnx.rows import LOGITS, Array
from runtime.errors import InferenceFailed, ModelLoadFailed
from runtime.hardware.plan import Plan
from runtime.models.onnx_folder import OnnxFolder

_POSITIONS = "position_ids"


@dataclass(eq=False)
class _Group:
    """Sequences that were computed together: a row each of `past`, whose last cells `mask` has 1 for."""

    past: dict[str, Array]
    mask: Ids


class OnnxDecoder:
    """`Decoder` over the graph of a folder."""

    sources: SourceEncoder | None = None
    rows: RowDecoder | None = None
    state_format: str | None = None

    def __init__(self, folder: OnnxFolder, plan: Plan) -> None:
        """Load the graph as `plan` says. Raises as `OnnxSession` does."""
        settings = folder.settings
        inputs, outputs = settings.inputs["model"], settings.outputs["model"]
        self._graph = open_graphs(folder, plan)["model"]
        self._past = [name for name in inputs if name.startswith("past.")]
        self._present = [name for name in outputs if name != LOGITS]
        self._has_positions = _POSITIONS in inputs
        self._shape = settings.sizes.heads, settings.sizes.head_size
        self.vocabulary_size = settings.sizes.vocabulary
        self.context_length = plan.context_length
        self.batch_size = plan.batch_size
        self.max_sequences = self.num_slots = plan.max_sequences
        # Memory is taken as sequences grow, and given back: every one may be as long as the context.
        self.num_cells = self.max_sequences * self.context_length
        self._places: dict[int, tuple[_Group, int]] = {}

    def forward(self, chunks: Sequence[Chunk], adapter: str | None = None) -> Logits:
        """See `Decoder.forward`."""
        if adapter is not None:
            raise InferenceFailed(f"ONNX graphs take no adapter such as {adapter}.")
        alike: dict[int, list[int]] = {}
        for index, chunk in enumerate(chunks):
            alike.setdefault(len(chunk.tokens), []).append(index)
        found: dict[int, Logits] = {}
        for indices in alike.values():
            group = self._together([chunks[index].slot for index in indices])
            logits = self._step(group, [chunks[index] for index in indices])
            for row, index in enumerate(indices):
                num_logits = chunks[index].num_logits
                found[index] = logits[row, logits.shape[1] - num_logits :]
        return np.concatenate([found[index] for index in range(len(chunks))])

    def _step(self, group: _Group, chunks: Sequence[Chunk]) -> Logits:
        tokens = np.array([chunk.tokens for chunk in chunks], np.int64)
        mask = np.concatenate([group.mask, np.ones_like(tokens)], axis=1)
        feeds: dict[str, npt.NDArray[Any]] = {"input_ids": tokens, "attention_mask": mask, **group.past}
        if self._has_positions:
            starts = np.array([chunk.position for chunk in chunks], np.int64)
            feeds[_POSITIONS] = starts[:, None] + np.arange(tokens.shape[1])
        logits: Logits
        logits, *present = self._graph.run([LOGITS, *self._present], feeds)
        group.past, group.mask = dict(zip(self._past, present, strict=True)), mask
        return logits

    def _together(self, slots: Sequence[int]) -> _Group:
        """The sequences of these slots, in this order, as one group."""
        places = [self._places.get(slot) for slot in slots]
        first = places[0][0] if places[0] is not None else None
        if first is not None and places == [(first, row) for row in range(len(first.mask))]:
            return first
        parts = [self._part(slot) for slot in slots]
        lengths = [part[self._past[0]].shape[1] for part in parts]
        longest = max(lengths)
        heads, size = self._shape
        past = {name: np.zeros((len(slots), heads, longest, size), np.float32) for name in self._past}
        mask = np.zeros((len(slots), longest), np.int64)
        for row, (part, length) in enumerate(zip(parts, lengths, strict=True)):
            mask[row, longest - length :] = 1
            for name in self._past:
                past[name][row, :, longest - length :] = part[name]
        group = _Group(past, mask)
        self._places |= {slot: (group, row) for row, slot in enumerate(slots)}
        return group

    def _part(self, slot: int) -> dict[str, Array]:
        """What a slot holds: shape (heads, tokens, head size)."""
        heads, size = self._shape
        if slot not in self._places:
            return {name: np.zeros((heads, 0, size), np.float32) for name in self._past}
        group, row = self._places[slot]
        start = group.mask.shape[1] - int(group.mask[row].sum())
        return {name: cached[row, :, start:] for name, cached in group.past.items()}

    def share(self, source: int, slot: int, count: int) -> None:
        """See `Decoder.share`; the cells are copied when the sequence is computed first."""
        self._put(slot, {name: part[:, :count] for name, part in self._part(source).items()})

    def truncate(self, slot: int, count: int) -> None:
        """See `Decoder.truncate`."""
        self._put(slot, {name: part[:, :count] for name, part in self._part(slot).items()})

    def _put(self, slot: int, part: dict[str, Array]) -> None:
        past = {name: array[None].copy() for name, array in part.items()}
        self._places[slot] = _Group(past, np.ones((1, past[self._past[0]].shape[2]), np.int64)), 0

    def save(self, slot: int, start: int) -> bytes:  # noqa: ARG002  # the Protocol's
        """See `Decoder.save`; `state_format` says that nothing is saved."""
        raise InferenceFailed("The cells of an ONNX graph are not saved.")

    def restore(self, slot: int, start: int, state: bytes) -> None:  # noqa: ARG002  # as above
        """See `Decoder.restore`."""
        raise InferenceFailed("The cells of an ONNX graph are not restored.")

    def forget(self, slot: int) -> None:
        """See `Decoder.forget`. The arrays go when no row of their group is left, or when the others go on."""
        self._places.pop(slot, None)

    def attach(self, adapter: str, path: Path) -> None:
        """Refuse: adapters are merged when a checkpoint is converted."""
        raise no_adapters(adapter, path)

    def close(self) -> None:
        """See `Decoder.close`."""
        self._places.clear()


def no_adapters(adapter: str, path: Path) -> ModelLoadFailed:
    """Why an adapter is not attached to a graph."""
    return ModelLoadFailed(
        f"{path} cannot be loaded as '{adapter}': ONNX graphs take no adapters.",
        remedy="Merge it: demotic convert BASE --adapter ADAPTER --to onnx.",
    )
