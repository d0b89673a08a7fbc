"""Folders that optimum exported are read as they are, and compute what transformers computed of their models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest

from converters.onnx.weights import to_int8
from runtime.backends.base import Passage
from runtime.backends.load import load_encoder
from runtime.backends.onnx.optimum import open_graphs
from runtime.backends.onnx.session import Graph
from runtime.backends.onnx.tokenizer import load_tokenizer
from runtime.card import ModelCard
from runtime.config import EngineConfig
from runtime.errors import ModelFileInvalid, UnsupportedArchitecture
from runtime.hardware.choice import plan_for_folder
from runtime.hardware.plan import Plan
from runtime.hardware.probe import probe
from runtime.models.name import is_model_folder
from runtime.models.onnx_folder import OnnxFolder, read_folder
from runtime.models.onnx_languages import spoken_by
from runtime.models.onnx_names import read_names
from runtime.models.onnx_settings import Languages
from tests.runtime.onnx.folders import file_of

HERE = Path(__file__).parent / "optimum"
NEAR = 1e-4
WRITERS = ("t5-merged", "t5-split", "mbart50")


def reference(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / name / "reference.json").read_text(encoding="utf-8"))
    return found


def copied(name: str, target: Path) -> Path:
    return Path(shutil.copytree(HERE / name, target / name))


def changed(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


def plan_of(folder: OnnxFolder) -> Plan:
    return plan_for_folder(probe(), folder, EngineConfig(max_context=32))


def vectors(path: Path, ids: list[list[int]]) -> list[list[float]]:
    file = file_of(path)
    card = ModelCard.read(file)
    assert card.encoding is not None
    loaded = load_encoder(path, card.plan(probe(), EngineConfig(max_context=32)), card.encoding)
    rows = loaded.encoder.encode([Passage(tokens) for tokens in ids])
    loaded.close()
    return [list(map(float, row)) for row in rows]


class Written:
    """Both graphs under our names, with one source and a cache that grows."""

    def __init__(self, folder: OnnxFolder, graphs: dict[str, Graph], ids: list[int]) -> None:
        settings = folder.settings
        self.graphs, self.settings = graphs, settings
        self.role = "decoder" if "decoder" in graphs else "model"
        self.given: dict[str, Any] = {}
        if "encoder" in graphs:
            source = np.array([ids])
            cross = settings.outputs["encoder"]
            found = graphs["encoder"].run(cross, {"input_ids": source, "attention_mask": np.ones_like(source)})
            self.given = {**dict(zip(cross, found, strict=True)), "encoder_attention_mask": np.ones_like(source)}
        shape = (1, settings.sizes.heads, 0, settings.sizes.head_size)
        names = [name for name in settings.inputs[self.role] if name.startswith("past.")]
        self.past = {name: np.zeros(shape, np.float32) for name in names}

    def step(self, tokens: list[int]) -> np.ndarray[Any, Any]:
        begun = next(iter(self.past.values())).shape[2]
        places = np.arange(begun, begun + len(tokens))[None]
        ones = np.ones((1, begun + len(tokens)), np.int64)
        given = {
            "input_ids": np.array([tokens]),
            "attention_mask": ones,
            "position_ids": places,
            **self.given,
            **self.past,
        }
        names = self.settings.inputs[self.role]
        logits, *present = self.graphs[self.role].run(
            self.settings.outputs[self.role], {name: given[name] for name in names}
        )
        self.past = dict(zip(self.past, present, strict=True))
        found: np.ndarray[Any, Any] = logits[0]
        return found


@pytest.mark.parametrize("name", ["bert-classify", "xlmr-features"])
def test_encoders_give_the_numbers_of_transformers(name: str) -> None:
    wanted = reference(name)
    for found, row in zip(vectors(HERE / name, wanted["ids"]), wanted["rows"], strict=True):
        assert found == pytest.approx(row, abs=NEAR)
    assert max(map(abs, wanted["rows"][0])) > 0.1


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("cuts", [(6,), (1,) * 6, (2, 1, 3)], ids=["at once", "by steps", "in chunks"])
def test_encoder_decoders_give_the_logits_of_transformers_under_our_names(name: str, cuts: tuple[int, ...]) -> None:
    folder, wanted = read_folder(HERE / name), reference(name)
    graphs = open_graphs(folder, plan_of(folder))
    assert np.ptp(np.array(wanted["logits"][0]), axis=0).max() > 0.5
    for ids, logits in zip(wanted["ids"], wanted["logits"], strict=True):
        written, rows, at = Written(folder, graphs, ids), [], 0
        for size in cuts:
            rows.append(written.step(wanted["written"][at : at + size]))
            at += size
        assert np.abs(np.concatenate(rows) - np.array(logits)).max() < NEAR


@pytest.mark.parametrize("name", [*WRITERS, "llama"])
def test_greedy_answers_are_those_of_transformers(name: str) -> None:
    folder, wanted = read_folder(HERE / name), reference(name)
    graphs, settings = open_graphs(folder, plan_of(folder)), folder.settings
    for ids, answer in zip(wanted["ids"], wanted["greedy"], strict=True):
        written, text = Written(folder, graphs, ids), list(ids)
        if settings.shape == "encoder-decoder":
            text = [settings.tokens.decoder_start or 0]
            text += [settings.languages.codes["sw_KE"]] if settings.languages else []
        new = list(text)
        while len(text) < len(answer):
            logits = written.step(new)[-1].copy()
            logits[list(settings.tokens.eos)] = -np.inf
            new = [int(logits.argmax())]
            text += new
        assert text == answer


def test_sources_of_different_lengths_are_read_together() -> None:
    folder, wanted = read_folder(HERE / "mbart50"), reference("mbart50")
    graphs, names = open_graphs(folder, plan_of(folder)), folder.settings.outputs["encoder"]
    long, short = wanted["ids"]
    ids = np.array([long, [*short, *[1] * (len(long) - len(short))]])
    both = graphs["encoder"].run(names, {"input_ids": ids, "attention_mask": (ids != 1).astype(np.int64)})
    alone = np.array([short])
    one = graphs["encoder"].run(names, {"input_ids": alone, "attention_mask": np.ones_like(alone)})
    for padded, plain in zip(both, one, strict=True):
        assert np.abs(padded[1:, :, : len(short)] - plain).max() < NEAR


def test_settings_are_those_that_an_export_of_our_own_would_have() -> None:
    settings = read_folder(HERE / "mbart50").settings
    assert (settings.task, settings.shape, settings.architecture) == ("translate", "encoder-decoder", "mbart")
    assert settings.languages == Languages({"bg_BG": 21, "en_XX": 22, "sw_KE": 23}, ("source", "text", 3), "forced_bos")
    assert settings.inputs["decoder"][2:] == ("past.0.key", "past.0.value", "cross.0.key", "cross.0.value")
    assert (settings.tokens.decoder_start, settings.tokens.eos, settings.tokens.mask) == (3, (3,), 4)
    assert (settings.sizes.vocabulary, settings.sizes.heads, settings.sizes.head_size) == (24, 2, 8)
    labels = read_folder(HERE / "bert-classify").settings
    assert (labels.task, labels.labels, labels.max_length) == ("classify", ("bad", "good", "so-so"), 40)
    features = read_folder(HERE / "xlmr-features").settings
    assert (features.task, features.pooling, features.max_length) == ("features", "cls", 38)
    assert features.graphs == {"model": "onnx/model.onnx"}
    assert read_folder(HERE / "t5-split").settings.first == "decoder_model.onnx"
    assert read_folder(HERE / "llama").settings.shape == "decoder"


def test_each_tokenizer_is_read(tmp_path: Path) -> None:
    for name in ("bert-classify", "mbart50"):
        assert load_tokenizer(read_folder(HERE / name)).encode("the cat", parse_special=False) == [5, 7, 3]
    folder = copied("bert-classify", tmp_path)
    (folder / "tokenizer.json").unlink()
    changed(folder / "tokenizer_config.json", tokenizer_class="ByT5Tokenizer")
    with pytest.raises(ModelFileInvalid, match="no tokenizer that is read"):  # 21 rows are too few for bytes
        read_folder(folder)
    changed(folder / "config.json", vocab_size=384)
    assert load_tokenizer(read_folder(folder)).encode("ab", parse_special=False) == [100, 101, 1]


def test_a_translator_s_languages_beyond_its_vocabulary_are_known(tmp_path: Path) -> None:
    folder = copied("mbart50", tmp_path)
    (folder / "tokenizer.json").unlink()
    (folder / "sentencepiece.bpe.model").touch()
    (folder / "vocab.json").write_text(json.dumps({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}))
    changed(folder / "config.json", model_type="m2m_100", vocab_size=112)
    for graph in folder.glob("decoder*.onnx"):
        model = onnx.load(graph)
        model.graph.output[0].type.tensor_type.shape.dim[-1].ClearField("dim_value")
        onnx.save(model, graph)
    settings = read_folder(folder).settings
    assert settings.tokenizer.kind == "sentencepiece"
    assert settings.languages is not None
    assert settings.languages.codes["bg"] == 4 + 7
    assert settings.languages.codes["zu"] == 103


@pytest.mark.parametrize(
    ("model_type", "token", "tokenizer_class", "is_legacy", "source", "target"),
    [
        ("mbart", "bg_BG", "MBart50Tokenizer", False, ("source", "text", 2), "forced_bos"),
        ("mbart", "bg_BG", "MBartTokenizer", False, ("text", 2, "source"), "decoder_start"),
        ("m2m_100", "bul_Cyrl", "NllbTokenizer", False, ("source", "text", 2), "forced_bos"),
        ("m2m_100", "bul_Cyrl", "NllbTokenizer", True, ("text", 2, "source"), "forced_bos"),
        ("m2m_100", "__bg__", "M2M100Tokenizer", False, ("source", "text", 2), "forced_bos"),
        ("marian", ">>bul<<", "MarianTokenizer", False, ("target", "text", 2), "in_source"),
        ("t5", "<2bg>", "T5Tokenizer", False, ("target", "text", 2), "in_source"),
    ],
)
def test_each_family_has_its_own_place_for_languages(
    model_type: str, token: str, tokenizer_class: str, is_legacy: bool, source: tuple[str | int, ...], target: str
) -> None:
    tokens = {"</s>": 2, token: 7}
    found = spoken_by(model_type, tokens, tokenizer_class=tokenizer_class, is_legacy=is_legacy)
    assert found is not None
    assert (found.source, found.target, list(found.codes.values())) == (source, target, [7])
    assert spoken_by(model_type, {"</s>": 2}, tokenizer_class=tokenizer_class, is_legacy=is_legacy) is None


@pytest.mark.parametrize("variant", ["model_quantized", "model_int8", "model_fp16", "model_O3"])
def test_variants_of_a_graph_are_found_and_the_whole_one_first(variant: str, tmp_path: Path) -> None:
    folder = copied("xlmr-features", tmp_path)
    shutil.copyfile(folder / "onnx" / "model.onnx", folder / "onnx" / f"{variant}.onnx")
    assert read_folder(folder).settings.graphs == {"model": "onnx/model.onnx"}
    (folder / "onnx" / "model.onnx").unlink()
    assert read_folder(folder).settings.graphs == {"model": f"onnx/{variant}.onnx"}


def test_a_quantized_graph_is_computed(tmp_path: Path) -> None:
    folder, wanted = copied("bert-classify", tmp_path), reference("bert-classify")
    model = onnx.load(folder / "model.onnx")
    assert to_int8(model) > 4
    onnx.save(model, folder / "model_quantized.onnx")
    (folder / "model.onnx").unlink()
    for found, row in zip(vectors(folder, wanted["ids"]), wanted["rows"], strict=True):
        assert found == pytest.approx(row, abs=0.3)
        assert found != row


def test_vectors_that_a_graph_pools_besides_are_left_alone(tmp_path: Path) -> None:
    folder, wanted = copied("xlmr-features", tmp_path), reference("xlmr-features")
    model = onnx.load(folder / "onnx" / "model.onnx")
    states = model.graph.output[0]
    pooled = onnx.helper.make_tensor_value_info("sentence_embedding", onnx.TensorProto.FLOAT, ["batch_size", 16])
    model.graph.node.append(onnx.helper.make_node("Identity", ["last_hidden_state"], ["token_embeddings"]))
    model.graph.node.append(
        onnx.helper.make_node("ReduceMax", ["last_hidden_state", "axis"], ["sentence_embedding"], keepdims=0)
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), "axis"))
    states.name = "token_embeddings"
    model.graph.output.insert(0, pooled)
    onnx.save(model, folder / "onnx" / "model.onnx")
    assert read_folder(folder).settings.outputs == {"model": ("token_embeddings", "sentence_embedding")}
    assert vectors(folder, wanted["ids"])[0] == pytest.approx(wanted["rows"][0], abs=NEAR)


def broken(folder: Path, fault: str) -> None:
    match fault:
        case "no first step":
            (folder / "decoder_model.onnx").unlink()
        case "no cache":
            (folder / "decoder_with_past_model.onnx").unlink()
        case "no tokenizer":
            (folder / "tokenizer.json").unlink()
        case "half a graph":
            path = folder / "decoder_with_past_model.onnx"
            path.write_bytes(path.read_bytes()[:5000])
        case "no graph":
            (folder / "decoder_with_past_model.onnx").write_bytes(b"\x00\xff" * 40)
        case "half the config":
            (folder / "config.json").write_text("{")
        case "no sizes":
            (folder / "config.json").write_text('{"model_type": "t5"}')
        case "token beyond":
            changed(folder / "generation_config.json", eos_token_id=900)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no first step", "without its first step"), ("no cache", "without a cache"),
        ("no tokenizer", "has no tokenizer that is read"), ("half a graph", "is no ONNX graph: it ends too soon"),
        ("no graph", "is no ONNX graph"), ("half the config", "config.json is damaged"),
        ("no sizes", "does not say how large"), ("token beyond", "names token 900"),
    ],
)  # fmt: skip
def test_a_folder_that_cannot_be_run_says_why(fault: str, said: str, tmp_path: Path) -> None:
    folder = copied("t5-split", tmp_path)
    broken(folder, fault)
    assert is_model_folder(folder)
    with pytest.raises((ModelFileInvalid, UnsupportedArchitecture), match=said):
        read_folder(folder)


def test_pooling_that_no_graph_computes_is_refused(tmp_path: Path) -> None:
    folder = copied("xlmr-features", tmp_path)
    changed(folder / "1_Pooling" / "config.json", pooling_mode_cls_token=False, pooling_mode_weightedmean_tokens=True)
    with pytest.raises(UnsupportedArchitecture, match="pools by pooling_mode_weightedmean_tokens"):
        read_folder(folder)
    (folder / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.Dense"}]))
    with pytest.raises(
        UnsupportedArchitecture, match=r"a layer over its vectors \(sentence_transformers.models.Dense\)"
    ):
        read_folder(folder)


def test_a_head_that_is_not_run_is_refused(tmp_path: Path) -> None:
    folder = copied("bert-classify", tmp_path)
    changed(folder / "config.json", architectures=["BertForMultipleChoice"])
    with pytest.raises(UnsupportedArchitecture, match="holds a BertForMultipleChoice that gives logits"):
        read_folder(folder)


def test_folders_without_graphs_are_none(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert not is_model_folder(tmp_path)
    assert not is_model_folder(tmp_path / "nowhere")


def test_names_and_sizes_are_read_as_onnx_reads_them() -> None:
    for path in sorted(HERE.rglob("*.onnx")):
        graph, found = onnx.load(path).graph, read_names(path)
        for values, names in ((graph.input, found.inputs), (graph.output, found.outputs)):
            assert [each.name for each in values] == list(names)
            for each in values:
                sizes = [size.dim_value or None for size in each.type.tensor_type.shape.dim]
                assert names[each.name] == tuple(sizes)


def test_show_tells_of_a_folder_of_optimum_s() -> None:
    from typer.testing import CliRunner

    import demotic

    shown = CliRunner().invoke(demotic.make_app(), ["show", str(HERE / "bert-classify"), "--json"])
    facts = msgspec.json.decode(shown.stdout)
    assert (facts["task"], facts["labels"], facts["architecture"]) == ("classify", ["bad", "good", "so-so"], "bert")
