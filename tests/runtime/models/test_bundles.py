"""Bundles by path, by name and on the hub: pulled whole or not at all, and refused where anything is not what it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.card import ModelCard
from runtime.errors import (
    DemoticError,
    DownloadFailed,
    InvalidRequest,
    ModelFileInvalid,
    ModelNotFound,
    UnsupportedArchitecture,
)
from runtime.models import download
from runtime.models.gguf_copy import numbers_entry, texts_entry, write_rows
from runtime.models.gguf_format import parse
from runtime.models.name import HubFile, LocalFile, parse_reference
from runtime.models.store import Store
from runtime.models.vocabulary_part import KEYS_KEY, ROWS_KEY
from tests.fakes.hub import FakeHub, running_hub
from tests.tiny.gguf import write_tiny_gguf, write_tiny_lora

Change = Callable[[dict[str, Any], Path], None]


def part(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"file": path.name, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def base_of(path: Path, reference: str) -> dict[str, Any]:
    return {"reference": reference} | {name: value for name, value in part(path).items() if name != "file"}


def write_part(path: Path, base: Path, rows: list[int]) -> Path:
    """A vocabulary of some rows of the base, with its metadata as it is."""
    keys = [key.encode() for key in parse(base).metadata]
    write_rows(path, {KEYS_KEY: texts_entry(keys), ROWS_KEY: numbers_entry(np.array(rows, np.int32))}, [])
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A base and an adapter, with the recipe of a bundle of both."""
    folder = tmp_path / "from"
    folder.mkdir()
    base = write_tiny_gguf(folder / "base.gguf")
    write_tiny_lora(folder / "legal.gguf", base)
    write(folder)
    return folder


def write(folder: Path, change: Change = lambda recipe, folder: None) -> Path:
    recipe = {
        "format": 1,
        "name": "tiny-bul",
        "base": base_of(folder / "base.gguf", "base.gguf"),
        "languages": ["bul_Cyrl"],
        "adapter": part(folder / "legal.gguf"),
        "template": "{{ messages[-1].content }}|",
        "defaults": {"system": "Кратко.", "temperature": 0.25},
    }
    change(recipe, folder)
    path = folder / "it.bundle.json"
    path.write_text(json.dumps(recipe, ensure_ascii=False), encoding="utf-8")
    return path


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("DEMOTIC_CONFIG_DIR", str(tmp_path / "config"))
    return Store(tmp_path / "models")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSES", (0.0, 0.0))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with running_hub() as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.endpoint)
        yield fake


def left(store: Store) -> list[str]:
    """What is stored of bundles and of the models that they make."""
    places = (path for place in ("bundles", "made") for path in (store.root / place).rglob("*"))
    return sorted(path.name for path in places if path.name != ".lock")


def test_a_recipe_is_named_by_its_path_or_on_the_hub() -> None:
    local = parse_reference("it.bundle.json", [])
    assert isinstance(local, LocalFile) and local.is_bundle
    remote = parse_reference("hf:org/repo:sub/it.bundle.json", [])
    assert isinstance(remote, HubFile) and remote.is_bundle
    assert not HubFile("org/repo", file="x.gguf").is_bundle


def test_a_bundle_is_used_where_it_lies_and_by_its_name_once_it_is_pulled(folder: Path, store: Store) -> None:
    path = str(folder / "it.bundle.json")
    direct = store.resolve(path)
    assert (direct.name, direct.path, direct.source) == ("tiny-bul", folder / "base.gguf", "bundle")
    assert left(store) == []
    with pytest.raises(ModelNotFound):
        store.resolve("tiny-bul")
    assert store.pull(path).name == "tiny-bul"
    (folder / "legal.gguf").unlink()
    (folder / "it.bundle.json").unlink()
    model = store.resolve("TINY-BUL")
    assert model.bundle is not None and model.bundle.adapter is not None and model.bundle.adapter.is_file()
    assert model.languages == ("bul_Cyrl",)
    assert [each.name for each in store.installed() if each.bundle] == ["tiny-bul"]
    assert store.default_name() != "tiny-bul"
    assert store.remove("tiny-bul").name == "tiny-bul"
    assert left(store) == []
    assert (folder / "base.gguf").is_file()


def test_requests_get_template_system_message_and_defaults_of_the_bundle(folder: Path, store: Store) -> None:
    card = ModelCard.read(store.resolve(str(folder / "it.bundle.json")))
    assert card.is_chat
    request = card.chat_request("Здравей")
    assert card.bundle is not None
    assert (request.prompt, request.sampling.temperature) == ("Кратко.\n\nЗдравей|", 0.25)
    assert request.adapter == card.bundle.adapter_key
    other = card.chat_request("Здравей", temperature=1.0, adapter="other")
    assert (other.sampling.temperature, other.adapter) == (1.0, "other")


def test_a_language_that_a_request_names_leaves_none_of_the_bundles_scripts(folder: Path, store: Store) -> None:
    def lock(recipe: dict[str, Any], _folder: Path) -> None:
        recipe["defaults"] = {"scripts": ["Cyrl"], "mode": "hard"}

    card = ModelCard.read(store.resolve(str(write(folder, lock))))
    locked, named = card.chat_request("x").lock, card.chat_request("x", language="deu").lock
    assert locked is not None and (locked.scripts, locked.mode) == (("Cyrl",), "hard")
    assert named is not None and (named.scripts, named.mode) == (("Latn",), "soft")


def test_a_vocabulary_makes_the_model_once_for_all_bundles_that_have_it(folder: Path, store: Store) -> None:
    write_part(folder / "rows.gguf", folder / "base.gguf", list(range(400)))

    def named(name: str) -> Change:
        def change(recipe: dict[str, Any], folder: Path) -> None:
            made = part(folder / "base.gguf")
            sizes = {"rows": 400, "made_sha256": made["sha256"], "made_size": made["size"]}
            recipe |= {"name": name, "vocabulary": part(folder / "rows.gguf") | sizes}

        return change

    one = store.pull(str(write(folder, named("one"))))
    (folder / "it.bundle.json").rename(folder / "one.bundle.json")
    two = store.pull(str(write(folder, named("two"))))
    assert one.path == two.path
    assert one.path.read_bytes() == (folder / "base.gguf").read_bytes(), "all rows of the base make the base"
    (folder / "base.gguf").unlink()
    assert store.resolve("two").path == two.path, "what was made needs its base no more"
    store.remove("one")
    assert two.path.is_file()
    store.remove("two")
    assert left(store) == []


def test_a_bundle_whose_base_is_gone_says_so_and_can_be_removed(folder: Path, store: Store) -> None:
    store.pull(str(folder / "it.bundle.json"))
    (folder / "base.gguf").rename(folder / "elsewhere.gguf")
    with pytest.raises(ModelNotFound, match=r"base\.gguf"):
        store.resolve("tiny-bul")
    assert [each.name for each in store.installed() if each.bundle] == ["tiny-bul"]
    assert store.has_bundle("tiny-bul")
    assert store.remove("tiny-bul").name == "tiny-bul"
    assert left(store) == []


def _set(**entries: Any) -> Change:
    return lambda recipe, _folder: recipe.update(entries)


def _set_part(**entries: Any) -> Change:
    return lambda recipe, _folder: recipe["adapter"].update(entries)


def _rows(rows: list[int], *, sha256: str | None = None) -> Change:
    def change(recipe: dict[str, Any], folder: Path) -> None:
        made = part(folder / "base.gguf")
        path = write_part(folder / "rows.gguf", folder / "base.gguf", rows)
        sizes = {"rows": len(rows), "made_sha256": sha256 or made["sha256"], "made_size": made["size"]}
        recipe["vocabulary"] = part(path) | sizes

    return change


def _foreign_adapter(recipe: dict[str, Any], folder: Path) -> None:
    other = write_tiny_gguf(folder / "other.gguf", embedding_length=32)
    recipe["adapter"] = part(write_tiny_lora(folder / "foreign.gguf", other))


def _link_out(recipe: dict[str, Any], folder: Path) -> None:
    outside = folder.parent / "outside.gguf"
    (folder / "legal.gguf").rename(outside)
    (folder / "legal.gguf").symlink_to(outside)


def _other_base(recipe: dict[str, Any], folder: Path) -> None:
    write_tiny_gguf(folder / "base.gguf", seed=1)


def _lost(recipe: dict[str, Any], folder: Path) -> None:
    (folder / "legal.gguf").unlink()


def _lost_base(recipe: dict[str, Any], folder: Path) -> None:
    (folder / "base.gguf").unlink()


REFUSED: dict[str, tuple[Change, type[DemoticError], str]] = {
    "a wrong hash": (_set_part(sha256="0" * 64), ModelFileInvalid, "the bundle means 0000"),
    "a wrong size": (_set_part(size=5), ModelFileInvalid, "the bundle means one of 5"),
    "a hash that is none": (_set_part(sha256="abc"), ModelFileInvalid, "breaks the format.*sha256"),
    "a missing part": (_lost, ModelFileInvalid, "needs legal.gguf, which is not there"),
    "a missing base": (_lost_base, ModelNotFound, "No file lies at this path"),
    "another base": (_other_base, ModelFileInvalid, "is not the base that the bundle was made with"),
    "an adapter of another base": (_foreign_adapter, ModelFileInvalid, "which they do not fit"),
    "a path out of the folder": (_set_part(file="../legal.gguf"), ModelFileInvalid, "not in its folder"),
    "a part in the place of the recipe": (_set_part(file="it.bundle.json"), ModelFileInvalid, "another bundle"),
    "a part in the place of what is told of it": (_set_part(file="origin.json"), ModelFileInvalid, "is told of it"),
    "an absolute path": (_set_part(file="/etc/passwd"), ModelFileInvalid, "not in its folder"),
    "a link out of the folder": (_link_out, ModelFileInvalid, "a link out of its folder"),
    "a base out of the folder": (
        _set(base={"reference": "../base.gguf", "sha256": "0" * 64, "size": 1}), ModelFileInvalid, "not in its folder"
    ),
    "a base that only one machine knows": (
        _set(base={"reference": "my-model", "sha256": "0" * 64, "size": 1}), ModelFileInvalid, "a base that cannot be"
    ),
    "a base of the hub without a file": (
        _set(base={"reference": "hf:org/repo", "sha256": "0" * 64, "size": 1}), ModelFileInvalid, "names no GGUF file"
    ),
    "an unknown key": (_set(adaptor={}), ModelFileInvalid, "unknown field `adaptor`"),
    "an unknown key in a part": (_set_part(url="x"), ModelFileInvalid, "unknown field `url`"),
    "an unknown default": (_set(defaults={"heat": 1}), ModelFileInvalid, "unknown field `heat`"),
    "a default out of range": (_set(defaults={"temperature": 9}), ModelFileInvalid, "temperature"),
    "a language that there is none of": (_set(languages=["Nowherish"]), ModelFileInvalid, "Nowherish"),
    "a name that leads elsewhere": (_set(name="../x"), ModelFileInvalid, "has the name"),
    "a name of the catalogue": (_set(name="qwen3-0.6b"), InvalidRequest, "as another model is"),
    "a later format": (_set(format=2), UnsupportedArchitecture, "Install a newer demotic"),
    "a template without bounds": (_set(template="x" * 2**20 + "x"), ModelFileInvalid, "larger than|template"),
    "rows that the base has not": (_rows([0, 1, 400]), ModelFileInvalid, "takes row 400"),
    "rows that the part has not": (_rows([0, -1]), ModelFileInvalid, "has no 1 rows"),
    "rows without end": (_rows([0] * 100_000), ModelFileInvalid, "which should have"),
    "rows that make something else": (_rows([*range(399), 0]), ModelFileInvalid, "has the SHA-256"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_what_it_was_is_refused_and_nothing_is_left(case: str, folder: Path, store: Store) -> None:
    change, error, sentence = REFUSED[case]
    path = write(folder, change)
    with pytest.raises(error, match=f"(?s){sentence}"):
        store.pull(str(path))
    assert left(store) == []


def test_a_recipe_without_end_and_one_that_is_none_are_refused(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "x.bundle.json"
    for text in ("", "[]", '{"format": "1"}', "[" * 100_000, '{"format": 1}', "\xff"):
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(ModelFileInvalid):
            store.pull(str(path))
    path.write_bytes(b" " * (2**20 + 1))
    with pytest.raises(ModelFileInvalid, match="larger than 1 MiB"):
        store.pull(str(path))
    with pytest.raises(ModelNotFound):
        store.pull(str(tmp_path / "none.bundle.json"))


class Interrupting:
    """Progress that is interrupted when a model is written."""

    def start(self, title: str, total_bytes: int | None) -> None:
        pass

    def advance(self, num_bytes: int) -> None:
        raise KeyboardInterrupt

    def finish(self) -> None:
        pass


def test_an_interrupted_pull_leaves_nothing(folder: Path, store: Store) -> None:
    with pytest.raises(KeyboardInterrupt):
        store.pull(str(write(folder, _rows(list(range(400))))), Interrupting())
    assert left(store) == []
    assert store.pull(str(folder / "it.bundle.json")).name == "tiny-bul"


def test_another_bundle_of_a_name_does_not_take_its_place(folder: Path, store: Store, tmp_path: Path) -> None:
    store.pull(str(folder / "it.bundle.json"))
    other = tmp_path / "other"
    folder.rename(other)
    with pytest.raises(InvalidRequest, match=r"is here already\. Run `demotic remove tiny-bul` first"):
        store.pull(str(other / "it.bundle.json"))
    other.rename(folder)
    write(folder, _set(description="newer"))
    again = store.pull("tiny-bul")
    assert again.bundle is not None and again.bundle.recipe.description == "newer"


def on_hub(hub: FakeHub, folder: Path, base: str = "base.gguf") -> str:
    repository = hub.add("org/bundles")
    write(folder, lambda recipe, _folder: recipe["base"].update(reference=base))
    repository.files = {f"bg/{path.name}": path.read_bytes() for path in folder.iterdir()}
    return "hf:org/bundles:bg/it.bundle.json"


def test_a_bundle_of_the_hub_comes_with_the_base_beside_it(hub: FakeHub, folder: Path, store: Store) -> None:
    reference = on_hub(hub, folder)
    with pytest.raises(ModelNotFound, match=r"Run `demotic pull hf:org/bundles:bg/it\.bundle\.json`"):
        store.resolve(reference)
    model = store.pull(reference)
    assert model.path.read_bytes() == (folder / "base.gguf").read_bytes()
    assert store.resolve("tiny-bul").path == store.resolve(reference).path == model.path
    num_requests = len(hub.requests)
    store.resolve("tiny-bul")
    assert len(hub.requests) == num_requests
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        assert store.pull(reference).path == store.pull("tiny-bul").path == model.path
        with pytest.raises(DownloadFailed, match="HF_HUB_OFFLINE"):
            store.pull("hf:org/bundles:bg/other.bundle.json")
    assert store.shareable(store.resolve("hf:org/bundles:bg/base.gguf")) is not None


def test_a_base_of_another_repository_is_fetched_once(hub: FakeHub, folder: Path, store: Store) -> None:
    hub.add("org/base").files = {"base.gguf": (folder / "base.gguf").read_bytes()}
    store.pull(on_hub(hub, folder, "hf:org/base:base.gguf"))
    assert sum(request.path.endswith("base.gguf") for request in hub.downloads()) == 1


def test_other_bytes_of_the_hub_are_refused_and_nothing_is_left(hub: FakeHub, folder: Path, store: Store) -> None:
    reference = on_hub(hub, folder)
    files = hub.repositories["org/bundles"].files
    adapter = files["bg/legal.gguf"]
    files["bg/legal.gguf"] = adapter[:-1] + bytes([adapter[-1] ^ 1])
    with pytest.raises(ModelFileInvalid, match="the bundle means"):
        store.pull(reference)
    del files["bg/legal.gguf"]
    with pytest.raises(ModelFileInvalid, match="which org/bundles does not hold"):
        store.pull(reference)
    files["bg/legal.gguf"] = adapter
    hub.num_failures = 100
    with pytest.raises(DownloadFailed):
        store.pull(reference)
    assert left(store) == []
    hub.num_failures = 0
    assert store.pull(reference).name == "tiny-bul"
