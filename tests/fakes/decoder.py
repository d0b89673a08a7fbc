"""A decoder and a tokenizer small enough to reason about: they implement the engine's real Protocols."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from runtime.backends.base import BLOCK_CELLS, Chunk, Logits, RowDecoder, Source, SourceEncoder
from runtime.errors import InferenceFailed

END = 0
# What the answers of an encoder-decoder begin with.
START = 256


class ByteTokenizer:
    """Token n + 1 is byte n; token 0 ends the answer."""

    vocabulary_size = 257

    def encode(self, text: str, *, parse_special: bool, is_beginning: bool = True) -> list[int]:
        return [byte + 1 for byte in text.encode()]

    def token_bytes(self, token: int) -> bytes:
        return b"" if token == END else bytes([token - 1])

    def is_end(self, token: int) -> bool:
        return token == END

    def token_text(self, token: int) -> str:
        return "</s>" if token == END else chr(token - 1)


class ScriptedDecoder:
    """A KV cache that checks itself, and logits that follow `next_token(tokens so far)`.

    Every step's chunks are kept in `steps` and its adapter in `adapters`; `fail_at` names the step that fails.
    """

    sources: SourceEncoder | None = None
    rows: RowDecoder | None = None
    vocabulary_size = ByteTokenizer.vocabulary_size
    state_format: str | None = "scripted"

    def __init__(
        self,
        next_token: Callable[[list[int]], int],
        *,
        context_length: int = 64,
        num_cells: int = 64,
        batch_size: int = 16,
        max_sequences: int = 4,
    ) -> None:
        self.next_token = next_token
        self.context_length = context_length
        self.num_cells = num_cells
        self.batch_size = batch_size
        self.max_sequences = max_sequences
        self.num_slots = 2 * max_sequences
        # What each slot sees: cells, each a list of its token and adapter, so that shared ones are the same object.
        self.cells: dict[int, list[list[Any]]] = defaultdict(list)
        self.steps: list[list[Chunk]] = []
        self.adapters: list[str | None] = []
        self.attached: dict[str, Path] = {}
        self.fail_at: int | None = None
        self.most_cells = 0
        self.is_closed = False

    def forward(self, chunks: Sequence[Chunk], adapter: str | None = None) -> Logits:
        assert 0 < sum(len(chunk.tokens) for chunk in chunks) <= self.batch_size
        assert len({chunk.slot for chunk in chunks}) == len(chunks)
        assert adapter is None or adapter in self.attached
        self.steps.append(list(chunks))
        self.adapters.append(adapter)
        if self.fail_at == len(self.steps) - 1:
            raise InferenceFailed("The backend failed.")
        rows = []
        for chunk in chunks:
            assert 0 <= chunk.slot < self.num_slots
            assert chunk.position == len(self.cells[chunk.slot])
            cells = self.cells[chunk.slot]
            cells.extend([token, adapter] for token in chunk.tokens)
            assert all(cell[1] == adapter for cell in cells)
            for end in range(len(cells) - chunk.num_logits + 1, len(cells) + 1):
                row = np.zeros(self.vocabulary_size, np.float32)
                row[self.next_token([*self.source_of(chunk.slot), *(cell[0] for cell in cells[:end])])] = 10
                rows.append(row)
        self.most_cells = max(self.most_cells, self.num_used)
        assert self.num_used <= self.num_cells
        return np.array(rows, np.float32).reshape(-1, self.vocabulary_size)

    def source_of(self, slot: int) -> Sequence[int]:
        """What the sequence in `slot` looks at besides its own tokens."""
        return ()

    def share(self, source: int, slot: int, count: int) -> None:
        assert not self.cells[slot]
        assert 0 < count <= len(self.cells[source])
        self.cells[slot] = self.cells[source][:count]

    def truncate(self, slot: int, count: int) -> None:
        assert 0 < count < len(self.cells[slot])
        # Another list, for a slot that shares these cells keeps them.
        self.cells[slot] = self.cells[slot][:count]

    def save(self, slot: int, start: int) -> bytes:
        held = self.cells[slot][start : start + BLOCK_CELLS]
        assert len(held) == BLOCK_CELLS
        return json.dumps([start, held]).encode()

    def restore(self, slot: int, start: int, state: bytes) -> None:
        assert start == len(self.cells[slot])
        try:
            saved_start, held = json.loads(state)
        except ValueError as fault:
            raise InferenceFailed("The backend cannot read it.") from fault
        assert saved_start == start
        self.cells[slot] = [*self.cells[slot], *held]
        self.most_cells = max(self.most_cells, self.num_used)
        assert self.num_used <= self.num_cells

    def forget(self, slot: int) -> None:
        self.cells.pop(slot, None)

    def attach(self, adapter: str, path: Path) -> None:
        self.attached[adapter] = path

    def close(self) -> None:
        self.is_closed = True

    @property
    def num_used(self) -> int:
        return len({id(cell) for cells in self.cells.values() for cell in cells})


class ScriptedSeq2Seq(ScriptedDecoder):
    """An encoder-decoder whose logits follow `next_token(source, the start token, and the answer so far)`.

    What was encoded together is kept in `encoded`, `fail_encoding` makes the next one fail, and `on_encode` is called
    in each.
    """

    def __init__(
        self, next_token: Callable[[list[int]], int], *, source_length: int = 16, source_batch: int = 24, **sizes: int
    ) -> None:
        super().__init__(next_token, **sizes)
        self.num_slots = self.max_sequences
        self.sources = ScriptedSources(self, source_length, source_batch)
        self.encoded: list[list[Source]] = []
        self.encoded_with: list[str | None] = []
        self.seen: dict[int, Sequence[int]] = {}
        self.fail_encoding = False
        self.on_encode: Callable[[], object] = lambda: None

    def source_of(self, slot: int) -> Sequence[int]:
        return self.seen[slot]

    def forward(self, chunks: Sequence[Chunk], adapter: str | None = None) -> Logits:
        assert adapter == self.encoded_with[-1]
        return super().forward(chunks, adapter)

    def share(self, source: int, slot: int, count: int) -> None:
        raise AssertionError("answers to different sources have nothing in common")


class ScriptedSources:
    """The encoder of a `ScriptedSeq2Seq`."""

    reads_anew = True

    def __init__(self, decoder: ScriptedSeq2Seq, context_length: int, batch_size: int) -> None:
        self.context_length = context_length
        self.batch_size = batch_size
        self.start: tuple[int, ...] = (START,)
        self._decoder = decoder

    def encode(self, sources: Sequence[Source], adapter: str | None = None) -> None:
        decoder = self._decoder
        assert sum(len(source.tokens) * len(source.slots) for source in sources) <= self.batch_size
        decoder.seen = {}
        if decoder.fail_encoding:
            decoder.fail_encoding = False
            raise InferenceFailed("The encoder failed.")
        decoder.on_encode()
        decoder.encoded.append(list(sources))
        decoder.encoded_with.append(adapter)
        decoder.seen = {slot: source.tokens for source in sources for slot in source.slots}


def answer_with(text: str, prompt: str) -> Callable[[list[int]], int]:
    """A model that knows one prompt and answers it with `text`."""
    answer = [byte + 1 for byte in text.encode()] + [END]
    return lambda tokens: answer[len(tokens) - len(prompt.encode())]
