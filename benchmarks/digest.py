"""Which files something was measured on: the SHA-256 of a file, or of all files of a folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from runtime.models.files import sha256_of


def digest_of(path: Path) -> tuple[str, int]:
    """SHA-256 and bytes of a file; of a folder those of a listing of its files, `sha256sum`'s, and their sum."""
    if path.is_file():
        return sha256_of(path), path.stat().st_size
    files = sorted(one for one in path.rglob("*") if one.is_file())
    found = [(one.relative_to(path).as_posix(), *digest_of(one)) for one in files]
    listing = "".join(f"{digest}  {name}\n" for name, digest, _ in found)
    return hashlib.sha256(listing.encode()).hexdigest(), sum(size for _, _, size in found)
