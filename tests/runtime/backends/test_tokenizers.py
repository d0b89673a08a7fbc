"""Decoders whose vocabulary is of bytes or of unigrams: what they are told and what they say is text, to the letter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.card import ModelCard
from runtime.config import EngineConfig
from runtime.engine.constraints import Constraint
from runtime.engine.messages import Delta, Generate
from runtime.engine.sampling import SamplingParams
from runtime.model import Model, start
from runtime.models.store import ModelFile
from tests.tiny.gguf import REMOVED, write_tiny_gguf
from tests.tiny.seq2seq import byte_tokens, unigram_vocabulary

TEXTS = ("", "Добър ден", "γάτα 猫\n\n  two", "e\u0301 👩‍👩‍👧")
CONTROL, UNKNOWN, NORMAL = 3, 2, 1


def opened(path: Path) -> Model:
    return start(ModelCard.read(ModelFile(path.stem, path, None, "path", None)), EngineConfig(max_context=256))


def held(model: Model, constraint: Constraint) -> str:
    events = model.events(Generate("a", "?", SamplingParams(seed=1), constraint=constraint))
    return "".join(event.text for event in events if isinstance(event, Delta))


@pytest.fixture(scope="module")
def of_bytes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    texts, types = byte_tokens()
    entries: dict[str, Any] = {
        "tokenizer.ggml.model": "rwkv",
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.scores": REMOVED,
        "tokenizer.ggml.bos_token_id": REMOVED,
        "tokenizer.ggml.add_bos_token": REMOVED,
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.ggml.add_eos_token": False,
    }
    path = tmp_path_factory.mktemp("bytes") / "bytes.gguf"
    with opened(write_tiny_gguf(path, vocabulary_size=384, metadata=entries)) as model:
        yield model


@pytest.fixture(scope="module")
def of_unigrams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """As Goldfish has it: a text begins with a token of its own, and each byte is a token too."""
    pieces = [(piece, score) for piece, score in unigram_vocabulary()[3:] if not piece.startswith("<extra")]
    known = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *((f"<0x{byte:02X}>", 0.0) for byte in range(256)), *pieces]
    types = [UNKNOWN, CONTROL, CONTROL, *[6] * 256, *[NORMAL] * len(pieces)]
    entries: dict[str, Any] = {
        "tokenizer.ggml.model": "t5",
        "tokenizer.ggml.tokens": [piece for piece, _ in known],
        "tokenizer.ggml.scores": [score for _, score in known],
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.remove_extra_whitespaces": False,
        "tokenizer.ggml.add_space_prefix": True,
    }
    path = tmp_path_factory.mktemp("unigrams") / "unigrams.gguf"
    with opened(write_tiny_gguf(path, vocabulary_size=len(known), metadata=entries)) as model:
        yield model


def test_a_decoder_of_bytes_reads_a_text_as_its_bytes_and_nothing_more(of_bytes: Model) -> None:
    for text in TEXTS:
        assert of_bytes.tokenize(text) == [byte + 3 for byte in text.encode()]
    assert of_bytes.tokenize("<extra_id_0>") == [byte + 3 for byte in b"<extra_id_0>"]


def test_a_decoder_of_bytes_can_be_held_to_texts_of_any_script(of_bytes: Model) -> None:
    assert held(of_bytes, Constraint("choice", '["ねこ", "кот"]')) in {"ねこ", "кот"}
    assert held(of_bytes, Constraint("regex", "ไทย")) == "ไทย"
    assert of_bytes.complete("Здравей", max_tokens=20, temperature=0.0).prompt_tokens == 14


def test_a_decoder_of_unigrams_reads_a_beginning_and_words(of_unigrams: Model) -> None:
    texts = [piece for piece, _ in unigram_vocabulary()[3:]]
    ids = of_unigrams.tokenize("кот сидит")
    assert ids == [1, 259 + texts.index("▁кот"), 259 + texts.index("▁сидит")]


def test_a_decoder_of_unigrams_keeps_the_space_before_its_first_word(of_unigrams: Model) -> None:
    word = 259 + [piece for piece, _ in unigram_vocabulary()[3:]].index("▁cat")
    sampling = SamplingParams(temperature=0, logit_bias={word: 100.0})
    *events, _ = of_unigrams.events(Generate("a", "the", sampling, max_tokens=2))
    assert "".join(event.text for event in events if isinstance(event, Delta)) == " cat cat"


def test_a_decoder_of_unigrams_can_be_held_to_texts_of_any_script(of_unigrams: Model) -> None:
    assert held(of_unigrams, Constraint("choice", '["ねこ", "кот"]')) in {"ねこ", "кот"}
    assert (
        held(
            of_unigrams,
            Constraint(
                "json_schema",
                '{"type": "object", "properties": {"щъ": {"const": 1}}, "required": ["щъ"], "additionalProperties": false}',
            ),
        )
        == '{"щъ": 1}'
    )
