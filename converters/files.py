"""Artefacts that are whole or not there: written under a hidden name beside the final one, then renamed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.errors import ConversionRefused, InvalidRequest


def require_free(path: Path, *, force: bool) -> None:
    """Refuse a name that is taken, unless `force`, and a folder that is not there.

    Raises:
        ConversionRefused: with what to do.
    """
    if path.is_dir() or (path.exists() and not force):
        raise ConversionRefused(f"{path} exists already.", remedy="Choose another name with -o, or add --force.")
    if not path.parent.is_dir():
        raise ConversionRefused(f"There is no folder {path.parent}.", remedy="Make it first.")


def require_other(path: Path, read: Iterable[Path]) -> None:
    """Refuse to write what is read.

    Raises:
        InvalidRequest: with what to do.
    """
    if path.exists() and any(each.exists() and path.samefile(each) for each in read):
        what = "folder" if path.is_dir() else "file"
        raise InvalidRequest(f"{path} is a {what} to read from.", remedy="Choose another name with -o.")


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


def require_free_folder(path: Path, *, force: bool, mark: str) -> None:
    """Refuse a name that is taken, and with `force` all but an empty folder or one that holds a file named `mark`.

    Raises:
        ConversionRefused: with what to do.
    """
    if path.exists() and not force:
        raise ConversionRefused(f"{path} exists already.", remedy="Choose another name with -o, or add --force.")
    if path.exists() and not (path.is_dir() and ((path / mark).is_file() or not any(path.iterdir()))):
        raise ConversionRefused(
            f"{path} is not what was converted before, so it is not overwritten.", remedy="Choose another name with -o."
        )
    if not path.resolve().parent.is_dir():
        raise ConversionRefused(f"There is no folder {path.parent}.", remedy="Make it first.")


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """An empty folder that becomes `path` at the end, in place of what is there; whatever goes wrong, nothing is left.

    Raises:
        ConversionRefused: the disk is full or refuses a file.
    """
    path = path.resolve()
    scratch = path.with_name(f".{path.name}.{os.getpid()}.partial")
    before = path.with_name(f".{path.name}.{os.getpid()}.before")
    try:
        scratch.mkdir()
        yield scratch
        if path.exists():
            path.replace(before)
        scratch.replace(path)
    except OSError as fault:
        raise _ours(fault, path) from fault
    finally:
        if before.exists() and not path.exists():
            before.replace(path)
        for left in (scratch, before):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def folder_of_parts(path: Path, *, force: bool) -> Iterator[Path]:
    """An empty folder whose files go beside `path` at the end, the one of its name last; or none of them.

    Raises:
        ConversionRefused: a name is taken, unless `force`; or the disk is full or refuses a file.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.partial")
    placed: list[Path] = []
    try:
        scratch.mkdir()
        yield scratch
        files = sorted(scratch.iterdir(), key=lambda file: (file.name == path.name, file.name))
        targets = [path.with_name(file.name) for file in files]
        for target in targets:
            require_free(target, force=force)
        for file, target in zip(files, targets, strict=True):
            if not target.exists():
                placed.append(target)
            file.replace(target)
        placed.clear()
    except OSError as fault:
        raise _ours(fault, path) from fault
    finally:
        for target in placed:
            target.unlink(missing_ok=True)
        shutil.rmtree(scratch, ignore_errors=True)


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
