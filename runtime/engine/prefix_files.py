"""Blocks of saved prefixes as files: written whole or not at all, refused where a byte is wrong, bounded all together.

    FOLDER/MODEL/KEY.kv: magic and version, 16 bytes | key, 32 | state | BLAKE2b-256 of all before, 32

MODEL and KEY are hashes (`runtime/engine/prefix_store.py`), in hexadecimal. Several processes may use the same folder:
a file may have gone at any time. What is not named like this is never touched.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from runtime.errors import ConfigurationInvalid

KEY_BYTES = 32

_MAGIC = b"demotic prefix 1"
_HEAD_BYTES = len(_MAGIC) + KEY_BYTES
_DIGEST_BYTES = 32
_SUFFIX, _NEW_SUFFIX = ".kv", ".new"
_HASH_PATTERN = f"[0-9a-f]{{{2 * KEY_BYTES}}}"
_FOLDER_NAME = re.compile(_HASH_PATTERN)
_FILE_NAME = re.compile(rf"{_HASH_PATTERN}({re.escape(_SUFFIX)}|\.\w+{re.escape(_NEW_SUFFIX)})")
# A file that was not finished for so long is what a process that was killed has left.
_STALE_SECONDS = 3600.0


class BlockDamaged(ValueError):
    """A file is not the block that it should be."""


def prepare(folder: Path) -> None:
    """Make the folder, for its user alone, and see that files can be written there.

    Raises:
        ConfigurationInvalid: they cannot.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as fault:
        raise ConfigurationInvalid(
            f"Prefixes cannot be saved in {folder}: {fault.strerror}.",
            remedy="Give a folder that you may write to.",
        ) from fault


def path_of(folder: Path, key: bytes) -> Path:
    """Where the block of `key` is in the folder of its model, if it is there."""
    return folder / f"{key.hex()}{_SUFFIX}"


def write_block(folder: Path, key: bytes, state: bytes, used: float) -> int:
    """Write a block, for its user alone to read, as last used at `used` (seconds since the epoch); the file's size.

    Raises:
        OSError: the storage refuses it.
    """
    content = _MAGIC + key + state
    content += _digest(content)
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=f"{key.hex()}.", suffix=_NEW_SUFFIX)  # its mode is 0600
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
        os.utime(temporary, (used, used))
        temporary.replace(path_of(folder, key))
    finally:
        temporary.unlink(missing_ok=True)
    return len(content)


def read_block(folder: Path, key: bytes) -> bytes:
    """The state in the block of `key`.

    Raises:
        BlockDamaged: the file has another content, or not all of it.
        OSError: it is not there, or cannot be read.
    """
    content = path_of(folder, key).read_bytes()
    if not content.startswith(_MAGIC):
        raise BlockDamaged("it does not begin as a saved prefix does")
    if _digest(content[:-_DIGEST_BYTES]) != content[-_DIGEST_BYTES:]:
        raise BlockDamaged("its checksum is wrong")
    if content[len(_MAGIC) : _HEAD_BYTES] != key:
        raise BlockDamaged("it belongs to other tokens, or to another model")
    return content[_HEAD_BYTES:-_DIGEST_BYTES]


def delete_oldest(root: Path, max_bytes: int) -> None:
    """Delete the blocks of all models that were not used for the longest time, until the rest has so many bytes."""
    files = []
    for folder in _entries(root, _FOLDER_NAME):
        for path in _entries(folder, _FILE_NAME):
            try:
                status = path.stat()
            except OSError:
                continue
            if path.suffix == _NEW_SUFFIX and status.st_mtime < time.time() - _STALE_SECONDS:
                _delete(path)
            else:
                files.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= max_bytes:
            return
        _delete(path)
        total -= size


def _entries(folder: Path, name: re.Pattern[str]) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if name.fullmatch(path.name)]
    except OSError:
        return []


def _delete(path: Path) -> None:
    with suppress(OSError):  # it has gone, or is another user's
        path.unlink()


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=_DIGEST_BYTES).digest()
