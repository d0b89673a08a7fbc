"""`demotic eval pick`: the smallest artefact within a loss, and why smaller ones were not taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import demotic
from benchmarks.quality.pick import share
from converters.adapt.request import Request as TrimRequest
from converters.adapt.trim import trim
from converters.gguf.quantize import Quantization, quantize
from converters.probes import DECLARATION
from converters.progress import NoSteps
from runtime.errors import DemoticError
from runtime.models.files import NoProgress
from tests.converters.families import Families


def run(*arguments: object) -> Any:
    return CliRunner().invoke(demotic.make_app(), ["eval", "pick", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(families: Families, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source, three quantizations of it, and a text in two languages."""
    folder = tmp_path_factory.mktemp("pick")
    source = folder / "source.gguf"
    source.write_bytes(families["llama"].converted.path.read_bytes())
    for name in ("Q8_0", "Q5_0", "Q4_0"):
        quantize(source, folder / f"{name}.gguf", Quantization(name))
    for name in ("eng_Latn", "bul_Cyrl"):
        lines = (DECLARATION[name][at : at + 40] for at in (0, 40))
        (folder / f"{name}.txt").write_text("\n".join(lines), encoding="utf-8")
    return folder


def picked(folder: Path, *arguments: object) -> Any:
    files = [folder / f"{name}.gguf" for name in ("Q8_0", "Q4_0", "Q5_0")]
    text = [option for name in ("eng", "bul") for option in ("--parallel", next(folder.glob(f"{name}*.txt")))]
    return run(*files, "--against", folder / "source.gguf", *text, *arguments)


def test_the_smallest_within_the_loss_is_taken_and_larger_ones_are_not_measured(folder: Path) -> None:
    every = json.loads(picked(folder, "--json", "--by", "top-1", "--within", "0%").stdout)
    assert [each["artefact"]["name"] for each in every["artefacts"]] == ["Q4_0", "Q5_0", "Q8_0"]
    worst = {each["artefact"]["name"]: max(each["losses"].values()) for each in every["artefacts"] if each["losses"]}
    assert worst["Q4_0"] > 0
    # Just enough for each: then it is the choice, and what is larger has no figures.
    done = picked(folder, "--json", "--by", "top-1", "--within", f"{worst['Q4_0'] * 1.001:.6f}")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["choice"]) == (0, "Q4_0")
    assert [bool(each["losses"]) for each in found["artefacts"]] == [True, False, False]


def test_it_says_why_smaller_ones_were_not_taken(folder: Path, tmp_path: Path) -> None:
    options = ("--by", "top-1", "--output", tmp_path / "kept.json")
    assert picked(folder, *options, "--within", "0%").exit_code == 1
    found = json.loads((tmp_path / "kept.json").read_text(encoding="utf-8"))["cells"]
    lost = {name: max(1 - cell["bpb"]["against"]["top_1"] for cell in cells.values()) for name, cells in found.items()}
    assert lost["Q8_0"] < min(lost["Q4_0"], lost["Q5_0"])
    done = picked(folder, *options, "--within", f"{lost['Q8_0'] + 1e-4:.5f}")
    assert done.exit_code == 0
    assert done.stdout.startswith("**Q8_0** (")
    rows = [line for line in done.stdout.splitlines() if line.startswith("| Q")]
    assert [row.split(" | ")[0] for row in rows] == ["| Q4_0", "| Q5_0", "| Q8_0"]
    for name, row in zip(("Q4_0", "Q5_0"), rows, strict=False):
        assert f"+{lost[name]:.2%}" in row
        assert "too much in" in row
    assert "taken: the smallest that stays within" in rows[2]


def test_where_none_stays_within_the_source_is_to_be_kept(folder: Path) -> None:
    done = picked(folder, "--by", "top-1", "--within", "0%", "--languages", "bul")
    assert done.exit_code == 1
    assert done.stdout.startswith("None of the 3 stays within 0.00%")
    assert "eng_Latn" not in done.stdout.splitlines()[0]


def test_a_trimmed_file_is_picked_by_the_bits_that_each_spends_with_its_own_tokens(folder: Path) -> None:
    trimmed = folder / "trimmed.gguf"
    corpus = folder / "corpus.txt"
    words = DECLARATION["eng_Latn"].split()
    corpus.write_text("\n".join(" ".join(words[at : at + 5]) for at in range(len(words) - 5)), encoding="utf-8")
    trim(TrimRequest(folder / "source.gguf", trimmed, corpora=(f"eng={corpus}",)), NoProgress(), NoSteps())
    text = [option for name in ("eng_Latn", "bul_Cyrl") for option in ("--parallel", folder / f"{name}.txt")]
    done = run(trimmed, "--against", folder / "source.gguf", *text, "--languages", "eng", "--within", "50%", "--json")
    assert json.loads(done.stdout)["choice"] == "trimmed"


@pytest.mark.parametrize(("text", "value"), [("1%", 0.01), ("0.5 %", 0.005), ("0.02", 0.02), ("0", 0.0)])
def test_a_share_is_read_as_people_write_it(text: str, value: float) -> None:
    assert share(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["1", "-1%", "one", "nan", ""])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(DemoticError, match="is no share"):
        share(text)
