"""A folder of graphs becomes a smaller one that is as near as its report says, or nothing at all."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort  # type: ignore[import-untyped]  # it has no types
import pytest
from onnx import TensorProto
from typer.testing import CliRunner

import demotic
from converters.checkpoint import open_checkpoint
from converters.onnx import quantize as pipeline
from converters.onnx.artefact import encode_of, open_artefact
from converters.onnx.computed import NUM_GREEDY
from converters.onnx.difference import USUAL, Report, chosen_languages, texts_of
from converters.onnx.quantize import Request, Shrinking, Shrunk, quantize
from converters.onnx.tokenizer import carried_tokenizer
from converters.probes import DECLARATION
from runtime.backends.base import Passage
from runtime.backends.load import load_encoder
from runtime.card import ModelCard
from runtime.config import EngineConfig
from runtime.errors import ConversionRefused, DemoticError, InvalidRequest, ModelNotFound
from runtime.hardware.probe import probe
from runtime.models.files import NoProgress
from tests.converters.onnx.sources import TOPICS, Sources
from tests.runtime.onnx.folders import file_of

LANGUAGES = ("eng", "bul")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(demotic.make_app(), list(arguments))


def shrunk(sources: Sources, name: str, target: Path, type_name: str, **options: Any) -> Shrunk:
    wanted = Shrinking(type_name, languages=LANGUAGES, **options)
    return quantize(Request(sources.exported(name).path, target / f"{name}-{type_name}", wanted))


def operators(done: Shrunk, graph: str = "model.onnx") -> set[str]:
    return {node.op_type for node in onnx.load(done.path / graph).graph.node}


def matrices_in_float32(path: Path) -> list[int]:
    found = onnx.load(path).graph.initializer
    return [int(np.prod(each.dims)) for each in found if each.data_type == TensorProto.FLOAT and len(each.dims) == 2]


@pytest.mark.parametrize(
    ("name", "measure"), [("bert", "cosine"), ("xlmr-mlm", "cosine"), ("llama-reward", "score"), ("llama", "top_1")]
)
def test_int8_keeps_what_is_read_and_written_in_a_half_of_the_bytes(
    name: str, measure: str, sources: Sources, tmp_path: Path
) -> None:
    done = shrunk(sources, name, tmp_path, "int8")
    before, after = done.report.num_bytes
    assert after < 0.5 * before
    assert after == sum(path.stat().st_size for path in done.path.glob("model.onnx*"))
    assert done.report.measure == measure
    assert [line.language for line in done.report.lines] == ["eng_Latn", "bul_Cyrl"]
    # A score of random weights may be next to nothing, and then any difference is a large share of it.
    assert (-math.inf if measure == "score" else 0.5) < done.report.worst.kept <= 1
    assert all(line.max_difference < 0.5 for line in done.report.lines) or measure != "score"
    assert all(line.max_difference > 0 and min(line.milliseconds) > 0 for line in done.report.lines)
    settings = json.loads((done.path / "demotic.json").read_text())
    whole = json.loads((sources.exported(name).path / "demotic.json").read_text())
    assert settings == {**whole, "quantization": {"type": "int8", "embedding": "int8", "embedding_rank": None}}
    manifest = json.loads((done.path / "manifest.json").read_text())
    assert (manifest["type"], manifest["made_from"]) == ("INT8", name)
    assert manifest["size"] == sum(each["size"] for each in manifest["files"])
    assert {each["name"] for each in manifest["files"]} | {"manifest.json"} == {
        each.name for each in done.path.iterdir()
    }
    assert manifest["quantization"]["report"]["worst"] == done.report.worst.kept
    assert manifest["parity"] == sources.exported(name).manifest.parity
    assert "| bul_Cyrl |" in (done.path / "report.md").read_text()


@pytest.mark.parametrize("name", ["mbart50", "m2m100", "byt5"])
def test_both_graphs_of_an_encoder_decoder_are_made_smaller_and_its_tied_embedding_stays_one(
    name: str, sources: Sources, tmp_path: Path
) -> None:
    done = shrunk(sources, name, tmp_path, "int8")
    assert done.report.num_bytes[1] < 0.5 * done.report.num_bytes[0]
    for graph in ("encoder.onnx", "decoder.onnx"):
        assert "MatMulInteger" in operators(done, graph)
        sizes = json.loads((done.path / "demotic.json").read_text())["sizes"]
        assert sizes["vocabulary"] * sizes["width"] not in matrices_in_float32(done.path / graph)
    line = done.report.lines[0]
    assert line.mean_kl is not None
    assert line.mean_kl < 0.1
    assert line.num_greedy is not None
    assert line.num_greedy <= NUM_GREEDY
    assert 0.7 < done.report.worst.kept <= 1


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_decoders_have_their_weights_in_four_bits_also_where_products_add_a_bias(
    name: str, sources: Sources, tmp_path: Path
) -> None:
    done = shrunk(sources, name, tmp_path, "int4")
    found = operators(done)
    assert "MatMulNBits" in found
    assert "Gemm" not in found
    assert done.report.num_bytes[1] < 0.45 * done.report.num_bytes[0]
    assert all(line.mean_kl is not None and line.mean_kl < 1 for line in done.report.lines)


@pytest.mark.parametrize("name", ["xlmr-ner", "mbart50", "gpt2"])
def test_halves_are_computed_behind_inputs_and_outputs_in_float32(name: str, sources: Sources, tmp_path: Path) -> None:
    done = shrunk(sources, name, tmp_path, "fp16")
    assert done.report.worst.kept > 0.98
    for path in open_artefact(done.path).graphs.values():
        session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        assert {each.type for each in session.get_inputs()} <= {"tensor(int64)", "tensor(float)"}
        assert {each.type for each in session.get_outputs()} == {"tensor(float)"}
    before, after = done.report.num_bytes
    assert after < 0.65 * before


@pytest.mark.parametrize(("type_name", "apart"), [("int8", 0.12), ("int7", 0.2), ("fp16", 0.02)])
def test_padding_changes_no_more_than_the_type_does(
    type_name: str, apart: float, sources: Sources, tmp_path: Path
) -> None:
    done = shrunk(sources, "xlmr-ner", tmp_path, type_name)
    session = ort.InferenceSession(done.path / "model.onnx", providers=["CPUExecutionProvider"])
    whole = ort.InferenceSession(sources.exported("xlmr-ner").path / "model.onnx", providers=["CPUExecutionProvider"])
    ids = np.array([[5, 9, 30, 41, 7], [8, 7, 0, 0, 0]])
    inputs = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}
    (found,), (wanted,) = session.run(None, inputs), whole.run(None, inputs)
    assert np.abs(found - wanted)[ids > 0].max() < apart * np.abs(wanted).max()


def test_an_embedding_alone_is_made_smaller_and_the_rest_left(sources: Sources, tmp_path: Path) -> None:
    done = shrunk(sources, "xlmr-mlm", tmp_path, "fp32", embedding="int8")
    assert done.report.worst.kept > 0.999
    settings = json.loads((done.path / "demotic.json").read_text())
    assert settings["quantization"] == {"type": "fp32", "embedding": "int8", "embedding_rank": None}
    others = [size for size in matrices_in_float32(done.path / "model.onnx") if size == 64 * 96]
    assert len(others) == 4


def test_a_factorised_embedding_tells_what_is_kept_of_it(sources: Sources, tmp_path: Path) -> None:
    narrow = shrunk(sources, "bert", tmp_path, "int8", rank=48)
    plain = quantize(Request(sources.exported("bert").path, tmp_path / "plain", Shrinking("int8", languages=LANGUAGES)))
    assert narrow.report.num_bytes[1] < plain.report.num_bytes[1]
    assert narrow.manifest.quantization is not None
    assert 0.5 < narrow.manifest.quantization["embedding_kept"] < 1
    assert narrow.report.worst.kept < plain.report.worst.kept


def test_the_runtime_computes_what_was_made_smaller(sources: Sources, tmp_path: Path) -> None:
    done = shrunk(sources, "bert", tmp_path, "int8", rank=60)
    rows = [rows_of(path) for path in (sources.exported("bert").path, done.path)]
    cosine = rows[0] @ rows[1] / np.linalg.norm(rows[0]) / np.linalg.norm(rows[1])
    assert 0.9 < cosine < 1


def test_s17_topics_in_int8_keep_their_names_and_nearly_their_logits(sources: Sources, tmp_path: Path) -> None:
    paths = sources.exported("xlmr-topics").path, shrunk(sources, "xlmr-topics", tmp_path, "int8").path
    whole, small = (rows_of(path) for path in paths)
    assert 0 < np.abs(whole - small).max() < 0.1 * np.ptp(whole)
    settings = [json.loads((path / "demotic.json").read_text(encoding="utf-8")) for path in paths]
    assert settings[0]["labels"] == settings[1]["labels"] == list(TOPICS.values())


def rows_of(path: Path) -> np.ndarray[Any, Any]:
    """What an encoder's graph makes of a few tokens."""
    card = ModelCard.read(file_of(path))
    assert card.encoding is not None
    loaded = load_encoder(path, card.plan(probe(), EngineConfig(max_context=64)), card.encoding)
    rows = np.array(loaded.encoder.encode([Passage([5, 9, 30, 41])])[0])
    loaded.close()
    return rows


def test_what_loses_more_than_is_allowed_is_not_written(sources: Sources, tmp_path: Path) -> None:
    with pytest.raises(ConversionRefused, match=r"loses more than 0.001 \(cosine\) in 2 of 2 languages: .* 0\.\d"):
        shrunk(sources, "bert", tmp_path, "int4", max_drop=0.001)
    assert list(tmp_path.iterdir()) == []
    assert shrunk(sources, "bert", tmp_path, "int8", max_drop=0.01).report.worst.kept > 0.99


def test_what_is_no_number_is_refused(sources: Sources, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sources.exported("bert").path, tmp_path / "source"))
    model = onnx.load(folder / "model.onnx")
    norm = next(each for each in model.graph.initializer if "embeddings.LayerNorm.weight" in each.name)
    norm.CopyFrom(onnx.numpy_helper.from_array(np.full(norm.dims, 1e30, np.float32), norm.name))
    onnx.save(model, folder / "model.onnx")
    with pytest.raises(ConversionRefused, match="is no number"):
        quantize(Request(folder, tmp_path / "out", Shrinking("fp16", languages=LANGUAGES)))
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_what_is_quantized_is_not_quantized_again(sources: Sources, tmp_path: Path) -> None:
    done = shrunk(sources, "bert", tmp_path, "int8")
    with pytest.raises(ConversionRefused, match="quantized already"):
        quantize(Request(done.path, tmp_path / "again", Shrinking("fp16")))
    assert not (tmp_path / "again").exists()


def broken(folder: Path, fault: str) -> None:
    match fault:
        case "no settings":
            (folder / "demotic.json").unlink()
        case "no graph":
            (folder / "model.onnx").unlink()
        case "half a graph":
            content = (folder / "model.onnx").read_bytes()
            (folder / "model.onnx").write_bytes(content[: len(content) // 2])
        case "unknown operator":
            model = onnx.load(folder / "model.onnx")
            model.graph.node[0].op_type = "Divine"
            onnx.save(model, folder / "model.onnx")
        case "half the settings":
            content = (folder / "demotic.json").read_bytes()
            (folder / "demotic.json").write_bytes(content[:100])
        case "another tokenizer":
            (folder / "tokenizer.json").write_text("{}")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no settings", "no folder that demotic exported"), ("no graph", "lacks model.onnx"),
        ("half a graph", "cannot read model.onnx"), ("unknown operator", "cannot read model.onnx.*Divine"),
        ("half the settings", "demotic.json is damaged"), ("another tokenizer", "tokenizer of .* cannot be read"),
    ],
)  # fmt: skip
def test_a_folder_that_cannot_be_read_is_refused(fault: str, said: str, sources: Sources, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sources.exported("bert").path, tmp_path / "source"))
    broken(folder, fault)
    with pytest.raises(ConversionRefused, match=f"(?s){said}"):
        quantize(Request(folder, tmp_path / "out", Shrinking("int8")))
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_nothing_is_left_when_it_is_broken_off(
    fault: BaseException, sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(model: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise fault

    monkeypatch.setattr(pipeline, "save_graph", fails)
    with pytest.raises(ConversionRefused if isinstance(fault, OSError) else KeyboardInterrupt):
        shrunk(sources, "bert", tmp_path, "int8")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Shrinking("q8_0"), "no --type 'q8_0'"), (Shrinking("int8", embedding="int4"), "An embedding has no type"),
        (Shrinking("fp16", embedding="int8"), "in fp16 too"), (Shrinking("fp32"), "Nothing would change"),
        (Shrinking("int8", max_drop=3), "from 0 to 1"), (Shrinking("int8", languages=("klingon",)), "no text in"),
    ],
)  # fmt: skip
def test_what_there_is_not_is_refused(wanted: Shrinking, said: str, sources: Sources, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=said):
        quantize(Request(sources.exported("bert").path, tmp_path / "out", wanted))


def test_a_folder_does_not_become_itself(sources: Sources, tmp_path: Path) -> None:
    folder = sources.exported("bert").path
    with pytest.raises(InvalidRequest, match="folder to read from"):
        quantize(Request(folder, folder, Shrinking("int8"), force=True))
    with pytest.raises(ModelNotFound):
        quantize(Request(tmp_path / "nowhere", tmp_path / "out", Shrinking("int8")))


def test_the_languages_are_those_of_the_model_or_far_from_each_other(sources: Sources) -> None:
    assert chosen_languages(open_artefact(sources.exported("bert").path), ()) == list(USUAL)
    translator = open_artefact(sources.exported("mbart50").path)
    assert chosen_languages(translator, ()) == ["bul_Cyrl", "eng_Latn", "swh_Latn"]
    assert chosen_languages(translator, ("Bulgarian", "bg")) == ["bul_Cyrl"]


def test_a_translator_is_asked_for_each_language_as_its_settings_say(sources: Sources) -> None:
    artefact = open_artefact(sources.exported("mbart50").path)
    codes = artefact.settings["languages"]["codes"]
    texts = texts_of(artefact, encode_of(artefact), ["bul_Cyrl", "swh_Latn"])
    assert [text.ids[0] for text in texts] == [codes["bg_BG"], codes["sw_KE"]]
    assert [text.start for text in texts] == [[1, codes["bg_BG"]], [1, codes["sw_KE"]]]


@pytest.mark.parametrize("name", ["xlmr-mlm", "byt5", "m2m100"])
def test_each_tokenizer_reads_a_text_as_it_did_when_it_was_exported(name: str, sources: Sources) -> None:
    artefact = open_artefact(sources.exported(name).path)
    checkpoint = open_checkpoint(str(sources.checkpoint(name)), NoProgress())
    carried = carried_tokenizer(checkpoint, artefact.settings["sizes"]["vocabulary"])
    for language in USUAL:
        assert encode_of(artefact)(DECLARATION[language]) == carried.encode(DECLARATION[language])


def test_the_commands_make_and_refuse_it(sources: Sources, tmp_path: Path) -> None:
    source, out = str(sources.exported("xlmr-ner").path), tmp_path / "small"
    done = run("quantize", source, str(out), "--type", "int8", "--languages", "eng,Bulgarian")
    assert done.exit_code == 0, done.output
    assert "bul_Cyrl" in done.stdout
    assert "over 2 languages the lowest cosine is" in done.stderr
    assert json.loads(run("show", str(out), "--json").stdout)["quantization"] == "INT8"
    assert isinstance(run("quantize", source, str(out), "--type", "int8").exception, ConversionRefused)
    more = ("--force", "--json", "--languages", "eng", "--max-drop", "0.05", "--embedding-rank", "32")
    told = json.loads(run("quantize", source, str(out), "--type", "fp32", *more).stdout)
    assert told["quantization"]["embedding_rank"] == 32
    for options in (["--imatrix", "x"], ["--requantize"], ["--tensor-type", "a=b"], ["--output-type", "Q8_0"]):
        fault = run("quantize", source, str(tmp_path / "no"), "--type", "int8", *options).exception
        assert isinstance(fault, InvalidRequest)
        assert options[0] in fault.message
    assert isinstance(
        run("quantize", "a.gguf", "b.gguf", "--type", "Q8_0", "--max-drop", "1").exception, InvalidRequest
    )
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_an_export_is_made_smaller_in_one_go(sources: Sources, tmp_path: Path) -> None:
    arguments = ("convert", str(sources.checkpoint("bert")), "--to", "onnx", "-o", str(tmp_path / "small"))
    done = run(*arguments, "--type", "int8", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["type"], told["file"]) == ("INT8", "small")
    assert told["parity"]["max_difference"] < 2e-4
    names = {path.name for path in (tmp_path / "small").iterdir()}
    assert names == {"model.onnx", "tokenizer.json", "demotic.json", "manifest.json", "report.md"}
    refused = run(*arguments, "--force", "--type", "int4", "--max-drop", "0.0001")
    assert isinstance(refused.exception, DemoticError)
    assert json.loads((tmp_path / "small" / "manifest.json").read_text())["type"] == "INT8"
    assert isinstance(run(*arguments, "--max-drop", "0.1").exception, InvalidRequest)
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_the_worst_language_decides() -> None:
    from converters.onnx.difference import Line

    lines = tuple(Line(name, 9, (2.0, 1.0), kept, 0.1) for name, kept in (("eng_Latn", 0.999), ("yor_Latn", 0.9)))
    report = Report("cosine", (100, 30), lines)
    assert report.worst.language == "yor_Latn"
    assert report.speedup == 2
    report.require(0.11)
    with pytest.raises(ConversionRefused, match=r"in 1 of 2 languages: yor_Latn 0\.1"):
        report.require(0.05)
