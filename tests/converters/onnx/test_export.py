"""Every class becomes graphs that compute what their source does, with settings that tell the rest."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]  # it has no types
import pytest
import torch
import transformers

from converters.onnx.export import Exported
from converters.onnx.parity import MAX_DIFFERENCE
from converters.probes import LINES
from tests.converters.onnx.sources import MAKERS, Sources

TASKS = {
    "bert": "features", "bert-qa": "question-answering", "bert-ner": "token-classify", "bert-mlm": "fill-mask",
    "bert-pairs": "classify",
    "roberta": "classify", "roberta-ner": "token-classify", "roberta-mlm": "fill-mask",
    "xlmr-ner": "token-classify", "xlmr-topics": "classify",
    "xlmr-mlm": "fill-mask", "deberta": "classify", "deberta-ner": "token-classify",
    "longformer": "classify", "longformer-mlm": "fill-mask",
    "longformer-qa": "question-answering", "t5": "text2text", "mt5": "text2text", "mt5-encoder": "features",
    "madlad": "text2text",
    "byt5": "text2text", "mbart50": "translate", "m2m100": "translate", "marian": "translate", "llama": "generate",
    "gemma3": "generate", "gpt2": "generate", "bloom": "generate", "llama-reward": "reward", "qwen3-reward": "reward",
    "qwen3-embedding": "features",
}  # fmt: skip
WRITERS = {name for name, task in TASKS.items() if task in {"text2text", "translate", "generate"}}
TRANSLATORS = [name for name, task in TASKS.items() if task in {"text2text", "translate"}]


def settings_of(done: Exported) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((done.path / "demotic.json").read_text(encoding="utf-8"))
    return found


def session(done: Exported, graph: str = "model") -> ort.InferenceSession:
    path = done.path / settings_of(done)["graphs"][graph]
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", MAKERS)
def test_each_class_is_exported_as_near_to_its_source_as_is_allowed(name: str, sources: Sources) -> None:
    done = sources.exported(name)
    parity = done.manifest.parity
    assert parity is not None
    ways = {"full", "padded_left", "padded_right"} | ({"steps", "chunks"} if name in WRITERS else set())
    assert set(parity) == ways | {"rows", "max_difference"} | ({"greedy"} if name in WRITERS else set())
    assert 0 < parity["max_difference"] < MAX_DIFFERENCE
    settings = settings_of(done)
    assert settings["task"] == TASKS[name]
    for graph in settings["graphs"]:
        computed = session(done, graph)
        assert [each.name for each in computed.get_inputs()] == settings["inputs"][graph]
        assert [each.name for each in computed.get_outputs()] == settings["outputs"][graph]


@pytest.mark.parametrize("name", TRANSLATORS)
def test_both_graphs_write_what_transformers_generates(name: str, sources: Sources) -> None:
    done = sources.exported(name)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(sources.checkpoint(name))
    ids = torch.tensor([[9, 12, 40, 33, 7, 21]])
    # Without a cache: transformers makes one of as many layers as the encoder has.
    options: dict[str, Any] = {"max_new_tokens": 15, "num_beams": 1, "do_sample": False, "use_cache": False}
    wanted = model.generate(input_ids=ids, **options, eos_token_id=None, forced_eos_token_id=None)[0].tolist()
    settings = settings_of(done)
    sizes, start = settings["sizes"], settings["tokens"]["decoder_start"]
    mask = np.ones((1, 6), np.int64)
    crossed = session(done, "encoder").run(None, {"input_ids": ids.numpy(), "attention_mask": mask})
    given = dict(zip(settings["outputs"]["encoder"], crossed, strict=True))
    past = [each for each in settings["inputs"]["decoder"] if each.startswith("past.")]
    cached = {each: np.zeros((1, sizes["heads"], 0, sizes["head_size"]), np.float32) for each in past}
    decoder, text = session(done, "decoder"), [start]
    while len(text) < len(wanted):
        new = {"input_ids": [text[-1:]], "attention_mask": np.ones((1, len(text)))}
        new = {key: np.asarray(value, np.int64) for key, value in new.items()}
        logits, *present = decoder.run(None, {**new, "encoder_attention_mask": mask, **given, **cached})
        cached = dict(zip(past, present, strict=True))
        text.append(int(logits[0, -1].argmax()))
    assert text == wanted


@pytest.mark.parametrize("name", ["llama-reward", "qwen3-reward"])
def test_a_reward_is_that_of_the_last_token_that_is_no_padding(name: str, sources: Sources) -> None:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(sources.checkpoint(name))
    rows = [[5, 9, 30, 41], [8, 7]]
    with torch.no_grad():
        wanted = [float(model(input_ids=torch.tensor([row])).logits[0, 0]) for row in rows]
    assert abs(wanted[0] - wanted[1]) > 1e-2
    computed = session(sources.exported(name))
    for ids, mask in (
        ([[5, 9, 30, 41], [8, 7, 0, 0]], [[1, 1, 1, 1], [1, 1, 0, 0]]),
        ([[5, 9, 30, 41], [0, 0, 8, 7]], [[1, 1, 1, 1], [0, 0, 1, 1]]),
    ):
        inputs = {"input_ids": np.array(ids), "attention_mask": np.array(mask)}
        (found,) = computed.run(None, inputs)
        assert found[:, 0] == pytest.approx(wanted, abs=MAX_DIFFERENCE)


def test_a_window_is_seen_in_a_text_that_is_longer_than_it(sources: Sources) -> None:
    done = sources.exported("gemma3")
    config = json.loads((sources.checkpoint("gemma3") / "config.json").read_text())
    assert config["sliding_window"] < 20 < done.manifest.parity["rows"] * 20  # type: ignore[index]
    model = transformers.AutoModelForCausalLM.from_pretrained(sources.checkpoint("gemma3"))
    ids = torch.arange(45)[None] + 20
    settings = settings_of(done)
    sizes = settings["sizes"]
    shape = (1, sizes["heads"], 0, sizes["head_size"])
    past = {each: np.zeros(shape, np.float32) for each in settings["inputs"]["model"] if each.startswith("past.")}
    inputs = {
        "input_ids": ids.numpy(),
        "attention_mask": np.ones((1, 45), np.int64),
        "position_ids": np.arange(45)[None],
    }
    logits = session(done).run(["logits"], {**inputs, **past})[0]
    with torch.no_grad():
        assert np.abs(logits - model(ids).logits.numpy()).max() < MAX_DIFFERENCE


def test_a_tied_head_is_written_once(sources: Sources) -> None:
    for name, times in (("xlmr-mlm", 1), ("mbart50", 1)):
        done, checkpoint = sources.exported(name), sources.checkpoint(name)
        settings = settings_of(done)
        table = settings["sizes"]["vocabulary"] * settings["sizes"]["width"] * 4
        graph = "decoder" if "decoder" in settings["graphs"] else "model"
        others = (checkpoint / "model.safetensors").stat().st_size - table
        assert (done.path / settings["graphs"][graph]).stat().st_size < others + (times + 0.9) * table


def test_settings_tell_labels_pooling_and_what_a_longformer_sees(sources: Sources) -> None:
    assert settings_of(sources.exported("xlmr-ner"))["labels"] == ["O", "B-PER", "I-PER"]
    assert settings_of(sources.exported("bert"))["pooling"] == "mean"
    assert settings_of(sources.exported("qwen3-embedding"))["pooling"] == "last"
    assert settings_of(sources.exported("bert"))["inputs"]["model"][-1] == "token_type_ids"
    assert settings_of(sources.exported("longformer-qa"))["global_attention"] == "question"
    assert settings_of(sources.exported("longformer-mlm"))["global_attention"] == "none"
    assert settings_of(sources.exported("t5"))["max_length"] is None
    assert settings_of(sources.exported("roberta"))["max_length"] == 128
    generation = settings_of(sources.exported("mbart50"))
    assert generation["generation"]["num_beams"] == 5
    assert generation["tokens"] | {"decoder_start": 1, "forced_eos": 1, "eos": [1], "pad": 0} == generation["tokens"]


def test_settings_tell_languages_and_where_they_go(sources: Sources) -> None:
    found = {name: settings_of(sources.exported(name))["languages"] for name in ("mbart50", "m2m100", "marian", "t5")}
    assert found["t5"] is None
    ids = found["mbart50"]["codes"]
    assert list(ids) == ["bg_BG", "en_XX", "sw_KE"]
    assert found["mbart50"] | {"source": ["source", "text", 1], "target": "forced_bos"} == found["mbart50"]
    theirs = transformers.M2M100Tokenizer.from_pretrained(sources.checkpoint("m2m100"))
    assert found["m2m100"]["codes"] == theirs.lang_code_to_id
    assert found["m2m100"]["source"] == ["source", "text", 2]
    vocabulary = json.loads((sources.checkpoint("marian") / "vocab.json").read_text())
    assert found["marian"] == {
        "codes": {"bul": vocabulary[">>bul<<"], "swa": vocabulary[">>swa<<"]},
        "source": ["target", "text", 0],
        "target": "in_source",
    }


def test_the_languages_of_a_source_are_put_where_transformers_puts_them(sources: Sources) -> None:
    text = LINES["fra_Latn"]
    theirs = transformers.M2M100Tokenizer.from_pretrained(sources.checkpoint("m2m100"), src_lang="bg")
    languages = settings_of(sources.exported("m2m100"))["languages"]
    wanted = theirs(text).input_ids
    assert (wanted[0], wanted[-1]) == (languages["codes"]["bg"], languages["source"][-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it recommends a package
        marian = transformers.MarianTokenizer.from_pretrained(sources.checkpoint("marian"))
    marked = marian(f">>swa<< {text}").input_ids
    assert marked[0] == settings_of(sources.exported("marian"))["languages"]["codes"]["swa"]


def test_tokenizers_are_carried_in_the_form_that_they_have(sources: Sources) -> None:
    def carried(name: str) -> tuple[str, set[str]]:
        done = sources.exported(name)
        others = {"demotic.json", "manifest.json"}
        names = {path.name for path in done.path.iterdir() if path.suffix != ".onnx"} - others
        return settings_of(done)["tokenizer"]["kind"], names

    assert carried("llama") == ("tokenizer.json", {"tokenizer.json"})
    assert carried("byt5") == ("bytes", set())
    assert carried("m2m100") == ("sentencepiece", {"sentencepiece.bpe.model", "vocab.json"})
    assert carried("marian") == ("sentencepiece", {"source.spm", "target.spm", "vocab.json"})
    assert settings_of(sources.exported("byt5"))["tokenizer"]["sentinels"] == 125
