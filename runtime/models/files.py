"""Small tools for files that must be whole or not there: a lock, an atomic write, a progress report."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from runtime.errors import ConfigurationInvalid, DemoticError, DownloadFailed

BLOCK_BYTES = 1 << 20
_SILENT_BYTES = 1 << 25


class Progress(Protocol):
    """Who is told how far a long piece of work has come; sizes in bytes."""

    def start(self, title: str, total_bytes: int | None) -> None:
        """The work begins; `total_bytes` is None where it is not known."""

    def advance(self, num_bytes: int) -> None:
        """So many more bytes are done."""

    def finish(self) -> None:
        """The work is over, well or badly; called once for each `start`."""


class NoProgress:
    """A report to nobody."""

    def start(self, title: str, total_bytes: int | None) -> None:
        """Say nothing."""

    def advance(self, num_bytes: int) -> None:
        """Say nothing."""

    def finish(self) -> None:
        """Say nothing."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, against other processes and threads; waits until it is free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # let go when the file is closed, also by a crash
        yield


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file, text in UTF-8, so that a reader sees the old or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".new")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content.encode() if isinstance(content, str) else content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, a megabyte at a time."""
    with path.open("rb") as handle:
        while block := handle.read(BLOCK_BYTES):
            yield block


def sha256_of(path: Path, on_read: Callable[[int], object] = lambda _num_bytes: None) -> str:
    """The SHA-256 of a file in hexadecimal; `on_read` is told the size of each piece that has been read.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    for block in read_blocks(path):
        digest.update(block)
        on_read(len(block))
    return digest.hexdigest()


def told_sha256(path: Path, progress: Progress) -> str:
    """The SHA-256 of a file; `progress` is told of one that takes longer than anybody waits for without wondering.

    Raises:
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    if size <= _SILENT_BYTES:
        return sha256_of(path)
    progress.start(f"Checking {path.name}", size)
    try:
        return sha256_of(path, progress.advance)
    finally:
        progress.finish()


def storage_fault(fault: OSError, path: Path) -> DemoticError:
    """The error to show when the machine's own storage refuses a file."""
    if fault.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DownloadFailed(
            f"There is no space left for {path}.",
            remedy="Free some, or point DEMOTIC_CACHE_DIR at a larger disk.",
        )
    reason = (fault.strerror or str(fault)).rstrip(".")
    return ConfigurationInvalid(
        f"{path} cannot be written: {reason}.",
        remedy="Point DEMOTIC_CACHE_DIR at a folder that you may write to.",
    )
