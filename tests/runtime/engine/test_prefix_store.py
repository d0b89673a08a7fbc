"""Saved prefixes come back as they were or not at all, whatever happens to the files and whoever else uses them."""

from __future__ import annotations

import hashlib
import logging
import os
import random
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from runtime.backends.base import BLOCK_CELLS
from runtime.config import PrefixConfig, WorkerConfig
from runtime.engine import prefix_store
from runtime.engine.prefix_files import delete_oldest, prepare
from runtime.engine.prefix_store import PrefixStore, file_hash
from runtime.errors import ConfigurationInvalid, InferenceFailed

TOKENS = list(range(3 * BLOCK_CELLS + 10))
MODEL = "a model and its format"


def state_of(start: int) -> bytes:
    return b"state from %d" % start


def save(folder: Path, tokens: list[int] = TOKENS, config: PrefixConfig | None = None, model: str = MODEL) -> None:
    store = PrefixStore(folder, model, config)
    store.save(tokens, None, state_of)
    finish(store)


def finish(store: PrefixStore) -> None:
    store.close(time.monotonic() + 30)


def restored(store: PrefixStore, tokens: list[int] = TOKENS, adapter: str | None = None) -> list[bytes]:
    """The states that a prefix gets back, as the engine would: up to the first that cannot be had."""
    states: list[bytes] = []
    for block in store.find(tokens, adapter):
        if not store.restore(block, states.append):
            break
    return states


def files(folder: Path) -> list[Path]:
    """All saved blocks, the most recently used first: of one prefix, its beginning."""
    return sorted(folder.glob("*/*.kv"), key=lambda path: -path.stat().st_mtime)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PrefixStore]:
    """A store over a folder where a prefix of three blocks has been saved."""
    save(tmp_path)
    made = PrefixStore(tmp_path, MODEL)
    yield made
    finish(made)


def test_what_was_saved_is_found_by_whoever_begins_alike(store: PrefixStore) -> None:
    assert restored(store) == [state_of(0), state_of(64), state_of(128)]
    assert restored(store, [*TOKENS, 5, 6, 7]) == restored(store)
    assert len(restored(store, TOKENS[:130] + [999] * 100)) == 2
    assert len(restored(store, TOKENS[:127])) == 1
    assert restored(store, [7, *TOKENS]) == []
    assert restored(store, TOKENS[64:]) == []
    assert restored(store, []) == []


def test_prefixes_that_begin_alike_have_their_first_files_in_common(tmp_path: Path) -> None:
    save(tmp_path)
    copied: list[int] = []

    def copy(start: int) -> bytes:
        copied.append(start)
        return state_of(start)

    store = PrefixStore(tmp_path, MODEL)
    for ending in (1, 2):
        store.save(TOKENS[:128] + [ending] * 64, None, copy)
    store.save(TOKENS[:128] + [1] * 64, None, copy)
    finish(store)
    assert copied == [128, 128]
    assert len(files(tmp_path)) == 3 + 2


def test_less_than_a_block_is_not_saved(tmp_path: Path) -> None:
    save(tmp_path, TOKENS[: BLOCK_CELLS - 1])
    assert files(tmp_path) == []


def test_another_model_format_or_adapter_does_not_find_it(store: PrefixStore, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter.gguf"
    adapter.write_bytes(b"one")
    store.add_adapter("polite", adapter)
    assert restored(store, adapter="polite") == []
    assert restored(PrefixStore(tmp_path, "another model")) == []
    store.save(TOKENS, "polite", lambda start: b"polite" + state_of(start))
    finish(store)
    later = PrefixStore(tmp_path, MODEL)
    later.add_adapter("renamed", adapter)
    assert restored(later, adapter="renamed")[0] == b"polite" + state_of(0)
    adapter.write_bytes(b"two")
    later.add_adapter("polite", adapter)
    assert restored(later, adapter="polite") == []


def test_an_adapter_that_cannot_be_read_is_done_without(
    store: PrefixStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.add_adapter("gone", tmp_path / "gone.gguf")
    assert "gone.gguf" in warnings_in(caplog)[0]
    store.save(TOKENS, "gone", state_of)
    assert restored(store, adapter="gone") == []


def is_refused(folder: Path, path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> bool:
    """Whether a file with this content is ignored with one warning that names it, and makes room for a sound one."""
    sound = path.read_bytes()
    path.write_bytes(content)
    caplog.clear()
    store = PrefixStore(folder, MODEL)
    states = restored(store)
    (warning,) = warnings_in(caplog) or [""]
    is_gone = not path.exists()
    is_silent = restored(store) == states and len(warnings_in(caplog)) == 1
    store.save(TOKENS, None, state_of)
    finish(store)
    return states == [state_of(0)] and str(path) in warning and is_gone and is_silent and path.read_bytes() == sound


def test_any_byte_that_is_wrong_makes_a_file_worthless_and_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path)
    path = files(tmp_path)[1]
    content = path.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        assert is_refused(tmp_path, path, bytes(damaged), caplog), position


def test_a_file_of_any_other_length_is_worthless(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path)
    path = files(tmp_path)[1]
    content = path.read_bytes()
    for length in range(len(content)):
        assert is_refused(tmp_path, path, content[:length], caplog), length
    assert is_refused(tmp_path, path, content + b"\0", caplog)
    assert is_refused(tmp_path, path, content * 2, caplog)


def test_a_file_of_something_else_is_worthless_also_where_it_is_sound(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path)
    path = files(tmp_path)[1]
    assert is_refused(tmp_path, path, b"GGUF" + bytes(200), caplog)
    assert is_refused(tmp_path, path, files(tmp_path)[0].read_bytes(), caplog)
    save(tmp_path / "other", model="another model")
    assert is_refused(tmp_path, path, files(tmp_path / "other")[1].read_bytes(), caplog)


def test_a_folder_in_the_place_of_a_file_is_told_once_and_done_without(
    store: PrefixStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = files(tmp_path)[1]
    path.unlink()
    path.mkdir()
    for _ in range(3):
        assert restored(store) == [state_of(0)]
    assert len(warnings_in(caplog)) == 1


def test_a_file_that_has_gone_meanwhile_is_no_fault(
    store: PrefixStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocks = store.find(TOKENS, None)
    files(tmp_path)[0].unlink()
    assert not store.restore(blocks[0], lambda _state: pytest.fail("there is none"))
    assert warnings_in(caplog) == []


def test_a_state_that_the_backend_does_not_take_is_worthless(
    store: PrefixStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_state: bytes) -> None:
        raise InferenceFailed("It has another layer count.")

    assert not store.restore(store.find(TOKENS, None)[0], refuse)
    assert "another layer count" in warnings_in(caplog)[0]
    assert store.find(TOKENS, None) == ()


def test_a_state_that_the_backend_does_not_give_leaves_the_rest_of_its_prefix_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def copy(start: int) -> bytes:
        if start == 64:
            raise InferenceFailed("It cannot.")
        return state_of(start)

    store = PrefixStore(tmp_path, MODEL)
    store.save(TOKENS, None, copy)
    finish(store)
    assert len(files(tmp_path)) == 1
    assert "It cannot" in warnings_in(caplog)[0]


def test_past_the_bound_those_go_that_were_not_used_for_longest_and_of_a_prefix_its_end(tmp_path: Path) -> None:
    prefixes = [[first, *TOKENS[1:]] for first in range(4)]
    now = time.time()
    for age, tokens in zip((30, 40, 20, 10), prefixes, strict=True):
        with patch("time.time", return_value=now - age):
            save(tmp_path, tokens)
    size = files(tmp_path)[0].stat().st_size
    store = PrefixStore(tmp_path, MODEL)
    # The first is used again, the second is the oldest now.
    assert len(restored(store, prefixes[0])) == 3
    delete_oldest(tmp_path, 8 * size + 8)
    assert [len(restored(store, tokens)) for tokens in prefixes] == [3, 0, 2, 3]


def test_the_bound_is_kept_while_writing_over_all_models(tmp_path: Path) -> None:
    config = PrefixConfig(max_bytes=6400)
    for number in range(40):
        save(tmp_path, [number, *TOKENS[1:]], config, model=f"model {number % 3}")
    assert sum(path.stat().st_size for path in files(tmp_path)) <= config.max_bytes
    assert len(files(tmp_path)) > 40


def test_nothing_is_deleted_that_is_not_named_as_a_saved_prefix(tmp_path: Path) -> None:
    save(tmp_path)
    folder = files(tmp_path)[0].parent
    foreign = [
        tmp_path / "diary.txt",
        folder / "diary.txt",
        folder / "short.kv",
        tmp_path / "photos" / f"{'a' * 64}.kv",
    ]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(10_000))
    delete_oldest(tmp_path, 0)
    assert all(path.exists() for path in foreign)
    assert [path for path in files(tmp_path) if path not in foreign] == []


def test_what_a_killed_process_has_left_half_written_is_deleted_when_it_is_old(tmp_path: Path) -> None:
    save(tmp_path)
    folder = files(tmp_path)[0].parent
    old, young = (folder / f"{letter * 64}.abc.new" for letter in "ab")
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    delete_oldest(tmp_path, 10**9)
    assert (old.exists(), young.exists()) == (False, True)
    assert len(files(tmp_path)) == 3


def test_only_the_user_can_read_what_is_saved(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "prefixes"
    prepare(folder)
    save(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(files(folder)[0].parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in files(folder)} == {0o600}
    assert {path.suffix for path in files(folder)[0].parent.iterdir()} == {".kv"}


def test_a_folder_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigurationInvalid, match=r"cannot be saved in .*/file/below"):
        prepare(tmp_path / "file" / "below")
    with pytest.raises(ConfigurationInvalid):
        prepare(tmp_path / "file")


def test_storage_that_refuses_is_told_once_and_costs_only_the_saving(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = PrefixStore(tmp_path, MODEL)
    with patch.object(prefix_store, "write_block", side_effect=OSError(28, "No space left on device")):
        for first in range(5):
            store.save([first, *TOKENS[1:]], None, state_of, time.monotonic() + 5)
        finish(store)
    assert warnings_in(caplog) == [
        "no more prefixes are saved until the next start: [Errno 28] No space left on device"
    ]
    assert files(tmp_path) == []


class SlowDisk:
    """Writes nothing until it is let."""

    def __init__(self) -> None:
        self.may_write = threading.Event()

    def write(self, *_arguments: object) -> int:
        assert self.may_write.wait(30)
        return 1


def test_what_the_disk_cannot_keep_up_with_is_left_out_at_once_or_waited_for(tmp_path: Path) -> None:
    disk = SlowDisk()
    config = PrefixConfig(max_queued_bytes=100)
    copied: list[int] = []

    def copy(start: int) -> bytes:
        copied.append(start)
        return bytes(40)

    with patch.object(prefix_store, "write_block", disk.write):
        store = PrefixStore(tmp_path, MODEL, config)
        began = time.monotonic()
        store.save(list(range(10 * BLOCK_CELLS)), None, copy)
        assert time.monotonic() - began < 5
        assert copied == [0, 64, 128]
        store.save([7] * 10 * BLOCK_CELLS, None, copy, time.monotonic() + 0.2)
        assert time.monotonic() - began >= 0.2
        assert len(copied) == 4
        disk.may_write.set()
        store.save([8] * 10 * BLOCK_CELLS, None, copy, time.monotonic() + 30)
        finish(store)
    assert len(copied) == 14


def test_closing_does_not_wait_for_ever(tmp_path: Path) -> None:
    disk = SlowDisk()
    with patch.object(prefix_store, "write_block", disk.write):
        store = PrefixStore(tmp_path, MODEL)
        store.save(TOKENS, None, state_of)
        began = time.monotonic()
        store.close(began + 0.2)
        assert 0.2 <= time.monotonic() - began < 5
        disk.may_write.set()
        finish(store)


def test_a_worker_has_written_before_it_is_ended_for_taking_too_long() -> None:
    assert PrefixConfig().close_seconds < WorkerConfig().close_seconds


OTHER = """
import random, sys, time
from pathlib import Path
from runtime.config import PrefixConfig
from runtime.engine.prefix_store import PrefixStore
folder, seed = Path(sys.argv[1]), int(sys.argv[2])
chance = random.Random(seed)
store = PrefixStore(folder, "shared", PrefixConfig(max_bytes=20_000))
num_restored = 0
end = time.monotonic() + 3
while time.monotonic() < end:
    tokens = [chance.randrange(4)] * 64 + [chance.randrange(4)] * 64 + [chance.randrange(4)] * 64
    state = lambda start: repr(tokens[: start + 64]).encode()
    store.save(tokens, None, state)
    for block in store.find(tokens, None):
        states = []
        if not store.restore(block, states.append):
            break
        assert states == [state(block.start)]
        num_restored += 1
store.close(time.monotonic() + 10)
print(num_restored)
"""


def test_processes_that_share_a_folder_do_not_disturb_each_other(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OTHER, str(tmp_path)]
    others = [
        subprocess.Popen([*command, str(seed)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for seed in range(2)
    ]
    for other in others:
        output, errors = other.communicate(timeout=60)
        assert (other.returncode, errors) == (0, "")
        assert int(output) > 100
    left = [path for path in tmp_path.glob("*/*") if path.suffix != ".kv"]
    assert left == []


def test_a_file_is_hashed_as_sha256_and_tells_how_far_it_is(tmp_path: Path) -> None:
    content = random.Random(1).randbytes(3_000_000)  # noqa: S311  # the same each time
    (tmp_path / "file").write_bytes(content)
    pieces: list[int] = []
    assert file_hash(tmp_path / "file", pieces.append) == hashlib.sha256(content).digest()
    assert sum(pieces) == len(content)
    assert len(pieces) > 1
