"""Tiny models of SentencePiece, trained by it on lines in many scripts."""

from __future__ import annotations

import io
from typing import Any

from sentencepiece import SentencePieceTrainer

from converters.probes import DECLARATION

_SETTINGS: dict[str, Any] = {"vocab_size": 1800, "character_coverage": 0.98, "minloglevel": 2}
# As Llama 2 has it: nothing is changed, and every byte is a piece.
_LLAMA = {
    "model_type": "bpe",
    "byte_fallback": True,
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
}


def llama_model(**changes: Any) -> bytes:
    """BPE with byte fallback."""
    return _trained(**{**_LLAMA, **changes})


def t5_model(**changes: Any) -> bytes:
    """Unigram with NFKC, with padding first and no piece that begins texts, as T5's."""
    ids = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
    return _trained(**{"model_type": "unigram", **ids, **changes})


def xlm_roberta_model(**changes: Any) -> bytes:
    """Unigram in which <unk> is first, as SentencePiece has it by itself."""
    return _trained(**{"model_type": "unigram", **changes})


def _trained(**settings: Any) -> bytes:
    out = io.BytesIO()
    lines = iter(DECLARATION.values())
    SentencePieceTrainer.train(sentence_iterator=lines, model_writer=out, **{**_SETTINGS, **settings})
    return out.getvalue()
