"""Tiny tokenizers of encoders, with the tokens that stand around one text and two, and a mask."""

from __future__ import annotations

import json
from functools import cache

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from converters.probes import DECLARATION, LINES
from tests.tiny.tokenizers import TEXTS, unigram

_SIZE = 500


@cache
def wordpiece() -> tokenizers.Tokenizer:
    """BERT's: pieces within a word begin with "##"."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(
        TEXTS[:30], trainers.WordPieceTrainer(vocab_size=_SIZE, special_tokens=special, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(text, tokenizer.token_to_id(text)) for text in ("[CLS]", "[SEP]")],
    )
    return tokenizer


@cache
def byte_level() -> tokenizers.Tokenizer:
    """RoBERTa's: tokens of bytes, of which those before which a space stands begin with "Ġ"."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_SIZE,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_special_tokens([tokenizers.AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer


@cache
def sentencepiece() -> tokenizers.Tokenizer:
    """XLM-RoBERTa's: pieces of SentencePiece, and two ends between two texts."""
    tokenizer = unigram(opening="<s>")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.add_special_tokens([tokenizers.AddedToken("<mask>", lstrip=True)])
    ends = [(text, tokenizer.token_to_id(text)) for text in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=ends
    )
    return tokenizer


@cache
def xlm_roberta(*languages: str) -> tokenizers.Tokenizer:
    """XLM-RoBERTa's with the ids that it gives what stands for no text, and "<mask>" last; of these languages alone."""
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=_SIZE, special_tokens=special, unk_token="<unk>", show_progress=False, shrinking_factor=0.5
    )
    tokenizer.train_from_iterator([texts[name] for name in languages for texts in (LINES, DECLARATION)], trainer)
    spec = json.loads(tokenizer.to_str())
    pieces = spec["model"]["vocab"][len(special) :]
    trained = sorted(pieces, key=lambda each: (-round(each[1], 2), each[0]))
    scored = [[piece, round(score, 2) - at / 1e3] for at, (piece, score) in enumerate(trained)]
    spec["model"]["vocab"] = [*([text, 0.0] for text in special), *scored, ["<mask>", 0.0]]
    spec["model"]["unk_id"] = 3
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(spec))
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens([*special, tokenizers.AddedToken("<mask>", lstrip=True)])
    ends = [(text, tokenizer.token_to_id(text)) for text in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=ends
    )
    return tokenizer


@cache
def deberta() -> tokenizers.Tokenizer:
    """DeBERTa's, of the second and third version: such pieces, with BERT's names around them."""
    tokenizer = unigram(opening="[CLS]")
    tokenizer.add_special_tokens(["[SEP]", "[MASK]"])
    ends = [(text, tokenizer.token_to_id(text)) for text in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return tokenizer
