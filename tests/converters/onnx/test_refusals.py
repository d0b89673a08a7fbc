"""What is not exported is refused, and nothing half done or wrong is ever left; what is asked for otherwise is heeded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort  # type: ignore[import-untyped]  # it has no types
import pytest
import torch
import transformers
from onnx import numpy_helper
from typer.testing import CliRunner

import demotic
from converters.files import folder_beside
from converters.onnx import export as pipeline
from converters.onnx import graph as graphs
from converters.onnx.export import Request, export
from converters.onnx.graph import Graph
from converters.tokenizer_source import choose_tokenizer
from runtime.errors import ConversionRefused, InvalidRequest, UnsupportedArchitecture
from tests.converters.onnx.sources import Sources, encoder
from tests.tiny.adapters import save_adapter
from tests.tiny.flax import to_flax


def run(*arguments: str) -> Any:
    return CliRunner().invoke(demotic.make_app(), list(arguments))


def copied(sources: Sources, name: str, folder: Path, **config: Any) -> Path:
    """A copy of a checkpoint with other values in its config.json."""
    made = Path(shutil.copytree(sources.checkpoint(name), folder / "source"))
    values = json.loads((made / "config.json").read_text(encoding="utf-8"))
    (made / "config.json").write_text(json.dumps(values | config), encoding="utf-8")
    return made


@pytest.mark.parametrize("name", ["xlmr-ner", "mbart50", "llama"])
def test_a_graph_that_differs_from_its_source_is_never_written(
    name: str, sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_wrong(graph: Graph, folder: Path) -> tuple[Path, ...]:
        written = graphs.write_graph(graph, folder)
        model = onnx.load(written[0])
        largest = max(model.graph.initializer, key=lambda each: len(each.raw_data))
        array = numpy_helper.to_array(largest) * np.float32(1.01)
        largest.CopyFrom(numpy_helper.from_array(array, largest.name))
        onnx.save(model, written[0])
        return written

    monkeypatch.setattr(pipeline, "write_graph", write_wrong)
    with pytest.raises(ConversionRefused, match="does not compute what its source does"):
        export(Request(str(sources.checkpoint(name)), tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_nothing_is_left_when_it_is_broken_off(
    fault: BaseException, sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(graph: Graph, folder: Path) -> None:
        (folder / graph.file).write_bytes(b"half")
        raise fault

    monkeypatch.setattr(pipeline, "write_graph", broken)
    wanted = ConversionRefused if isinstance(fault, OSError) else KeyboardInterrupt
    with pytest.raises(wanted):
        export(Request(str(sources.checkpoint("bert")), tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_class_is_refused_with_the_nearest(sources: Sources, tmp_path: Path) -> None:
    folder = copied(sources, "bert", tmp_path, architectures=["BertForTokenClassifications"])
    with pytest.raises(UnsupportedArchitecture, match="nearest that is: BertForTokenClassification"):
        export(Request(str(folder), tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_head_that_the_checkpoint_lacks_is_refused(sources: Sources, tmp_path: Path) -> None:
    folder = copied(sources, "xlmr-mlm", tmp_path, architectures=["XLMRobertaForTokenClassification"])
    with pytest.raises(ConversionRefused, match=r"lacks .* weights of XLMRobertaForTokenClassification.*classifier"):
        export(Request(str(folder), tmp_path / "out"))


def test_a_tokenizer_with_more_tokens_than_rows_is_refused(sources: Sources, tmp_path: Path) -> None:
    folder = copied(sources, "xlmr-ner", tmp_path)
    shutil.copyfile(sources.checkpoint("llama") / "tokenizer.json", folder / "tokenizer.json")
    with pytest.raises(ConversionRefused, match="has tokens up to"):
        export(Request(str(folder), tmp_path / "out"))


@pytest.mark.parametrize("options", [["--type", "q8_0"], ["--reranker"], ["--base", "x"]])
def test_options_that_graphs_have_not_are_refused(options: list[str], sources: Sources) -> None:
    done = run("convert", str(sources.checkpoint("bert")), "--to", "onnx", *options)
    assert isinstance(done.exception, InvalidRequest)
    assert options[0] in done.exception.message


def test_the_command_makes_a_folder_and_says_how_near_it_is(sources: Sources, tmp_path: Path) -> None:
    out = tmp_path / "xlmr-ner-onnx"
    arguments = ("convert", str(sources.checkpoint("xlmr-ner")), "--to", "onnx", "-o", str(out))
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    assert "largest difference to the source" in done.stderr
    assert {path.name for path in out.iterdir()} == {"model.onnx", "tokenizer.json", "demotic.json", "manifest.json"}
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["made_from"] == "xlmr-ner"
    assert {each["name"] for each in manifest["files"]} == {"model.onnx", "tokenizer.json", "demotic.json"}
    shown = json.loads(run("show", str(out), "--json").stdout)
    assert shown["name"] == "xlmr-ner-onnx"
    assert (shown["task"], shown["made_from"], shown["size_bytes"]) == ("token-classify", "xlmr-ner", manifest["size"])
    assert "token-classify" in run("show", str(out)).stdout
    assert isinstance(run(*arguments).exception, ConversionRefused)
    again = run(*arguments, "--force", "--json")
    assert json.loads(again.stdout)["parity"]["max_difference"] < 2e-4
    assert [path.name for path in tmp_path.iterdir()] == ["xlmr-ner-onnx"]


def test_force_spares_a_folder_that_is_something_else(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("kept")
    with pytest.raises(ConversionRefused, match="not overwritten"):
        export(Request(str(sources.checkpoint("bert")), tmp_path / "letters", force=True))
    assert (tmp_path / "letters" / "dear.txt").read_text() == "kept"


def test_a_folder_that_fails_leaves_the_one_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with pytest.raises(KeyError), folder_beside(tmp_path / "out") as folder:
        (folder / "new").touch()
        raise KeyError
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["old"]
    with folder_beside(tmp_path / "out") as folder:
        (folder / "new").touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_weights_beyond_what_one_file_holds_go_into_a_second(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "MAX_INSIDE_BYTES", 10**5)
    done = export(Request(str(sources.checkpoint("xlmr-ner")), tmp_path / "out"))
    names = {each.name for each in done.manifest.files}
    assert names == {"model.onnx", "model.onnx.data", "tokenizer.json", "demotic.json"}
    assert (done.path / "model.onnx").stat().st_size < 10**5 < (done.path / "model.onnx.data").stat().st_size
    ids = np.array([[5, 9, 30]])
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    (found,) = ort.InferenceSession(done.path / "model.onnx").run(None, inputs)
    (wanted,) = ort.InferenceSession(sources.exported("xlmr-ner").path / "model.onnx").run(None, inputs)
    assert np.array_equal(found, wanted)


def test_what_sentence_transformers_saved_gives_vectors_as_it_says(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    encoder("BertForMaskedLM", "BertConfig")(folder)
    modules = [{"type": "sentence_transformers.models.Transformer"}, {"type": "sentence_transformers.models.Pooling"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    done = export(Request(str(folder), tmp_path / "out"))
    settings = json.loads((done.path / "demotic.json").read_text())
    assert (settings["task"], settings["pooling"]) == ("features", "cls")


def test_weights_of_flax_are_read_as_those_of_torch(sources: Sources, tmp_path: Path) -> None:
    folder = copied(sources, "byt5", tmp_path)
    to_flax(folder)
    done = export(Request(str(folder), tmp_path / "out"))
    ids = np.array([[5, 90, 30]])
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    found, wanted = (
        ort.InferenceSession(path / "encoder.onnx").run(None, inputs)
        for path in (done.path, sources.exported("byt5").path)
    )
    assert all(np.array_equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_an_adapter_is_merged_before(sources: Sources, tmp_path: Path) -> None:
    base = sources.checkpoint("llama")
    plain = transformers.AutoModelForCausalLM.from_pretrained(base)
    adapted = save_adapter(tmp_path / "adapter", plain)
    done = export(Request(str(base), tmp_path / "out", adapter=str(tmp_path / "adapter")))
    settings = json.loads((done.path / "demotic.json").read_text())
    shape = (1, settings["sizes"]["heads"], 0, settings["sizes"]["head_size"])
    ids = torch.tensor([[5, 9, 30]])
    past = {name: np.zeros(shape, np.float32) for name in settings["inputs"]["model"] if name.startswith("past.")}
    inputs = {"input_ids": ids.numpy(), "attention_mask": np.ones((1, 3), np.int64), "position_ids": np.arange(3)[None]}
    (found,) = ort.InferenceSession(done.path / "model.onnx").run(["logits"], {**inputs, **past})
    with torch.no_grad():
        assert np.abs(found - adapted(ids).logits.numpy()).max() < 2e-4
        assert np.abs(found - plain(ids).logits.numpy()).max() > 1e-2
    assert done.manifest.adapter is not None


def test_files_of_pieces_are_fetched_with_their_vocabulary() -> None:
    marian = {"source.spm", "target.spm", "vocab.json", "config.json"}
    assert set(choose_tokenizer(marian)) == marian - {"config.json"}
    assert choose_tokenizer({"sentencepiece.bpe.model", "vocab.json"}) == ("sentencepiece.bpe.model", "vocab.json")
    assert choose_tokenizer({"sentencepiece.bpe.model", "tokenizer.json"}) == ("tokenizer.json",)


def test_a_reward_is_read_before_the_padding_token_also_where_it_ends_a_text(sources: Sources, tmp_path: Path) -> None:
    """transformers looks for the last token that is not the padding token, and so does the graph."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(sources.checkpoint("llama-reward"))
    ids = [[5, 9, 30, 0]]
    with torch.no_grad():
        wanted = float(model(input_ids=torch.tensor(ids)).logits[0, 0])
    computed = ort.InferenceSession(sources.exported("llama-reward").path / "model.onnx")
    (found,) = computed.run(None, {"input_ids": np.array(ids), "attention_mask": np.ones((1, 4), np.int64)})
    assert float(found[0, 0]) == pytest.approx(wanted, abs=2e-4)
