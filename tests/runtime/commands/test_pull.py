"""What `demotic pull` tells before it brings a model here, and how far it is; which models fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.commands import fitting
from runtime.commands.facts import fit_word
from runtime.commands.models import list_models
from runtime.commands.pull import preview, pull
from runtime.errors import DownloadFailed, ModelNotFound
from tests.fakes.hub import COMMIT, FakeHub
from tests.runtime.commands.test_models import hub  # noqa: F401  # a fixture
from tests.runtime.hardware import machine

Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("hub")


def test_a_preview_tells_the_file_its_licence_and_size_and_whether_it_fits_and_fetches_nothing(
    hub: FakeHub,  # noqa: F811
    tmp_path: Path,
    capsys: Capture,
) -> None:
    size = (tmp_path / "m.gguf").stat().st_size
    preview("hf:a/b", as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["here"] is False
    assert (told["name"], told["source"], told["revision"]) == ("m", "hf:a/b", COMMIT)
    assert (told["file"], told["license"], told["size_bytes"], told["partial_bytes"]) == (
        "m.gguf",
        "apache-2.0",
        size,
        0,
    )
    assert (told["fit"]["fits"], told["fit"]["is_estimate"]) == (True, True)
    assert hub.downloads() == []
    preview("hf:a/b", as_json=False)
    out = capsys.readouterr().out
    assert out.startswith("m: m.gguf of a/b (")
    assert "Licence: apache-2.0\nFits this machine: probably\n" in out


def test_a_preview_of_a_model_that_is_here_says_so_and_plans_by_its_header(capsys: Capture) -> None:
    pull("hf:a/b", as_json=True)
    capsys.readouterr()
    preview("m", as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["here"], told["fit"]["fits"], told["fit"]["is_estimate"]) == (True, True, False)
    preview("m", as_json=False)
    assert capsys.readouterr().out.startswith("m is here already: ")


def test_a_preview_tells_how_much_of_a_cut_download_is_here(
    hub: FakeHub,  # noqa: F811
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runtime.models.download.PAUSES", ())
    hub.cut_after, hub.num_cuts = 1000, 2
    with pytest.raises(DownloadFailed):
        pull("hf:a/b", as_json=True)
    preview("hf:a/b", as_json=True)
    assert json.loads(capsys.readouterr().out)["partial_bytes"] >= 1000
    preview("hf:a/b", as_json=False)
    assert " of it are here)" in capsys.readouterr().out


def test_a_preview_of_nothing_is_refused() -> None:
    with pytest.raises(ModelNotFound):
        preview("hf:a/none", as_json=True)


def test_the_progress_comes_as_json_lines(tmp_path: Path, capsys: Capture) -> None:
    pull("hf:a/b", as_json=True, with_progress=True)
    lines = [json.loads(line)["progress"] for line in capsys.readouterr().err.splitlines()]
    size = (tmp_path / "m.gguf").stat().st_size
    assert lines[0] == {"title": "Downloading m.gguf", "total_bytes": size, "num_bytes": 0}
    assert lines[-1]["num_bytes"] == size


def test_a_list_with_fit_tells_of_each_model_whether_it_fits(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    pull("hf:a/b", as_json=True)
    capsys.readouterr()
    monkeypatch.setattr(fitting, "probe", lambda: machine(2, free_gib=3.0))
    list_models(as_json=True, with_fit=True)
    told = json.loads(capsys.readouterr().out)
    fits = {model["name"]: fit_word(model["fit"]) for model in (*told["models"], *told["available"])}
    assert (fits["m"], fits["qwen3-0.6b"], fits["pensez-7b"]) == ("yes", "probably", "probably not")
    list_models(as_json=False, with_fit=True)
    out = capsys.readouterr().out
    assert "FITS" in out
    assert "probably not" in out


def test_a_damaged_file_does_not_fit(tmp_path: Path, capsys: Capture) -> None:
    pull("hf:a/b", as_json=True)
    path = Path(json.loads(capsys.readouterr().out)["path"])
    path.write_bytes(b"GGUF" + bytes(path.stat().st_size - 4))
    list_models(as_json=True, with_fit=True)
    fit = json.loads(capsys.readouterr().out)["models"][0]["fit"]
    assert fit["fits"] is False
    assert str(path) in fit["reason"]
    assert fit_word(fit) == "no"
