"""The languages of a translator: codes with their ids, and where a model wants them.

No file says the latter; it is in the code of the tokenizers' classes. Source: the files tokenization_*.py of
https://github.com/huggingface/transformers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from converters.checkpoint import Checkpoint

# Tokens that name a language: mBART's bg_BG, NLLB's bul_Cyrl, M2M100's __bg__, Marian's >>bul<<, MADLAD's <2bg>.
_CODES = {
    "mbart": re.compile(r"([a-z]{2}_[A-Z]{2})"),
    "nllb": re.compile(r"([a-z]{3}_[A-Z][a-z]{3})"),
    "m2m": re.compile(r"__([a-z]{2,3})__"),
    "marian": re.compile(r">>([A-Za-z_-]+)<<"),
    "madlad": re.compile(r"<2([A-Za-z]{2,3}(?:_[A-Za-z]{2,4})?)>"),
}
_BY_MODEL = {"mbart": ("mbart",), "m2m_100": ("nllb", "m2m"), "marian": ("marian",), "t5": ("madlad",)}
# Those whose texts begin with the language to translate to.
_IN_SOURCE = ("marian", "madlad")
_FIRST_MBART = 25  # mBART-50 puts the language first, the one before it last
Target = Literal["forced_bos", "decoder_start", "in_source"]


def languages_of(checkpoint: Checkpoint, vocabulary: Mapping[str, int]) -> dict[str, Any] | None:
    """What the settings say of languages; None for models that know none.

    codes: the id of each language.
    source: what is read: "source" and "target" are languages, "text" the ids of a text, numbers are ids.
    target: where the language of the translation goes besides: "forced_bos", the first token that is written;
        "decoder_start", the token before it; "in_source", nowhere but into `source`.
    """
    model_type = checkpoint.config.text("model_type", default="")
    for convention in _BY_MODEL.get(model_type, ()):
        codes = {
            found[1]: row
            for text, row in sorted(vocabulary.items(), key=lambda item: item[1])
            if (found := _CODES[convention].fullmatch(text))
        }
        if not codes:
            continue
        end = vocabulary["</s>"]
        target: Target = "forced_bos"
        source: list[str | int] = ["source", "text", end]
        if convention in _IN_SOURCE:
            target, source = "in_source", ["target", "text", end]
        elif _is_last(checkpoint, convention, len(codes)):
            source = ["text", end, "source"]
            target = "decoder_start" if convention == "mbart" else target
        return {"codes": codes, "source": source, "target": target}
    return None


def _is_last(checkpoint: Checkpoint, convention: str, num_codes: int) -> bool:
    """Whether the language comes after the text."""
    settings = checkpoint.json("tokenizer_config.json")
    if convention == "mbart":
        named = str(settings.get("tokenizer_class") or checkpoint.config.values.get("tokenizer_class") or "")
        return not named.startswith("MBart50") and (named.startswith("MBart") or num_codes <= _FIRST_MBART)
    return convention == "nllb" and settings.get("legacy_behaviour") is True
