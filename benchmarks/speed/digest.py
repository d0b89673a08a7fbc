"""Which model it was: the SHA-256 of its file, or of all files of its folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from runtime.models.files import read_blocks


def digest_of(path: Path) -> tuple[str, int]:
    """SHA-256 and bytes of a file; of a folder those of a listing of its files, `sha256sum`'s, and their sum."""
    if path.is_file():
        digest, size = hashlib.sha256(), 0
        for block in read_blocks(path):
            digest.update(block)
            size += len(block)
        return digest.hexdigest(), size
    files = sorted(one for one in path.rglob("*") if one.is_file())
    found = [(one.relative_to(path).as_posix(), *digest_of(one)) for one in files]
    listing = "".join(f"{digest}  {name}\n" for name, digest, _ in found)
    return hashlib.sha256(listing.encode()).hexdigest(), sum(size for _, _, size in found)
