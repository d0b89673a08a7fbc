"""The languages of a translator: codes with their ids, and where a model wants them.

No file says the latter; it is in the code of the tokenizers' classes. Source: the files tokenization_*.py of
https://github.com/huggingface/transformers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from runtime.models.onnx_settings import Languages

# Tokens that name a language: mBART's bg_BG, NLLB's bul_Cyrl, M2M100's __bg__, Marian's >>bul<<, MADLAD's <2bg>.
_CODES = {
    "mbart": re.compile(r"([a-z]{2}_[A-Z]{2})"),
    "nllb": re.compile(r"([a-z]{3}_[A-Z][a-z]{3})"),
    "m2m": re.compile(r"__([a-z]{2,3})__"),
    "marian": re.compile(r">>([A-Za-z_-]+)<<"),
    "madlad": re.compile(r"<2([A-Za-z]{2,3}(?:_[A-Za-z]{2,4})?)>"),
}
_BY_MODEL = {"mbart": ("mbart",), "m2m_100": ("nllb", "m2m"), "marian": ("marian",), "t5": ("madlad",)}
TRANSLATORS = frozenset({"mbart", "m2m_100", "marian"})
_FIRST_MBART = 25  # mBART-50 puts the language first, the one before it last


def spoken_by(
    model_type: str, vocabulary: Mapping[str, int], *, tokenizer_class: str, is_legacy: bool
) -> Languages | None:
    """The languages of a model of this type with these tokens; None for models that know none.

    `tokenizer_class` and `is_legacy` ("legacy_behaviour") are what its tokenizer_config.json says.
    """
    for convention in _BY_MODEL.get(model_type, ()):
        codes = {
            found[1]: row
            for text, row in sorted(vocabulary.items(), key=lambda item: item[1])
            if (found := _CODES[convention].fullmatch(text))
        }
        if not codes:
            continue
        end = vocabulary["</s>"]
        match convention:
            case "marian" | "madlad":
                return Languages(codes, ("target", "text", end), "in_source")
            case "mbart" if _comes_last(tokenizer_class, len(codes)):
                return Languages(codes, ("text", end, "source"), "decoder_start")
            case "nllb" if is_legacy:
                return Languages(codes, ("text", end, "source"), "forced_bos")
        return Languages(codes, ("source", "text", end), "forced_bos")
    return None


def _comes_last(tokenizer_class: str, num_codes: int) -> bool:
    """Whether mBART's language comes after the text."""
    if tokenizer_class.startswith("MBart50"):
        return False
    return tokenizer_class.startswith("MBart") or num_codes <= _FIRST_MBART
