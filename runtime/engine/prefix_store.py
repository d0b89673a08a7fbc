"""Prefixes on disk: KV cells that outlive their place in the cache, and the process.

A prefix is kept in blocks of `BLOCK_CELLS` tokens, a file each (`runtime/engine/prefix_files.py`). A block's key is the
hash of its tokens and of the key before it; the first one has there the model, the format of its states and the
adapter. So prefixes that begin alike have their first files in common, the longest one that is there is found by asking
for one file after the other, no more is read than is used, and nothing need be kept in memory.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from runtime.backends.base import BLOCK_CELLS
from runtime.config import PrefixConfig
from runtime.engine.prefix_files import KEY_BYTES, BlockDamaged, delete_oldest, path_of, read_block, write_block
from runtime.errors import InferenceFailed
from runtime.models.files import sha256_of

_log = logging.getLogger("demotic.engine")


class Block(NamedTuple):
    """The tokens from the position `start` on, of all prefixes that are equal up to their end."""

    key: bytes
    start: int
    tokens: tuple[int, ...]


class PrefixStore:
    """The saved prefixes of one model. It is used from the engine's thread, and writes in a thread of its own."""

    def __init__(self, root: Path, model: str, config: PrefixConfig | None = None) -> None:
        """`model` tells the model and the format of its states from all others.

        Raises:
            OSError: the folder cannot be made.
        """
        self.config = config or PrefixConfig()
        self._root = root
        self._model = _hash(model.encode())
        self._folder = root / self._model.hex()
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._adapters: dict[str | None, bytes] = {None: b""}
        self._refused: set[bytes] = set()
        # What waits to be written, the first one being written now, by key; in the order of their coming.
        self._queue: dict[bytes, tuple[bytes, float]] = {}
        self._queued_bytes = 0
        self._changed = threading.Condition()
        self._is_closing = False
        self._is_broken = False
        self._writer = threading.Thread(target=self._write, name="demotic-prefixes", daemon=True)
        self._writer.start()

    def add_adapter(self, adapter: str, path: Path) -> None:
        """Note what an adapter is besides its name, which may be another file's tomorrow."""
        try:
            self._adapters[adapter] = file_hash(path)
        except OSError as fault:
            _log.warning("no prefixes are saved with the adapter %s: %s", adapter, fault)

    def find(self, tokens: Sequence[int], adapter: str | None) -> tuple[Block, ...]:
        """The blocks of the longest beginning of `tokens` that is there."""
        found = []
        for block in self._blocks(tokens, adapter):
            if not self._has(block):
                break
            found.append(block)
        return tuple(found)

    def restore(self, block: Block, put: Callable[[bytes], None]) -> bool:
        """Give a block's state to `put`; False where it has gone, is damaged, or `put` raises InferenceFailed."""
        try:
            put(read_block(self._folder, block.key))
        except FileNotFoundError:
            return False
        except (BlockDamaged, OSError, InferenceFailed) as fault:
            self._refuse(block, fault)
            return False
        self._touch(block, time.time())
        return True

    def save(
        self, tokens: Sequence[int], adapter: str | None, copy: Callable[[int], bytes], deadline: float = 0.0
    ) -> None:
        """Write what is not there yet of a prefix; `copy` gives the state of the block that starts at a position.

        Returns as soon as the states are copied. Where too much waits to be written already, it waits for that until
        `deadline` (of the monotonic clock), and then leaves the rest out.
        """
        used = time.time()
        for block in self._blocks(tokens, adapter):
            if block.key in self._queue:
                continue
            if self._has(block):
                self._touch(block, used)
                continue
            try:
                state = copy(block.start)
            except InferenceFailed as fault:
                _log.warning("a prefix could not be saved: %s", fault)
                return
            if not self._enqueue(block, state, used, deadline):
                return

    def close(self, deadline: float) -> None:
        """Wait until all is written, or until `deadline` (of the monotonic clock)."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._writer.join(max(0.0, deadline - time.monotonic()))

    def _blocks(self, tokens: Sequence[int], adapter: str | None) -> Iterator[Block]:
        if adapter not in self._adapters:
            return
        key = _hash(self._model + self._adapters[adapter])
        for start in range(0, len(tokens) - BLOCK_CELLS + 1, BLOCK_CELLS):
            held = tuple(tokens[start : start + BLOCK_CELLS])
            key = _hash(key + array("q", held).tobytes())
            yield Block(key, start, held)

    def _has(self, block: Block) -> bool:
        return block.key not in self._refused and path_of(self._folder, block.key).exists()

    def _touch(self, block: Block, used: float) -> None:
        stamp = _stamp(block, used)
        with suppress(OSError):  # it has gone, or is another user's
            os.utime(path_of(self._folder, block.key), (stamp, stamp))

    def _refuse(self, block: Block, fault: Exception) -> None:
        """Do without a block, and make room for a sound one."""
        path = path_of(self._folder, block.key)
        _log.warning("the saved prefix %s is ignored and deleted: %s", path, fault)
        try:
            path.unlink(missing_ok=True)
        except OSError:
            self._refused.add(block.key)

    def _enqueue(self, block: Block, state: bytes, used: float, deadline: float) -> bool:
        def can_go_on() -> bool:
            has_room = self._queued_bytes + len(state) <= self.config.max_queued_bytes
            return has_room or not self._queue or self._is_broken

        with self._changed:
            if not self._changed.wait_for(can_go_on, max(0.0, deadline - time.monotonic())) or self._is_broken:
                return False
            self._queue[block.key] = (state, _stamp(block, used))
            self._queued_bytes += len(state)
            self._changed.notify_all()
        return True

    def _write(self) -> None:
        """What the thread does."""
        # Looked through now and then, since others may write there too; so much is left free for what comes meanwhile.
        spare_bytes = self.config.max_bytes // 32
        written = spare_bytes
        while True:
            if written >= spare_bytes:
                delete_oldest(self._root, self.config.max_bytes - spare_bytes)
                written = 0
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._is_closing)
                if not self._queue:
                    return
                key, (state, stamp) = next(iter(self._queue.items()))
            try:
                written += write_block(self._folder, key, state, stamp)
            except OSError as fault:
                _log.warning("no more prefixes are saved until the next start: %s", fault)
                with self._changed:
                    self._is_broken = True
                    self._queue.clear()
                    self._changed.notify_all()
                return
            with self._changed:
                del self._queue[key]
                self._queued_bytes -= len(state)
                self._changed.notify_all()


def file_hash(path: Path, progress: Callable[[int], object] = lambda _num_bytes: None) -> bytes:
    """SHA-256 of a file; `progress` is told the size of each piece that has been read.

    Raises:
        OSError: it cannot be read.
    """
    return bytes.fromhex(sha256_of(path, progress))


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=KEY_BYTES).digest()


def _stamp(block: Block, used: float) -> float:
    """When a block counts as used: a little earlier than the one before it, without which it is of no use."""
    return used - block.start / BLOCK_CELLS / 1000
