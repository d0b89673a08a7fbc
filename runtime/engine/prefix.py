"""The KV cache seen from the engine: slots, cells, and finished sequences kept for requests that begin alike.

A slot is one sequence's view of the cache; a cell holds one token's keys and values and may be seen from many slots.
Sharing a prefix makes its cells visible from another slot: nothing is copied and nothing is computed. Cells that were
computed with one adapter are of no use with another. Where there is a store, the cells of kept sequences are saved
before they go, and what it has of a sequence's beginning is restored (`runtime/engine/prefix_store.py`).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence as Tokens
from functools import partial
from typing import NamedTuple

from runtime.backends.base import BLOCK_CELLS, Decoder
from runtime.engine.prefix_store import Block, PrefixStore

# Below this many tokens a shared prefix saves less than a step, and only makes the next batch's shape an unusual one;
# unless it is all there is to compute, as with several answers to one short prompt.
MIN_SHARED = 32


class Match(NamedTuple):
    """What there is of a sequence's beginning: the first `length` cells of `slot`, then saved blocks."""

    slot: int | None
    length: int
    blocks: tuple[Block, ...] = ()

    @property
    def num_tokens(self) -> int:
        """Tokens that need not be computed."""
        return self.length + len(self.blocks) * BLOCK_CELLS


class KVCache:
    """Knows for every slot which tokens its cells hold, and for every cell how many slots see it."""

    def __init__(self, decoder: Decoder, store: PrefixStore | None = None) -> None:
        self._decoder = decoder
        self._store = store
        self._free_slots = list(range(decoder.num_slots))
        self._free_cells = list(range(decoder.num_cells))
        self._viewers = [0] * decoder.num_cells
        self._cells: dict[int, list[int]] = {}
        self._tokens: dict[int, list[int]] = {}
        self._adapters: dict[int, str | None] = {}
        # Slots of finished sequences, the least recently used first.
        self._kept: OrderedDict[int, None] = OrderedDict()

    @property
    def num_free_cells(self) -> int:
        """Cells that no slot sees, kept ones not counted."""
        return len(self._free_cells)

    @property
    def num_kept(self) -> int:
        """Finished sequences that are kept."""
        return len(self._kept)

    def match(self, tokens: Tokens[int], adapter: str | None) -> Match | None:
        """The slot, live or kept, that holds the longest beginning of `tokens` worth sharing, computed with `adapter`.

        Where the store holds more, that goes on from the last whole block of the slot.
        The last token is always left to be computed, since its logits are what the request is after.
        """
        wanted = list(tokens[:-1])
        best = max(
            (
                Match(slot, common_prefix(held, wanted))
                for slot, held in self._tokens.items()
                if self._adapters[slot] == adapter
            ),
            key=lambda match: match.length,
            default=None,
        )
        if best is not None and best.length < least_shared(tokens):
            best = None
        blocks = self._store.find(wanted, adapter) if self._store is not None else ()
        length = best.length if best is not None else 0
        if len(blocks) * BLOCK_CELLS < length + MIN_SHARED:
            return best
        num_shared = length // BLOCK_CELLS
        return Match(best.slot if best and num_shared else None, num_shared * BLOCK_CELLS, blocks[num_shared:])

    def make_room(self, num_cells: int, spare: Match | None = None) -> bool:
        """Let go of kept sequences, but not of `spare`, until so many cells are free; False if they never are."""
        for slot in list(self._kept):
            if len(self._free_cells) >= num_cells:
                break
            if spare is None or slot != spare.slot:
                self._evict(slot)
        return len(self._free_cells) >= num_cells

    def open(self, match: Match | None, adapter: str | None) -> tuple[int, int]:
        """Take a slot that begins with what `match` holds, or empty, to be computed with `adapter`.

        Returns it with the number of its tokens, which may be less than was saved: what cannot be read is left out.
        There must be fewer sequences running than may run.
        """
        if not self._free_slots:
            # More slots than may run, all but the running ones kept: there is always another than the matching one.
            self._evict(next(slot for slot in self._kept if match is None or slot != match.slot))
        slot = self._free_slots.pop()
        self._cells[slot], self._tokens[slot], self._adapters[slot] = [], [], adapter
        if match is not None and match.slot is not None:
            self._decoder.share(match.slot, slot, match.length)
            self._cells[slot] = self._cells[match.slot][: match.length]
            self._tokens[slot] = self._tokens[match.slot][: match.length]
            for cell in self._cells[slot]:
                self._viewers[cell] += 1
            if match.slot in self._kept:
                self._kept.move_to_end(match.slot)
        if match is not None:
            self._restore(slot, match.blocks)
        return slot, len(self._tokens[slot])

    def extend(self, slot: int, tokens: Tokens[int]) -> None:
        """Note that a step has appended `tokens` to `slot`."""
        for token in tokens:
            cell = self._free_cells.pop()
            self._viewers[cell] = 1
            self._cells[slot].append(cell)
            self._tokens[slot].append(token)

    def cut(self, slot: int) -> None:
        """Free what a step has appended to `slot` beyond what was noted: guesses that proved wrong."""
        self._decoder.truncate(slot, len(self._tokens[slot]))

    def keep(self, slot: int) -> None:
        """Let a finished sequence's cells be found by later requests, until they are needed."""
        tokens = self._tokens[slot]
        if len(tokens) < MIN_SHARED or self._decoder.num_slots == self._decoder.max_sequences:
            self._evict(slot)
            return
        # An earlier turn of the same conversation is the beginning of this one: it has nothing of its own any more.
        for other in [other for other in self._kept if self._is_beginning(other, slot)]:
            self.drop(other)
        self._kept[slot] = None

    def drop(self, slot: int) -> None:
        """Free a slot, and those of its cells that no other slot sees."""
        self._kept.pop(slot, None)
        self._decoder.forget(slot)
        for cell in self._cells.pop(slot):
            self._viewers[cell] -= 1
            if self._viewers[cell] == 0:
                self._free_cells.append(cell)
        del self._tokens[slot], self._adapters[slot]
        self._free_slots.append(slot)

    def close(self) -> None:
        """Save what is kept, the most recently used first, for as long as there is time."""
        if self._store is None:
            return
        deadline = time.monotonic() + self._store.config.close_seconds
        for slot in reversed(self._kept):
            self._save(slot, deadline)
        self._store.close(deadline)

    def _evict(self, slot: int) -> None:
        """Drop a finished sequence, and save it first."""
        self._save(slot)
        self.drop(slot)

    def _save(self, slot: int, deadline: float = 0.0) -> None:
        if self._store is not None:
            copy = partial(self._decoder.save, slot)
            self._store.save(self._tokens[slot], self._adapters[slot], copy, deadline)

    def _restore(self, slot: int, blocks: Tokens[Block]) -> None:
        """Append saved blocks, as many as can be read in time and have room."""
        if self._store is None:
            return
        deadline = time.monotonic() + self._store.config.read_seconds
        for block in blocks:
            if len(self._free_cells) < BLOCK_CELLS or time.monotonic() > deadline:
                return
            if not self._store.restore(block, partial(self._decoder.restore, slot, block.start)):
                return
            self.extend(slot, block.tokens)

    def _is_beginning(self, one: int, other: int) -> bool:
        held = self._tokens[one]
        return self._adapters[one] == self._adapters[other] and held == self._tokens[other][: len(held)]


def least_shared(tokens: Tokens[int]) -> int:
    """How much of the beginning of `tokens` must be there already to be worth sharing."""
    return max(1, min(MIN_SHARED, len(tokens) - 1))


def common_prefix(one: Tokens[int], other: Tokens[int]) -> int:
    """Length of the longest common beginning; by halving, since comparing slices costs next to nothing."""
    low, high = 0, min(len(one), len(other))
    if one[:MIN_SHARED] != other[:MIN_SHARED]:
        high = min(high, MIN_SHARED)
    if one[:high] == other[:high]:
        return high
    # Always true below: they are equal up to `low`, and differ before `high`.
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low
