"""Tiny random encoders of transformers as GGUF: the same weights under llama.cpp's names, for parity tests.

`tiny_bert`, `tiny_xlm_roberta` and `tiny_qwen3` make checkpoints of which every parameter is random, norms and biases
too; `write_encoder` writes any of them. The vocabularies are made for each tokenizer llama.cpp has for such models.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.tiny.gguf import _kept, _write

POOLING = {"none": 0, "mean": 1, "cls": 2, "last": 3, "rank": 4}
WIDTH, HEADS, LAYERS, FEED_FORWARD = 64, 4, 2, 96

_NORMAL, _UNKNOWN, _CONTROL = 1, 2, 3  # llama_token_type
_WORDS = ("the", "cat", "sat", "on", "mat", "dog", "ran", "кот", "сидит", "猫", "坐", "नमस्ते")
_SUFFIXES = ("s", "ing", "ed", "ния")

# Parts of the names of transformers to those of llama.cpp, for BERT's family and for Qwen3.
_NAMES = {
    r"^(bert|roberta|model)\.": "",
    r"^embeddings\.word_embeddings": "token_embd",
    r"^embeddings\.position_embeddings": "position_embd",
    r"^embeddings\.token_type_embeddings": "token_types",
    r"^embeddings\.LayerNorm": "token_embd_norm",
    r"^encoder\.layer\.": "blk.",
    r"^layers\.": "blk.",
    r"attention\.self\.query|self_attn\.q_proj": "attn_q",
    r"attention\.self\.key|self_attn\.k_proj": "attn_k",
    r"attention\.self\.value|self_attn\.v_proj": "attn_v",
    r"attention\.output\.dense|self_attn\.o_proj": "attn_output",
    r"attention\.output\.LayerNorm": "attn_output_norm",
    r"self_attn\.q_norm": "attn_q_norm",
    r"self_attn\.k_norm": "attn_k_norm",
    r"intermediate\.dense|mlp\.up_proj": "ffn_up",
    r"(?<=\d\.)output\.dense|mlp\.down_proj": "ffn_down",
    r"mlp\.gate_proj": "ffn_gate",
    r"(?<=\d\.)output\.LayerNorm": "layer_output_norm",
    r"input_layernorm": "attn_norm",
    r"post_attention_layernorm": "ffn_norm",
    r"^embed_tokens": "token_embd",
    r"^norm\.": "output_norm.",
    r"^lm_head": "output",
    r"^pooler\.dense|^classifier\.dense": "cls",
    r"^classifier\.out_proj|^classifier(?=\.)": "cls.output",
}


def tiny_bert(*, labels: int = 0, token_types: int = 2, seed: int = 0) -> Any:
    """A BERT, or a classifier over one where it has `labels`."""
    config = transformers.BertConfig(
        vocab_size=len(wordpiece_vocabulary()),
        max_position_embeddings=128,
        type_vocab_size=token_types,
        **_sizes(labels),
    )
    kind = transformers.BertForSequenceClassification if labels else transformers.BertModel
    return _randomised(kind, config, seed)


def tiny_xlm_roberta(*, labels: int = 0, seed: int = 0) -> Any:
    """An XLM-RoBERTa, or a classifier over one where it has `labels`."""
    config = transformers.XLMRobertaConfig(
        vocab_size=len(unigram_vocabulary()), max_position_embeddings=130, type_vocab_size=1, **_sizes(labels)
    )
    kind = transformers.XLMRobertaForSequenceClassification if labels else transformers.XLMRobertaModel
    return _randomised(kind, config, seed)


def tiny_qwen3(*, with_head: bool = False, seed: int = 0) -> Any:
    """A Qwen3 whose heads are wider than its width divided by their number, as in the real ones."""
    config = transformers.Qwen3Config(
        vocab_size=len(byte_vocabulary()[0]),
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        **_sizes(0),
    )
    kind = transformers.Qwen3ForCausalLM if with_head else transformers.Qwen3Model
    return _randomised(kind, config, seed)


def write_encoder(
    path: Path,
    model: Any,
    *,
    pooling: str | None = None,
    yes_no: tuple[int, int] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Write `model` as GGUF and return the path; `metadata` replaces or adds entries, as in `write_tiny_gguf`.

    `yes_no` are the tokens whose rows of the output become the head of a reranker, as llama.cpp's converter does it.
    """
    config = model.config
    is_causal = config.model_type == "qwen3"
    architecture = "qwen3" if is_causal else "bert"
    # The first positions of RoBERTa's family are never used: it counts from the id of the padding token on.
    offset = config.pad_token_id + 1 if config.model_type == "xlm-roberta" else 0
    tensors = {}
    for name, weight in model.state_dict().items():
        if name.startswith("pooler.") and not hasattr(model, "classifier"):
            continue
        tensors[_renamed(name)] = weight.numpy()[offset if "position_embeddings" in name else 0 :]
    entries: dict[str, Any] = {
        "general.architecture": architecture,
        "general.type": "model",
        "general.name": "Tiny",
        "general.file_type": 0,
        f"{architecture}.context_length": config.max_position_embeddings - offset,
        f"{architecture}.embedding_length": config.hidden_size,
        f"{architecture}.block_count": config.num_hidden_layers,
        f"{architecture}.feed_forward_length": config.intermediate_size,
        f"{architecture}.attention.head_count": config.num_attention_heads,
    }
    if is_causal:
        entries |= {
            "qwen3.attention.head_count_kv": config.num_key_value_heads,
            "qwen3.attention.key_length": config.head_dim,
            "qwen3.attention.value_length": config.head_dim,
            "qwen3.attention.layer_norm_rms_epsilon": config.rms_norm_eps,
            "qwen3.rope.freq_base": float(config.rope_parameters["rope_theta"]),
        } | _byte_entries()
    else:
        entries |= {
            "bert.attention.layer_norm_epsilon": config.layer_norm_eps,
            "bert.attention.causal": False,
            "tokenizer.ggml.token_type_count": config.type_vocab_size,
        } | (_unigram_entries() if offset else _wordpiece_entries())
    if pooling is not None:
        entries[f"{architecture}.pooling_type"] = POOLING[pooling]
    if yes_no is not None:
        tensors["cls.output.weight"] = tensors["output.weight"][list(yes_no)]
        entries[f"{architecture}.classifier.output_labels"] = ["yes", "no"]
    labels = getattr(config, "id2label", {})
    if hasattr(model, "classifier") and len(labels) > 1:
        entries["bert.classifier.output_labels"] = list(labels.values())
    _write(path, architecture, _kept(entries, metadata), tensors)
    return path


def _renamed(name: str) -> str:
    for pattern, replacement in _NAMES.items():
        name = re.sub(pattern, replacement, name)
    return name


def wordpiece_vocabulary() -> list[str]:
    """BERT's special tokens, words, their endings, and single letters, as BERT itself writes them."""
    letters = [*string.ascii_lowercase, *string.digits, *"абвгджзиклмнопрстуы"]
    return [
        *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        *(".", ",", "?", "!"),
        *(word for word in _WORDS if len(word) > 1 and word.isascii()),
        *("кот", "猫", "坐"),
        *(f"##{ending}" for ending in ("s", "ing", "ed")),
        *letters,
        *(f"##{letter}" for letter in letters if letter != "s"),
    ]


def unigram_vocabulary() -> list[tuple[str, float]]:
    """XLM-RoBERTa's special tokens, and pieces with their scores."""
    pieces = ["▁", *(f"▁{word}" for word in _WORDS), *_SUFFIXES, *string.ascii_letters, *"абвгджзиклмнопрстуы.,?!"]
    pieces = list(dict.fromkeys(pieces))
    return [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)] + [
        (piece, -2.0 - 0.05 * index) for index, piece in enumerate(pieces)
    ]


def byte_vocabulary() -> tuple[list[str], list[str], list[str]]:
    """Tokens, merges and control tokens of a byte-level BPE like Qwen's; the control tokens come last."""
    merges = ["Ġ t", "h e", "Ġt he", "y e", "ye s", "n o", "Ġ c", "Ġc a", "Ġca t"]
    tokens = [*_byte_characters(), *(merge.replace(" ", "") for merge in merges)]
    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    return [*tokens, *control], merges, control


def _byte_characters() -> list[str]:
    """GPT-2's printable character of every byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]


def _sizes(labels: int) -> dict[str, Any]:
    more = {"num_labels": labels} if labels else {}
    return more | {
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": FEED_FORWARD,
    }


def _randomised(kind: Any, config: Any, seed: int) -> Any:
    model = kind(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            is_norm = weight.ndim == 1 and name.endswith("weight")
            weight.copy_(1 + 0.3 * noise if is_norm else noise * (0.2 if weight.ndim == 1 else WIDTH**-0.5 * 1.5))
    return model


def _wordpiece_entries() -> dict[str, Any]:
    tokens = wordpiece_vocabulary()
    types = [_CONTROL] * 5 + [_NORMAL] * (len(tokens) - 5)
    types[1] = _UNKNOWN
    texts = [
        text if kind != _NORMAL else text.removeprefix("##") if text.startswith("##") else f"▁{text}"
        for text, kind in zip(tokens, types, strict=True)
    ]
    return {
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.unknown_token_id": 1,
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.cls_token_id": 2,
        "tokenizer.ggml.seperator_token_id": 3,
        "tokenizer.ggml.mask_token_id": 4,
    }


def _unigram_entries() -> dict[str, Any]:
    vocabulary = unigram_vocabulary()
    return {
        "tokenizer.ggml.model": "t5",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [text for text, _ in vocabulary],
        "tokenizer.ggml.scores": [score for _, score in vocabulary],
        "tokenizer.ggml.token_type": [_CONTROL] * 3 + [_UNKNOWN] + [_NORMAL] * (len(vocabulary) - 4),
        "tokenizer.ggml.add_space_prefix": True,
        "tokenizer.ggml.remove_extra_whitespaces": True,
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.padding_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.seperator_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 3,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": True,
    }


def _byte_entries() -> dict[str, Any]:
    tokens, merges, control = byte_vocabulary()
    num_plain = len(tokens) - len(control)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [_NORMAL] * num_plain + [_CONTROL] * len(control),
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.eos_token_id": num_plain,
        "tokenizer.ggml.padding_token_id": num_plain,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_eos_token": True,
    }
