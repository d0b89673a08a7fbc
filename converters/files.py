"""Artefacts that are whole or not there: written under a hidden name beside the final one, then renamed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.errors import ConversionRefused


def require_free(path: Path, *, force: bool) -> None:
    """Refuse a name that is taken, unless `force`, and a folder that is not there.

    Raises:
        ConversionRefused: with what to do.
    """
    if path.is_dir() or (path.exists() and not force):
        raise ConversionRefused(f"{path} exists already.", remedy="Choose another name with -o, or add --force.")
    if not path.parent.is_dir():
        raise ConversionRefused(f"There is no folder {path.parent}.", remedy="Make it first.")


def require_space(path: Path, num_bytes: int) -> None:
    """Refuse a file that the disk has no room for.

    Raises:
        ConversionRefused: with both figures.
    """
    free = shutil.disk_usage(path.parent).free
    if free < num_bytes:
        raise ConversionRefused(
            f"{path} needs {num_bytes / 1e9:.2f} GB, but its disk has {free / 1e9:.2f} GB free.",
            remedy="Free some, or choose another disk with -o.",
        )


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """A name to write to that becomes `path` at the end; whatever goes wrong, nothing is left of it.

    Raises:
        ConversionRefused: the disk is full or refuses the file.
    """
    with scratch_beside(path) as temporary:
        yield temporary
        temporary.replace(path)


@contextmanager
def scratch_beside(path: Path) -> Iterator[Path]:
    """A name to write to that is gone at the end.

    Raises:
        ConversionRefused: the disk is full or refuses the file.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield scratch
    except OSError as fault:
        raise _ours(fault, path) from fault
    finally:
        scratch.unlink(missing_ok=True)


def _ours(fault: OSError, path: Path) -> ConversionRefused:
    if fault.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ConversionRefused(
            f"There is no space left for {path}.", remedy="Free some, or choose another disk with -o."
        )
    return ConversionRefused(f"{path} cannot be written: {(fault.strerror or str(fault)).rstrip('.')}.")
