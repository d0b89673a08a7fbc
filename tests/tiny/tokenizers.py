"""Tiny tokenizers of each kind, trained on lines in many scripts, as tokenizer.json holds them."""

from __future__ import annotations

import json
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from converters.pretokenizers import _BLOOM, _LLAMA3, _QWEN2
from converters.probes import LINES, STUMBLING

END = "<|endoftext|>"
# What vocabularies are trained on: few texts, so that it takes no time.
TEXTS = (*LINES.values(), *list(STUMBLING.values())[:8])


def byte_level(regex: str | None = None, *, size: int = 500, ignore_merges: bool = False) -> tokenizers.Tokenizer:
    """Byte-level BPE that splits by GPT-2's regex, or by another one, with one control token at the end."""
    tokenizer = tokenizers.Tokenizer(models.BPE(ignore_merges=ignore_merges))
    split = [] if regex is None else [pre_tokenizers.Split(tokenizers.Regex(regex), "isolated")]
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex is None)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*split, level]) if split else level
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size - 1, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_special_tokens([END])
    return tokenizer


def llama3() -> tokenizers.Tokenizer:
    """Like Llama 3's: its regex, whole words first, and a token before each text."""
    tokenizer = byte_level(_LLAMA3, ignore_merges=True)
    tokenizer.add_special_tokens(["<|begin_of_text|>"])
    bos = tokenizer.token_to_id("<|begin_of_text|>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", bos)]
    )
    return tokenizer


def qwen2() -> tokenizers.Tokenizer:
    """Like Qwen's: its regex and NFC."""
    tokenizer = byte_level(_QWEN2)
    tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def bloom() -> tokenizers.Tokenizer:
    """Like BLOOM's: its regex."""
    return byte_level(_BLOOM)


def gemma() -> tokenizers.Tokenizer:
    """Like Gemma's: no space in front, and runs of spaces that are tokens of their own beside being merged."""
    spec = json.loads(sentencepiece(prepends=False).to_str())
    spec["model"]["vocab"]["▁▁"] = len(spec["model"]["vocab"])
    spec["model"]["merges"].insert(0, ["▁", "▁"])
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(spec))
    tokenizer.add_tokens([tokenizers.AddedToken(text, normalized=False) for text in ("▁▁", "<unused0>")])
    return tokenizer


def sentencepiece(*, prepends: bool = True, size: int = 600) -> tokenizers.Tokenizer:
    """SentencePiece's BPE with byte fallback, like Llama's."""
    special = ["<unk>", "<s>", "</s>"]
    tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    prepend = [normalizers.Prepend("▁")] if prepends else []
    tokenizer.normalizer = normalizers.Sequence([*prepend, normalizers.Replace(" ", "▁")])
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[*special, *(f"<0x{byte:02X}>" for byte in range(256))],
        limit_alphabet=120,
        show_progress=False,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.pre_tokenizer = None
    tokenizer = without_added(tokenizer, keep=special)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*parts, decoders.Strip(" ", 1, 0)] if prepends else parts)
    return tokenizer


def without_added(tokenizer: tokenizers.Tokenizer, *, keep: list[str]) -> tokenizers.Tokenizer:
    """The tokenizer with no added tokens but those of `keep`: trainers make byte tokens special, which they are not."""
    spec: dict[str, Any] = json.loads(tokenizer.to_str())
    spec["added_tokens"] = [each for each in spec["added_tokens"] if each["content"] in keep]
    return tokenizers.Tokenizer.from_str(json.dumps(spec))


def unigram(*, size: int = 600, opening: str | None = None, closing: str | None = "</s>") -> tokenizers.Tokenizer:
    """SentencePiece's Unigram, like T5's, or on decoders, like Goldfish's."""
    special = ["<pad>", "</s>", "<unk>", *([opening] if opening else [])]
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Replace(tokenizers.Regex(" {2,}"), " ")
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=special, unk_token="<unk>", show_progress=False, shrinking_factor=0.5
    )
    tokenizer.train_from_iterator(TEXTS[:30], trainer)  # characters of the others are unknown to it
    spec = json.loads(tokenizer.to_str())
    # Of so few texts many pieces are equally likely: each implementation breaks ties in its own way, and the trainer
    # puts them in another order each time.
    pieces = spec["model"]["vocab"]
    trained = sorted(pieces[len(special) :], key=lambda each: (-round(each[1], 2), each[0]))
    ordered = [*pieces[: len(special)], *trained]
    spec["model"]["vocab"] = [[piece, round(score, 2) - at / 1e3] for at, (piece, score) in enumerate(ordered)]
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(spec))
    template = " ".join([*([opening] if opening else []), "$A", *([closing] if closing else [])])
    around = [(text, tokenizer.token_to_id(text)) for text in (opening, closing) if text]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=around)
    return tokenizer
