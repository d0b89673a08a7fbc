"""A tiny model of each shape with its texts, which the tests of trimming share."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters.probes import DECLARATION
from tests.converters.families import Families
from tests.tiny.encoders import tiny_bert, write_encoder
from tests.tiny.seq2seq import tiny_t5, write_seq2seq


@pytest.fixture(scope="session")
def models(families: Families, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """GGUF files: decoders with each kind of BPE, both with a tokenizer.json, an encoder-decoder and an encoder."""
    folder = tmp_path_factory.mktemp("trim")
    return {
        "spm": families["llama"].converted.path,
        "bpe": families["llama3-tied"].converted.path,
        "seq2seq": write_seq2seq(folder / "t5.gguf", tiny_t5()),
        "encoder": write_encoder(folder / "bert.gguf", tiny_bert()),
    }


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lines in Bulgarian and English, some of which are held out."""
    lines = [line for name in ("bul_Cyrl", "eng_Latn") for line in DECLARATION[name].split(". ")]
    words = [word for line in lines for word in line.split()]
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    texts = [" ".join(words[at : at + 5]) for at in range(len(words) - 5)]
    path.write_text("\n".join([*lines, *texts]), encoding="utf-8")
    return path
