"""Tiny random checkpoints of the classes that are exported, each made and exported when a test first asks for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import pre_tokenizers

from converters.onnx.export import Exported, Request, export
from tests.tiny import checkpoints as tiny
from tests.tiny import encoder_tokenizers
from tests.tiny import tokenizers as tiny_tokenizers
from tests.tiny.sentencepiece import xlm_roberta_model
from tests.tiny.t5_weights import fill_t5

Tokenizer = Callable[[], Any]
LABELS = {0: "O", 1: "B-PER", 2: "I-PER"}
TOPICS = {0: "siasa", 1: "michezo", 2: "afya"}
ENCODER: dict[str, Any] = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96,
    "max_position_embeddings": 130, "id2label": LABELS,
}  # fmt: skip
DEBERTA: dict[str, Any] = {
    "type_vocab_size": 0, "relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"],
    "share_att_key": True, "norm_rel_ebd": "layer_norm", "position_biased_input": False,
}  # fmt: skip
TRANSLATOR: dict[str, Any] = {
    "d_model": 64, "encoder_layers": 3, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 96, "decoder_ffn_dim": 96, "max_position_embeddings": 130,
}  # fmt: skip


def encoder(name: str, config: str, tokenizer: Tokenizer = encoder_tokenizers.sentencepiece, **changes: Any) -> Any:
    """What makes an encoder of the class `name` in a folder."""

    def make(folder: Path) -> None:
        library = tokenizer()
        pads = [token for text in ("<pad>", "[PAD]") if (token := library.token_to_id(text)) is not None]
        sizes = {"vocab_size": library.get_vocab_size(), "pad_token_id": pads[0]}
        settings = getattr(transformers, config)(**{**ENCODER, **sizes, **changes})
        tiny.save_checkpoint(folder, tiny.randomised(getattr(transformers, name), settings), library)

    return make


def decoder(make_model: Callable[..., Any], tokenizer: Tokenizer, name: str = "", **changes: Any) -> Any:
    """What makes a decoder; or the class `name`, with a decoder's config, of which one label makes a reward model."""

    def make(folder: Path) -> None:
        library = tokenizer()
        model = make_model(library.get_vocab_size(), **changes)
        if name:
            model = tiny.randomised(getattr(transformers, name), model.config)
        tiny.save_checkpoint(folder, model, library)

    return make


def t5(make_model: Callable[..., Any], name: str = "") -> Any:
    """What makes a model of T5's family; or its encoder alone, the class `name`."""

    def make(folder: Path) -> None:
        library = tiny_tokenizers.unigram()
        ids = {"pad_token_id": 0, "eos_token_id": 1}
        model = make_model(library.get_vocab_size(), **ids, num_decoder_layers=3)
        if name:
            model = getattr(transformers, name)(model.config).eval()
            fill_t5(model, seed=0, gain=1.3)
        tiny.save_checkpoint(folder, model, library)

    return make


def madlad(folder: Path) -> None:
    """A T5 that translates to the language whose token a text begins with."""
    library = tiny_tokenizers.unigram()
    library.add_tokens(["<2bg>", "<2sw>"])
    model = tiny.tiny_t5(library.get_vocab_size(), pad_token_id=0, eos_token_id=1, num_decoder_layers=3)
    tiny.save_checkpoint(folder, model, library)


def mt5_with_sentinels(folder: Path) -> None:
    """An mT5 with two sentinels after the pieces, as transformers lays them out."""
    library = tiny_tokenizers.unigram()
    library.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    sentinels = ["<extra_id_1>", "<extra_id_0>"]
    library.add_special_tokens(sentinels)
    model = tiny.tiny_mt5(library.get_vocab_size(), pad_token_id=0, eos_token_id=1)
    named = {"tokenizer_class": "T5Tokenizer", "extra_ids": 2, "additional_special_tokens": sentinels}
    tiny.save_checkpoint(folder, model, library, tokenizer_config=named)


def byt5(folder: Path) -> None:
    """A ByT5, which has no file of a tokenizer."""
    model = tiny.tiny_byt5(pad_token_id=0, eos_token_id=1)
    model.save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "ByT5Tokenizer"}), encoding="utf-8")


def mbart50(folder: Path) -> None:
    """An mBART-50 with three languages, that has to begin with one and ends at its longest with the end."""
    library = tiny_tokenizers.unigram()
    library.add_special_tokens(["bg_BG", "en_XX", "sw_KE"])
    config = transformers.MBartConfig(
        vocab_size=library.get_vocab_size(), pad_token_id=0, eos_token_id=1, decoder_start_token_id=1,
        forced_eos_token_id=1, **TRANSLATOR,
    )  # fmt: skip
    model = tiny.randomised(transformers.MBartForConditionalGeneration, config)
    model.generation_config.num_beams = 5
    named = {"tokenizer_class": "MBart50Tokenizer"}
    tiny.save_checkpoint(folder, model, library, tokenizer_config=named)


def m2m100(folder: Path) -> None:
    """An M2M100: ids of pieces in vocab.json, and 100 languages after them."""
    pieces = _pieces()
    folder.mkdir()
    (folder / "sentencepiece.bpe.model").write_bytes(xlm_roberta_model())
    ids = {text: row for row, text in enumerate(["<s>", "<pad>", "</s>", "<unk>", *pieces])}
    _write_vocabulary(folder, ids, "M2M100Tokenizer")
    config = transformers.M2M100Config(vocab_size=len(ids) + 108, decoder_start_token_id=2, **TRANSLATOR)
    tiny.randomised(transformers.M2M100ForConditionalGeneration, config).save_pretrained(folder)


def marian(folder: Path) -> None:
    """A Marian that translates to two languages."""
    pieces = _pieces()
    folder.mkdir()
    for name in ("source.spm", "target.spm"):
        (folder / name).write_bytes(xlm_roberta_model())
    ids = {text: row for row, text in enumerate(["</s>", "<unk>", *pieces, ">>bul<<", ">>swa<<", "<pad>"])}
    _write_vocabulary(folder, ids, "MarianTokenizer")
    pad = ids["<pad>"]
    config = transformers.MarianConfig(
        vocab_size=len(ids), pad_token_id=pad, eos_token_id=0, decoder_start_token_id=pad, **TRANSLATOR
    )
    tiny.randomised(transformers.MarianMTModel, config).save_pretrained(folder)


def _pieces() -> list[str]:
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=xlm_roberta_model())
    return [processor.id_to_piece(at) for at in range(3, processor.get_piece_size())]


def _write_vocabulary(folder: Path, ids: dict[str, int], tokenizer: str) -> None:
    (folder / "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
    settings = {"tokenizer_class": tokenizer}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def _four_scripts() -> Any:
    return encoder_tokenizers.xlm_roberta(*FOUR_SCRIPTS)


_WORDPIECE, _BYTES = encoder_tokenizers.wordpiece, encoder_tokenizers.byte_level
# AfroXLMR's case (seed S53): three scripts that stay, and one that goes.
FOUR_SCRIPTS = ("hau_Latn", "amh_Ethi", "arb_Arab", "bul_Cyrl")
_SPAN = {0: "start", 1: "end"}
_ROBERTA: dict[str, Any] = {"type_vocab_size": 1}
_LONGFORMER = {**_ROBERTA, "attention_window": 8}
_REWARD = {"pad_token_id": 0, "id2label": {0: "reward"}}
MAKERS: dict[str, Callable[[Path], None]] = {
    "bert": encoder("BertModel", "BertConfig", _WORDPIECE),
    "bert-qa": encoder("BertForQuestionAnswering", "BertConfig", _WORDPIECE, id2label=_SPAN),
    "bert-ner": encoder("BertForTokenClassification", "BertConfig", _WORDPIECE),
    "bert-mlm": encoder("BertForMaskedLM", "BertConfig", _WORDPIECE),
    "bert-pairs": encoder("BertForSequenceClassification", "BertConfig", _WORDPIECE, id2label={0: "relevance"}),
    "roberta": encoder("RobertaForSequenceClassification", "RobertaConfig", _BYTES, **_ROBERTA),
    "roberta-ner": encoder("RobertaForTokenClassification", "RobertaConfig", _BYTES, **_ROBERTA),
    "roberta-mlm": encoder("RobertaForMaskedLM", "RobertaConfig", _BYTES, **_ROBERTA),
    "xlmr-ner": encoder("XLMRobertaForTokenClassification", "XLMRobertaConfig", **_ROBERTA),
    "xlmr-topics": encoder("XLMRobertaForSequenceClassification", "XLMRobertaConfig", id2label=TOPICS, **_ROBERTA),
    "xlmr-mlm": encoder("XLMRobertaForMaskedLM", "XLMRobertaConfig", **_ROBERTA),
    "deberta": encoder("DebertaV2ForSequenceClassification", "DebertaV2Config", encoder_tokenizers.deberta, **DEBERTA),
    "deberta-ner": encoder("DebertaV2ForTokenClassification", "DebertaV2Config", encoder_tokenizers.deberta, **DEBERTA),
    "longformer": encoder("LongformerForSequenceClassification", "LongformerConfig", _BYTES, **_LONGFORMER),
    "longformer-mlm": encoder("LongformerForMaskedLM", "LongformerConfig", _BYTES, **_LONGFORMER),
    "longformer-qa": encoder(
        "LongformerForQuestionAnswering", "LongformerConfig", _BYTES, id2label=_SPAN, **_LONGFORMER
    ),
    "t5": t5(tiny.tiny_t5),
    "mt5": t5(tiny.tiny_mt5),
    "mt5-encoder": t5(tiny.tiny_mt5, "MT5EncoderModel"),
    "madlad": madlad,
    "byt5": byt5,
    "mbart50": mbart50,
    "m2m100": m2m100,
    "marian": marian,
    "llama": decoder(tiny.tiny_llama, tiny_tokenizers.sentencepiece),
    "gemma3": decoder(tiny.tiny_gemma3, tiny_tokenizers.gemma),
    "gpt2": decoder(tiny.tiny_gpt2, tiny_tokenizers.byte_level),
    "bloom": decoder(tiny.tiny_bloom, tiny_tokenizers.bloom),
    "llama-reward": decoder(
        tiny.tiny_llama, tiny_tokenizers.sentencepiece, "LlamaForSequenceClassification", **_REWARD
    ),
    "qwen3-reward": decoder(
        tiny.tiny_qwen3_decoder, tiny_tokenizers.qwen2, "Qwen3ForSequenceClassification", **_REWARD
    ),
    "qwen3-embedding": decoder(tiny.tiny_qwen3_decoder, tiny_tokenizers.qwen2, "Qwen3Model"),
}


# Others of classes that are there already, of which only the tests of trimming need more.
TO_TRIM: dict[str, Callable[[Path], None]] = {
    "xlmr-four-scripts": encoder("XLMRobertaForMaskedLM", "XLMRobertaConfig", _four_scripts, **_ROBERTA),
    "mt5-sentinels": mt5_with_sentinels,
}


@dataclass
class Sources:
    """Folders of checkpoints and of what was exported of them, by name."""

    folder: Path
    _done: dict[str, Exported] = field(default_factory=dict)

    def checkpoint(self, name: str) -> Path:
        """The folder of a checkpoint."""
        folder = self.folder / name
        if not folder.exists():
            torch.manual_seed(0)
            (MAKERS | TO_TRIM)[name](folder)
        return folder

    def exported(self, name: str) -> Exported:
        """What was exported of it."""
        if name not in self._done:
            request = Request(str(self.checkpoint(name)), self.folder / f"{name}-onnx")
            self._done[name] = export(request)
        return self._done[name]
