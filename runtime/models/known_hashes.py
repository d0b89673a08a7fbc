"""The SHA-256 of large files, computed once as long as they stay as they are."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from runtime.models.files import Progress, told_sha256, write_atomically


class _Known(msgspec.Struct, frozen=True):
    size: int
    modified_ns: int
    sha256: str


class KnownHashes:
    """Under `folder` a note for each file: its size and time when it was read, and its hash then."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def sha256(self, path: Path, progress: Progress) -> str:
        """The SHA-256 of a file, which is read only where it is not known or has changed.

        Raises:
            OSError: it cannot be read.
        """
        state = path.stat()
        place = hashlib.sha256(str(path.resolve()).encode(errors="surrogateescape")).hexdigest()
        note = self._folder / f"{place}.json"
        try:
            known = msgspec.json.decode(note.read_bytes(), type=_Known)
        except (OSError, msgspec.MsgspecError):
            known = None
        if known is not None and (known.size, known.modified_ns) == (state.st_size, state.st_mtime_ns):
            return known.sha256
        found = told_sha256(path, progress)
        write_atomically(note, msgspec.json.encode(_Known(state.st_size, state.st_mtime_ns, found)).decode())
        return found
