"""`demotic eval` from end to end on tiny models: what is measured, kept, gone on with, refused and shown."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import demotic
from benchmarks.quality.evaluate import Prepared, Request, measure, prepare
from benchmarks.quality.measure import Measurement
from converters.gguf.quantize import Quantization, quantize
from converters.probes import DECLARATION
from converters.progress import NoSteps
from runtime.errors import Cancelled, DemoticError
from tests.converters.families import Families
from tests.tiny.encoders import tiny_bert, write_encoder
from tests.tiny.seq2seq import tiny_t5, write_seq2seq

LANGUAGES = ("eng_Latn", "bul_Cyrl", "tha_Thai")


def run(*arguments: object) -> Any:
    return CliRunner().invoke(demotic.make_app(), ["eval", *map(str, arguments)])


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short lines in three languages."""
    path = tmp_path_factory.mktemp("text") / "lines.tsv"
    rows = [[DECLARATION[name][at : at + 24] for name in LANGUAGES] for at in (0, 30)]
    path.write_text("\n".join("\t".join(row) for row in [LANGUAGES, *rows]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def model(families: Families) -> Path:
    return families["llama"].converted.path


def test_all_metrics_of_all_languages_are_told_kept_and_drawn(model: Path, text: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    done = run(model, "--parallel", text, "--output", kept, "--plot", tmp_path / "map.svg")
    assert done.exit_code == 0, done.output
    assert "| language | bits/byte | bits to English's | fertility | parity |" in done.stdout
    assert all(f"| {language} |" in done.stdout for language in (*LANGUAGES, "mean"))
    assert "| layer | MEXA, weighted | MEXA, last | cosine | cosine by chance |" in done.stdout
    document = json.loads(kept.read_text(encoding="utf-8"))
    cells = document["cells"]["llama"]
    assert set(cells) == set(LANGUAGES)
    assert all(set(each) == {"bpb", "tokenizer", "mexa", "ranker"} for each in cells.values())
    assert cells["eng_Latn"]["mexa"]["weighted"]["layers"] == [1.0, 1.0, 1.0]
    assert cells["eng_Latn"]["bpb"]["parity"] == 1.0
    assert cells["tha_Thai"]["tokenizer"]["words"] is None
    assert document["models"]["llama"]["sha256"]
    assert "</svg>" in (tmp_path / "map.svg").read_text(encoding="utf-8")


def test_a_run_goes_on_where_another_was_stopped_and_computes_nothing_again(
    model: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept.json"
    request = Request((str(model),), parallel=(text,), output=kept)
    told: list[tuple[str, str]] = []
    cell = Measurement.cell

    def noted(self: Measurement, language: str, metric: Any) -> Any:
        told.append((language, metric))
        return cell(self, language, metric)

    monkeypatch.setattr(Measurement, "cell", noted)

    def stop_after_five() -> None:
        if len(told) == 6:
            raise Cancelled("Stopped.")

    def cells_of(found: Prepared) -> list[tuple[str, str]]:
        return [(language, metric) for language, each in found.results.cells["llama"].items() for metric in each]

    with pytest.raises(Cancelled):
        measure(prepare(request), NoSteps(), stop_after_five)
    assert cells_of(prepare(request)) == told[:5]
    again = prepare(request)
    measure(again, NoSteps())
    assert told[6:] == [each for each in cells_of(again) if each not in told[:5]]
    assert sorted(told[:5] + told[6:]) == sorted(cells_of(again))
    before = len(told)
    assert run(model, "--parallel", text, "--output", kept, "--json").exit_code == 0
    assert len(told) == before


def test_results_of_another_model_text_or_setting_are_refused_by_name(
    model: Path, families: Families, text: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.json"
    few = ("--parallel", text, "--output", kept, "--metrics", "tokenizer")
    assert run(model, *few, "--languages", "bul").exit_code == 0
    # More languages and metrics are no other setting.
    assert run(model, *few, "--languages", "bul,eng").exit_code == 0
    assert set(json.loads(kept.read_text(encoding="utf-8"))["cells"]["llama"]) == {"bul_Cyrl", "eng_Latn"}
    for arguments, words in (
        ((families["qwen2"].converted.path, *few), "models llama .* and not qwen2"),
        ((model, *few, "--layers", "1"), "layers none and not"),
        ((model, *few, "--against", model), "source none and not llama"),
        ((model, "--output", kept), "text lines.tsv and not Universal"),
        ((model, "--parallel", text, "--output", text), "holds no results"),
    ):
        with pytest.raises(DemoticError, match=words):
            raise run(*arguments).exception


def test_a_quantized_model_is_told_against_its_source_in_each_language(model: Path, text: Path, tmp_path: Path) -> None:
    quantize(model, tmp_path / "q4.gguf", Quantization("Q4_0"))
    done = run(tmp_path / "q4.gguf", "--against", model, "--parallel", text, "--format", "csv")
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["language"] for row in rows] == list(LANGUAGES)
    for row in rows:
        assert float(row["KL, nats"]) > 0
        assert 0 < float(row["same top-1, %"]) <= 100
        assert float(row["change"]) != 0
        assert float(row["tokens, change %"]) == 0
        assert {"MEXA, change", "above chance, change"} <= set(row)


def test_layers_choose_what_scores_are_the_mean_of(model: Path, text: Path) -> None:
    arguments = (model, "--parallel", text, "--metrics", "mexa,ranker", "--languages", "bul", "--json")
    all_of, one = (json.loads(run(*arguments, *more).stdout) for more in ((), ("--layers", "1")))
    for name, keys in (("mexa", ("weighted", "mean")), ("ranker", ("cosine",))):
        cells = [document["cells"]["llama"]["bul_Cyrl"][name] for document in (all_of, one)]
        layers = [cell[keys[0]]["layers"] if name == "mexa" else cell["layers"] for cell in cells]
        assert layers[0] == layers[1]
        found = cells[1][keys[0]]["mean"] if name == "mexa" else cells[1]["cosine"]
        assert found == pytest.approx(layers[0][1], abs=1e-5)
    with pytest.raises(DemoticError, match="no layer 9"):
        raise run(*arguments, "--layers", "9").exception


def test_what_a_model_cannot_be_asked_is_left_out_or_refused_by_name(text: Path, tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "bert.gguf", tiny_bert())
    translator = write_seq2seq(tmp_path / "t5.gguf", tiny_t5())
    found = json.loads(run(encoder, "--parallel", text, "--json").stdout)["cells"]["bert"]["bul_Cyrl"]
    assert set(found) == {"tokenizer", "mexa", "ranker"}
    assert len(found["mexa"]["own"]["layers"]) == 1
    found = json.loads(run(translator, "--parallel", text, "--json").stdout)["cells"]["t5"]["bul_Cyrl"]
    assert set(found) == {"tokenizer"}
    with pytest.raises(DemoticError, match="no 'bpb': bert writes no text"):
        raise run(encoder, "--parallel", text, "--metrics", "bpb").exception
    with pytest.raises(DemoticError, match="no 'mexa': t5 is an encoder-decoder"):
        raise run(translator, "--parallel", text, "--metrics", "mexa").exception


def test_text_without_english_has_no_figures_that_are_held_against_it(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "lines.tsv"
    path.write_text("bul\ttha\n" + "\t".join(DECLARATION[name][:20] for name in LANGUAGES[1:]), encoding="utf-8")
    found = json.loads(run(model, "--parallel", path, "--json").stdout)["cells"]["llama"]["bul_Cyrl"]
    assert set(found) == {"bpb", "tokenizer"}
    assert "parity" not in found["bpb"]
    assert "parity" not in found["tokenizer"]
    with pytest.raises(DemoticError, match="not two lines in English"):
        raise run(model, "--parallel", path, "--metrics", "mexa").exception


def test_two_models_of_one_name_are_refused(model: Path) -> None:
    with pytest.raises(DemoticError, match="Two models are called llama"):
        raise run(model, model).exception
