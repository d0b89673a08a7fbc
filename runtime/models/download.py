"""Fetching one file of the hub: over as many connections and runs as it takes, checked before it is anything.

The bytes come over httpx and not through huggingface-hub's own download, which from version 2 on throws the partial
file of a cut download away, so that a second run cannot go on from it.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from runtime.errors import DownloadFailed
from runtime.models.files import Progress, read_blocks, storage_fault
from runtime.models.hub import TIMEOUT_SECONDS, RemoteFile, Repository, address_of, first_line, mapped

PARTIAL_SUFFIX = ".partial"
# Seconds before the next attempt after a cut; an attempt that brought new bytes starts the row again.
PAUSES = (1.0, 2.0, 4.0)


def download(repository: Repository, file: RemoteFile, target: Path, progress: Progress) -> tuple[Path, str]:
    """Fetch a file to `target` plus '.partial', going on from what an earlier run left there.

    Returns the path of the whole partial file and its SHA-256, which is the one the hub promised where it promised
    one; giving the file its final name is the caller's part.

    Raises:
        DownloadFailed: cut for good (the partial stays), refused, no space, or other bytes than promised.
        ModelNotFound: the file is gone from the hub.
        ConfigurationInvalid: the folder cannot be written.
    """
    partial = target.with_name(target.name + PARTIAL_SUFFIX)
    progress.start(f"Downloading {file.path}", file.size)
    try:
        transfer = _Transfer(repository, file, partial, progress)
        _persist(transfer)
    except OSError as fault:  # the network's are mapped where they arise
        raise storage_fault(fault, partial) from fault
    finally:
        progress.finish()
    digest = transfer.digest.hexdigest()
    if file.sha256 is not None and digest != file.sha256:
        partial.unlink(missing_ok=True)
        raise DownloadFailed(
            f"The hub sent other bytes for {file.path} than it promised: their SHA-256 is {digest}, not {file.sha256}.",
            remedy="Nothing was kept; try again.",
        )
    return partial, digest


class _Cut(Exception):
    """The connection ended before the file did: not an error yet, for the transfer goes on."""


class _Transfer:
    """The state of one file's transfer over several connections."""

    def __init__(self, repository: Repository, file: RemoteFile, partial: Path, progress: Progress) -> None:
        self.repository = repository
        self.file = file
        self.partial = partial
        self.progress = progress
        self.digest = hashlib.sha256()
        self.num_bytes = 0
        partial.parent.mkdir(parents=True, exist_ok=True)
        if partial.is_file() and partial.stat().st_size > file.size:
            partial.unlink()  # more than the whole: no part of it
        self._require_space()
        for block in read_blocks(partial) if partial.is_file() else ():
            self._count(block)

    def is_done(self) -> bool:
        """Whether all bytes are there."""
        return self.num_bytes == self.file.size

    def run(self) -> None:
        """Ask for what is missing and write it.

        Raises:
            _Cut: the connection ended early, or the hub is busy for the moment.
        """
        url, headers = address_of(self.repository, self.file)
        if self.num_bytes:
            headers["range"] = f"bytes={self.num_bytes}-"
        timeout = httpx.Timeout(TIMEOUT_SECONDS, connect=10.0)
        # On a redirect to another host httpx drops the authorization header.
        with (
            httpx.Client(follow_redirects=True, timeout=timeout) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            if response.status_code == 429 or response.status_code >= 500:
                raise _Cut(f"the hub answered {response.status_code}")
            response.raise_for_status()
            if response.status_code != 206:
                self.start_over()  # the whole file comes, whatever was asked for
            self._write(response.iter_bytes())  # as they come: a fixed block size would lose its last part in a cut

    def start_over(self) -> None:
        """Forget what is there."""
        self.partial.unlink(missing_ok=True)
        self.progress.advance(-self.num_bytes)
        self.digest = hashlib.sha256()
        self.num_bytes = 0

    def _write(self, blocks: Iterator[bytes]) -> None:
        try:
            with self.partial.open("ab") as handle:
                for block in blocks:
                    if self.num_bytes + len(block) > self.file.size:
                        raise DownloadFailed(
                            f"The hub sent more for {self.file.path} than its {self.file.size} bytes.",
                            remedy="Try again.",
                        )
                    handle.write(block)
                    self._count(block)
        except OSError as fault:
            raise storage_fault(fault, self.partial) from fault

    def _count(self, block: bytes) -> None:
        self.digest.update(block)
        self.num_bytes += len(block)
        self.progress.advance(len(block))

    def _require_space(self) -> None:
        there = self.partial.stat().st_size if self.partial.is_file() else 0
        needed, free = self.file.size - there, shutil.disk_usage(self.partial.parent).free
        if free < needed:
            raise DownloadFailed(
                f"{self.file.path} needs {needed / 1e9:.2f} GB, but {self.partial.parent} has {free / 1e9:.2f} GB.",
                remedy="Free some, or point DEMOTIC_CACHE_DIR at a larger disk.",
            )


def _persist(transfer: _Transfer) -> None:
    """Run the transfer until it is done, or as often in a row without new bytes as there are PAUSES."""
    waits = iter(PAUSES)
    while not transfer.is_done():
        before = transfer.num_bytes
        reason = "the hub closed the connection"
        try:
            with mapped(transfer.repository.repo, transfer.repository.commit, transfer.file.path):
                _attempt(transfer)
        except _Cut as cut:
            reason = str(cut)
        if transfer.is_done():
            return
        if transfer.num_bytes > before:
            waits = iter(PAUSES)
        pause = next(waits, None)
        if pause is None:
            raise DownloadFailed(
                f"The download of {transfer.file.path} stopped after {transfer.num_bytes} of "
                f"{transfer.file.size} bytes: {reason}.",
                remedy="Run the same command again: it goes on from there.",
            )
        time.sleep(pause)


def _attempt(transfer: _Transfer) -> None:
    try:
        transfer.run()
    except httpx.TransportError as fault:
        raise _Cut(first_line(fault)) from fault
