"""Token ids of a finished file held against its source's, on every text of the corpus.

Three tokenizers are asked: the source's own, the one that the runtime reads out of the file, and llama.cpp's own. The
first two must agree, or the file is not kept. The third is what other programs use, and its differences are told.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from converters.fertility import measure
from converters.gguf.vocabulary import Vocabulary, open_vocabulary
from converters.probes import PROBES, Probe
from converters.tokenizers import Tokenizer
from runtime.errors import ConversionRefused

_SHOWN_TEXTS = 3
_SHOWN_CHARS = 60


def check_tokens(path: Path, source: Tokenizer, notes: list[str]) -> dict[str, Any]:
    """Compare the three and return what the manifest says of it; differences of llama.cpp's go to `notes` too.

    Raises:
        ConversionRefused: the runtime would read a text otherwise than the source; language and token are named.
        ModelLoadFailed: llama.cpp refuses the vocabulary.
    """
    is_of_bytes = source.kind == "rwkv"  # llama.cpp's tokenizer of this kind never adds an end
    with open_vocabulary(path) as vocabulary:
        for probe in PROBES:
            _require_same(probe, vocabulary, source)
        different = [
            probe
            for probe in PROBES
            if vocabulary.own.encode(probe.text, parse_special=False)
            != source.encode(probe.text, adds_end=not is_of_bytes)
        ]
    if different:
        shown = different[0]
        notes.append(
            f"llama.cpp's own tokenizer splits {len(different)} of {len(PROBES)} texts otherwise than the source's, "
            f"such as {shown.name}: {shown.text[:_SHOWN_CHARS]!r}."
        )
    return {
        "kind": source.kind,
        "pre": source.entries.get("tokenizer.ggml.pre"),
        "texts": len(PROBES),
        "different": len(different),
        "different_names": [probe.name for probe in different],
        "examples": [probe.text for probe in different[:_SHOWN_TEXTS]],
        "fertility": {language: asdict(each) for language, each in measure(source.encode).items()},
    }


def _require_same(probe: Probe, vocabulary: Vocabulary, source: Tokenizer) -> None:
    wanted = source.encode(probe.text)
    found = vocabulary.read.encode(probe.text, parse_special=False)
    if found == wanted:
        return
    at = next(
        (at for at, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b), min(len(found), len(wanted))
    )

    def told(tokens: list[int]) -> str:
        if at >= len(tokens):
            return "nothing"
        known = tokens[at] < vocabulary.read.vocabulary_size
        return f"{tokens[at]} ({vocabulary.read.token_text(tokens[at]) if known else 'no token'!r})"

    raise ConversionRefused(
        f"The file would be read otherwise than its source: of the text {probe.name}, {probe.text[:_SHOWN_CHARS]!r}, "
        f"token {at} would be {told(found)}, and is {told(wanted)} by the source's own tokenizer.",
        remedy="Give the checkpoint a tokenizer.json, as transformers' save_pretrained writes it.",
    )
