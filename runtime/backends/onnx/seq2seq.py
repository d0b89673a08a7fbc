"""An encoder-decoder over two ONNX graphs: sources read once, and answers that look at them.

The engine's scheduler sees it as a `Decoder` with slots; beam search takes whole `Rows`. Both compute in the same way:
sequences that are equally long are one call of the decoder, and those that were computed together in the step before
are so again without a copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from runtime.backends.base import Chunk, Logits, RowDecoder, Source, SourceEncoder
from runtime.backends.onnx.decoder import no_adapters
from runtime.backends.onnx.optimum import open_graphs
from runtime.backends.onnx.rows import LOGITS, DecoderGraph, OnnxRows, joined
from runtime.backends.onnx.session import padded
from runtime.errors import InferenceFailed
from runtime.hardware.plan import Plan
from runtime.models.onnx_folder import OnnxFolder
from runtime.models.onnx_settings import broken


class OnnxEncoderDecoder:
    """`Decoder`, `SourceEncoder` and `RowDecoder` of one model."""

    sources: SourceEncoder | None
    rows: RowDecoder | None
    state_format: str | None = None
    reads_anew = False

    def __init__(self, folder: OnnxFolder, plan: Plan) -> None:
        """Load the graphs of a folder as `plan` says.

        Raises:
            ModelFileInvalid, ModelLoadFailed: as `OnnxSession`; or the settings do not say how answers begin.
        """
        settings = folder.settings
        start = settings.tokens.decoder_start
        if start is None:
            raise broken(folder.path, "does not say which token answers begin with")
        graphs = open_graphs(folder, plan)
        self._encoder, self._cross = graphs["encoder"], settings.outputs["encoder"]
        past = [name for name in settings.inputs["decoder"] if name.startswith("past.")]
        present = [name for name in settings.outputs["decoder"] if name != LOGITS]
        self._decoder = DecoderGraph(graphs["decoder"], past, present)
        self._cache_shape = settings.sizes.heads, settings.sizes.head_size
        self._pad = settings.tokens.pad or 0
        self.vocabulary_size = settings.sizes.vocabulary
        self.context_length = plan.context_length
        self.start: tuple[int, ...] = (start,)
        self.max_sequences = self.num_slots = self.max_rows = plan.max_sequences
        # Every sequence may be as long as it likes: memory is taken as they grow, and given back.
        self.num_cells = self.max_sequences * (self.context_length + len(self.start) + 1)
        self.batch_size = self.max_sequences * self.context_length
        self.ends = settings.tokens.eos
        self.sources, self.rows = self, self
        # Which row of which group each slot is, and the source that it looks at.
        self._places: dict[int, tuple[OnnxRows, int]] = {}
        self._sources: dict[int, tuple[int, ...]] = {}

    def read(self, sources: Sequence[Sequence[int]]) -> OnnxRows:
        """See `RowDecoder.read`."""
        ids, mask = padded(sources, self._pad), padded([[1] * len(tokens) for tokens in sources], 0)
        found = self._encoder.run(self._cross, {"input_ids": ids, "attention_mask": mask})
        cross = dict(zip(self._cross, found, strict=True))
        heads, size = self._cache_shape
        past = {name: np.zeros((len(sources), heads, 0, size), np.float32) for name in self._decoder.past}
        return OnnxRows(self._decoder, cross, mask, past, np.arange(len(sources)))

    def encode(self, sources: Sequence[Source], adapter: str | None = None) -> None:
        """See `SourceEncoder.encode`. What a slot looks at already is not read again."""
        _no_adapter(adapter)
        wanted = {slot: tuple(source.tokens) for source in sources for slot in source.slots}
        for slot in [slot for slot, tokens in self._sources.items() if wanted.get(slot) != tokens]:
            self.forget(slot)
        new = [slot for slot in wanted if slot not in self._places]
        texts = list(dict.fromkeys(wanted[slot] for slot in new))
        if not texts:
            return
        rows = self.read(texts)
        rows.keep(np.array([texts.index(wanted[slot]) for slot in new]))
        for row, slot in enumerate(new):
            self._places[slot], self._sources[slot] = (rows, row), wanted[slot]

    def forward(self, chunks: Sequence[Chunk], adapter: str | None = None) -> Logits:
        """See `Decoder.forward`."""
        _no_adapter(adapter)
        alike: dict[tuple[int, int, int], list[int]] = {}
        for index, chunk in enumerate(chunks):
            alike.setdefault((chunk.position, len(chunk.tokens), chunk.num_logits), []).append(index)
        found: dict[int, Logits] = {}
        for (_, _, num_logits), indices in alike.items():
            rows = self._together([chunks[index].slot for index in indices])
            tokens = np.array([chunks[index].tokens for index in indices], np.int64)
            logits = rows.step(tokens, num_logits)
            found |= dict(zip(indices, logits, strict=True))
        return np.concatenate([found[index] for index in range(len(chunks))])

    def _together(self, slots: Sequence[int]) -> OnnxRows:
        """The rows of these slots, which are equally long, as one group."""
        groups: dict[int, tuple[OnnxRows, list[int], list[int]]] = {}
        for slot in slots:
            if slot not in self._places:
                raise InferenceFailed(f"The sequence in slot {slot} has no source.")
            rows, row = self._places[slot]
            _, chosen, members = groups.setdefault(id(rows), (rows, [], []))
            chosen.append(row)
            members.append(slot)
        parts = list(groups.values())
        if len(parts) == 1 and parts[0][1] == list(range(parts[0][0].num_rows)):
            return parts[0][0]
        group = joined([(rows, np.array(chosen)) for rows, chosen, _ in parts])
        # In the order of the parts; `forward` asks in that order again, since what runs stays in its order.
        self._places |= {slot: (group, row) for row, slot in enumerate(one for part in parts for one in part[2])}
        if [one for part in parts for one in part[2]] != list(slots):
            group.keep(np.array([self._places[slot][1] for slot in slots]))
            self._places |= {slot: (group, row) for row, slot in enumerate(slots)}
        return group

    def share(self, source: int, slot: int, count: int) -> None:  # noqa: ARG002  # the Protocol's
        """See `Decoder.share`: answers to sources have nothing in common, and the scheduler does not ask for it."""
        raise _never("share cells")

    def truncate(self, slot: int, count: int) -> None:  # noqa: ARG002  # as above
        """See `Decoder.truncate`: nothing is guessed ahead for an encoder-decoder."""
        raise _never("let go of cells")

    def save(self, slot: int, start: int) -> bytes:  # noqa: ARG002  # as above
        """See `Decoder.save`: `state_format` says that nothing is saved."""
        raise _never("save cells")

    def restore(self, slot: int, start: int, state: bytes) -> None:  # noqa: ARG002  # as above
        """See `Decoder.restore`."""
        raise _never("restore cells")

    def forget(self, slot: int) -> None:
        """See `Decoder.forget`. The arrays go when no row of their group is left, or when the others go on."""
        self._places.pop(slot, None)
        self._sources.pop(slot, None)

    def attach(self, adapter: str, path: Path) -> None:
        """Refuse: adapters are merged when a checkpoint is converted."""
        raise no_adapters(adapter, path)

    def close(self) -> None:
        """See `Decoder.close`."""
        self._places.clear()
        self._sources.clear()


def _no_adapter(adapter: str | None) -> None:
    if adapter is not None:
        raise InferenceFailed(f"ONNX graphs take no adapter such as {adapter}.")


def _never(what: str) -> InferenceFailed:
    return InferenceFailed(f"An encoder-decoder does not {what}.")
