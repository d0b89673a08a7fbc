"""A checkpoint of the hub, over the real client and a hub on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from converters.adapt.transplant.given import open_tokenizer
from converters.checkpoint import open_checkpoint
from converters.convert import Request, convert
from runtime.config import cache_dir
from runtime.errors import ConversionRefused, DownloadFailed, ModelNotFound
from runtime.models.files import NoProgress
from tests.converters.families import Families
from tests.fakes.hub import COMMIT, FakeHub, FakeRepository, running_hub
from tests.tiny.checkpoints import save_checkpoint


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    with running_hub() as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.endpoint)
        monkeypatch.setenv("DEMOTIC_CACHE_DIR", str(tmp_path / "cache"))
        yield fake


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_repository_is_converted_like_its_folder(hub: FakeHub, families: Families, tmp_path: Path) -> None:
    family = families["llama"]
    hub.repositories["org/tiny-llama"] = FakeRepository(
        {**files_of(family.folder), "pytorch_model.bin": b"not wanted", "other.gguf": b"not wanted"}
    )
    done = convert(Request("hf:org/tiny-llama", tmp_path / "a.gguf", "f32"))
    assert (done.manifest.made_from, done.manifest.revision) == ("hf:org/tiny-llama", COMMIT)
    assert done.manifest.license == "apache-2.0"
    assert not [request for request in hub.downloads() if "not wanted" in request.path or ".bin" in request.path]
    num_downloads = len(hub.downloads())
    convert(Request("hf:org/tiny-llama@v1", tmp_path / "b.gguf", "f32"))
    assert len(hub.downloads()) == num_downloads
    here = open_checkpoint("hf:org/tiny-llama")
    assert here.folder == cache_dir() / "checkpoints" / "org--tiny-llama" / COMMIT
    assert {name: t.whole().tobytes() for name, t in here.tensors.items()} == {
        name: t.whole().tobytes() for name, t in open_checkpoint(str(family.folder)).tensors.items()
    }


def test_older_files_of_a_tokenizer_are_fetched_where_there_is_no_json(
    hub: FakeHub, llama: Path, tmp_path: Path
) -> None:
    files = files_of(llama)
    hub.repositories["org/new"] = FakeRepository({**files, "tokenizer.model": b"not read", "vocab.txt": b"not read"})
    assert not {"tokenizer.model", "vocab.txt"} & {path.name for path in open_checkpoint("hf:org/new").folder.iterdir()}
    del files["tokenizer.json"]
    older = {"vocab.json": b"{}", "merges.txt": b"", "added_tokens.json": b"{}", "vocab.txt": b"not read"}
    hub.repositories["org/old"] = FakeRepository({**files, **older})
    fetched = {path.name: path.read_bytes() for path in open_checkpoint("hf:org/old").folder.iterdir()}
    assert {name: fetched.get(name) for name in older} == {**older, "vocab.txt": None}
    hub.repositories["org/pieces"] = FakeRepository({**files, "spiece.model": b"pieces"})
    assert (open_checkpoint("hf:org/pieces").folder / "spiece.model").read_bytes() == b"pieces"


def test_of_a_repository_that_gives_its_tokenizer_nothing_else_is_fetched(hub: FakeHub, llama: Path) -> None:
    files = {name: data for name, data in files_of(llama).items() if name.startswith("tokenizer")}
    hub.repositories["org/words"] = FakeRepository({**files, "model.safetensors": b"not wanted", "x.json": b"{}"})
    given = open_tokenizer("hf:org/words", NoProgress())
    assert (given.origin.source, given.origin.revision) == ("hf:org/words", COMMIT)
    assert {path.name for path in (cache_dir() / "checkpoints" / "org--words" / COMMIT).glob("[!.]*")} == set(files)
    assert len(given.vocabulary) == open_tokenizer(str(llama), NoProgress()).vocabulary.library.get_vocab_size()
    hub.repositories["org/none"] = FakeRepository({"config.json": b"{}"})
    with pytest.raises(ConversionRefused, match="holds no tokenizer"):
        open_tokenizer("hf:org/none", NoProgress())


def test_all_parts_are_fetched(hub: FakeHub, families: Families, tmp_path: Path) -> None:
    family = families["llama"]
    folder = save_checkpoint(tmp_path / "parts", family.model, family.tokenizer, max_shard_size="100KB")
    hub.repositories["org/parts"] = FakeRepository(files_of(folder))
    assert len(open_checkpoint("hf:org/parts").tensors) == len(open_checkpoint(str(folder)).tensors)
    lost = next(name for name in hub.repositories["org/parts"].files if name.startswith("model-"))
    del hub.repositories["org/parts"].files[lost]
    hub.repositories["org/parts"].commit = COMMIT[::-1]
    with pytest.raises(ConversionRefused, match=f"lacks {lost}"):
        open_checkpoint("hf:org/parts")


def test_a_repository_without_a_checkpoint_is_refused(hub: FakeHub) -> None:
    hub.add("org/gguf", model__gguf=b"GGUF")
    with pytest.raises(ConversionRefused, match=r"holds no checkpoint: it lacks config\.json"):
        open_checkpoint("hf:org/gguf")
    hub.add("org/empty", config__json=b"{}")
    with pytest.raises(ConversionRefused, match="holds no checkpoint: it lacks weights"):
        open_checkpoint("hf:org/empty")
    with pytest.raises(ModelNotFound):
        open_checkpoint("hf:org/none")


def test_offline_nothing_is_asked(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadFailed, match="HF_HUB_OFFLINE"):
        open_checkpoint("hf:org/tiny-llama")
    assert hub.requests == []
