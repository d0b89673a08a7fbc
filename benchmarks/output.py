"""Where a document goes: standard output, or a file that is whole or not there."""

from __future__ import annotations

from pathlib import Path

from runtime.errors import InvalidRequest
from runtime.models.files import write_atomically


def check_free(path: Path, *, force: bool) -> None:
    """Refuse a name that is taken, unless `force`, and a folder that is not there.

    Raises:
        InvalidRequest: with what to do.
    """
    if path.is_dir() or (path.exists() and not force):
        raise InvalidRequest(f"{path} exists already.", remedy="Choose another name, or add --force.")
    if not path.parent.is_dir():
        raise InvalidRequest(f"There is no folder {path.parent}.", remedy="Make it first.")


def deliver(document: str, path: Path | None) -> None:
    """Write the document to `path`, or print it.

    Raises:
        InvalidRequest: the file cannot be written.
    """
    if path is None:
        print(document, flush=True)
        return
    try:
        write_atomically(path, f"{document}\n")
    except OSError as fault:
        raise InvalidRequest(f"{path} cannot be written: {fault.strerror}.") from fault
