"""Make the folders beside this file: tiny random models as optimum exports them, and what transformers computes of each.

    VENV=.venv-optimum scripts/setup optimum
    .venv-optimum/bin/python tests/runtime/onnx/optimum/make.py

It needs nothing of demotic. Run it only to change the folders: weights and graphs come out anew.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers as installed
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

transformers: Any = installed  # version 4, whose types are not those of the version that checks this file
HERE = Path(__file__).parent
WORDS = "▁the ▁a ▁cat ▁sat ▁on ▁mat ▁котка ▁сума ▁вода s t e a o n ▁".split()
LANGUAGES = ["bg_BG", "en_XX", "sw_KE"]
IDS = [[5, 9, 7, 12, 3], [6, 11, 3]]
WRITTEN = [3, 9, 14, 6, 8, 17]
NUM_GREEDY = 12
SIZES: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 40, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 3,
}  # fmt: skip


def tokenizer(*more: str) -> Tokenizer:
    """A Unigram vocabulary with special tokens first, and `more` last."""
    special = ["<s>", "<pad>", "<unk>", "</s>", "<mask>"]
    pieces = [*special, *WORDS]
    made = Tokenizer(models.Unigram([(piece, -float(at)) for at, piece in enumerate(pieces)], unk_id=2))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 3)])
    made.add_special_tokens([*special, *more])
    return made


def random(name: str, config: Any) -> Any:
    """A model of this class whose every weight is drawn, biases and norms too."""
    torch.manual_seed(7)
    model = getattr(transformers, name)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.3 + (1.0 if parameter.ndim == 1 else 0.0))
    return model


def export(model: Any, vocabulary: Tokenizer, task: str, target: Path, named: str = "PreTrainedTokenizerFast") -> None:
    """Save a checkpoint, let optimum export it, and keep what it wrote without what no reader needs."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        model.save_pretrained(source)
        special = {"bos": "<s>", "pad": "<pad>", "unk": "<unk>", "eos": "</s>", "mask": "<mask>"}
        wrapped = transformers.PreTrainedTokenizerFast(
            tokenizer_object=vocabulary, **{f"{kind}_token": text for kind, text in special.items()}
        )
        wrapped.save_pretrained(source)
        command = [sys.executable, "-m", "optimum.commands.optimum_cli", "export", "onnx", "--model", str(source)]
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run([*command, "--task", task, str(target)], check=True)
    settings = json.loads((target / "tokenizer_config.json").read_text(encoding="utf-8"))
    (target / "tokenizer_config.json").write_text(
        json.dumps({**settings, "tokenizer_class": named}, ensure_ascii=False), encoding="utf-8"
    )


def keep_reference(target: Path, **values: Any) -> None:
    """Write what transformers computes."""
    (target / "reference.json").write_text(json.dumps(values), encoding="utf-8")


def row(array: Any) -> list[float]:
    """Numbers as JSON has them."""
    return [round(float(each), 5) for each in array.detach().flatten()]


def greedy(model: Any, ids: list[int], **options: Any) -> list[int]:
    """What `generate` writes, without an end."""
    still = {"min_new_tokens": NUM_GREEDY, "max_new_tokens": NUM_GREEDY, "num_beams": 1, "do_sample": False}
    return [int(token) for token in model.generate(torch.tensor([ids]), **still, **options)[0]]


def written(model: Any, ids: list[int]) -> list[list[float]]:
    """Logits of an encoder-decoder at each place of `WRITTEN`."""
    logits = model(input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([WRITTEN])).logits[0]
    return [row(each) for each in logits]


def make_classifier() -> None:
    """BERT with labels: model.onnx at the top."""
    vocabulary = tokenizer()
    labels = {"id2label": {0: "bad", 1: "good", 2: "so-so"}, "label2id": {"bad": 0, "good": 1, "so-so": 2}}
    config = transformers.BertConfig(vocab_size=vocabulary.get_vocab_size(), type_vocab_size=2, **SIZES, **labels)
    model, target = random("BertForSequenceClassification", config), HERE / "bert-classify"
    export(model, vocabulary, "text-classification", target)
    keep_reference(target, ids=IDS, rows=[row(model(torch.tensor([ids])).logits[0]) for ids in IDS])


def make_embedder() -> None:
    """XLM-R for vectors: the layout of the hub, graphs in a folder of their own and sentence-transformers' files."""
    vocabulary = tokenizer()
    config = transformers.XLMRobertaConfig(vocab_size=vocabulary.get_vocab_size(), type_vocab_size=1, **SIZES)
    model, target = random("XLMRobertaModel", config), HERE / "xlmr-features"
    export(model, vocabulary, "feature-extraction", target)
    (target / "onnx").mkdir()
    (target / "model.onnx").rename(target / "onnx" / "model.onnx")
    modules = [{"type": "sentence_transformers.models.Transformer"}, {"type": "sentence_transformers.models.Pooling"}]
    (target / "modules.json").write_text(json.dumps(modules))
    (target / "1_Pooling").mkdir()
    (target / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    states = [model(torch.tensor([ids])).last_hidden_state[0] for ids in IDS]
    keep_reference(target, ids=IDS, rows=[row(each[0]) for each in states])


def make_decoder() -> None:
    """Llama with a cache: one graph."""
    vocabulary = tokenizer()
    config = transformers.LlamaConfig(
        vocab_size=vocabulary.get_vocab_size(), num_key_value_heads=1, tie_word_embeddings=False, **SIZES
    )
    model, target = random("LlamaForCausalLM", config), HERE / "llama"
    export(model, vocabulary, "text-generation-with-past", target)
    logits = [row(model(torch.tensor([ids])).logits[0, -1]) for ids in IDS]
    keep_reference(target, ids=IDS, rows=logits, greedy=[greedy(model, ids) for ids in IDS])


def make_t5() -> None:
    """T5, once with one decoder for all steps and once with two."""
    vocabulary = tokenizer()
    config = transformers.T5Config(
        vocab_size=vocabulary.get_vocab_size(), d_model=16, d_kv=8, d_ff=24, num_layers=1, num_decoder_layers=1,
        num_heads=2, pad_token_id=1, eos_token_id=3, decoder_start_token_id=1, tie_word_embeddings=False,
    )  # fmt: skip
    model, target = random("T5ForConditionalGeneration", config), HERE / "t5-merged"
    export(model, vocabulary, "text2text-generation-with-past", target, "T5Tokenizer")
    logits = [written(model, ids) for ids in IDS]
    keep_reference(target, ids=IDS, written=WRITTEN, logits=logits, greedy=[greedy(model, ids) for ids in IDS])
    split = HERE / "t5-split"
    shutil.rmtree(split, ignore_errors=True)
    shutil.copytree(target, split)
    (split / "decoder_model_merged.onnx").unlink()
    for name in ("decoder_model.onnx", "decoder_with_past_model.onnx"):
        (target / name).unlink()


def make_translator() -> None:
    """mBART-50 with three languages."""
    vocabulary = tokenizer(*LANGUAGES)
    config = transformers.MBartConfig(
        vocab_size=vocabulary.get_vocab_size(), d_model=16, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24,
        max_position_embeddings=40, pad_token_id=1, bos_token_id=0, eos_token_id=3, decoder_start_token_id=3,
        forced_eos_token_id=3,
    )  # fmt: skip
    model, target = random("MBartForConditionalGeneration", config), HERE / "mbart50"
    export(model, vocabulary, "text2text-generation-with-past", target, "MBart50Tokenizer")
    code = vocabulary.token_to_id("sw_KE")
    for name in ("decoder_model.onnx", "decoder_with_past_model.onnx"):
        (target / name).unlink()
    answers = [greedy(model, ids, forced_bos_token_id=code, forced_eos_token_id=None) for ids in IDS]
    keep_reference(target, ids=IDS, written=WRITTEN, logits=[written(model, ids) for ids in IDS], greedy=answers)


def main() -> None:
    """Make all of them."""
    for make in (make_classifier, make_embedder, make_decoder, make_t5, make_translator):
        make()
    for unread in ("training_args.bin", "special_tokens_map.json", "chat_template.jinja"):
        for path in HERE.glob(f"*/{unread}"):
            path.unlink()


if __name__ == "__main__":
    main()
