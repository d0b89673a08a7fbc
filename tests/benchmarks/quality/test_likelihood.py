"""Bits per byte, and guesses held against a source's: equal to transformers', whatever stands around a text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.quality.likelihood import Cost, compare, cost
from benchmarks.quality.opened import GivesVectors, OpenedDecoder, Shared, open_model, shared_tokens
from converters.adapt.request import Request
from converters.adapt.trim import trim
from converters.gguf.quantize import Quantization, quantize
from converters.probes import DECLARATION
from converters.progress import NoSteps
from converters.tensors import FloatArray
from runtime.card import ModelCard
from runtime.models.files import NoProgress
from runtime.models.store import Store
from tests.converters.families import Families
from tests.converters.onnx.sources import Sources

LINES = [DECLARATION["eng_Latn"][:60], DECLARATION["bul_Cyrl"][:50], DECLARATION["tha_Thai"][:30]]


def opened(path: Path) -> OpenedDecoder:
    found = open_model(ModelCard.read(Store().resolve(str(path))), LINES)
    assert isinstance(found, OpenedDecoder)
    return found


def test_a_model_is_given_back_at_the_end(families: Families) -> None:
    with opened(families["llama"].converted.path) as model:
        decoder: Any = model._decoder
        assert decoder._context is not None
    assert decoder._context is None


def bits_by_transformers(model: Any, tokens: Sequence[int], first: int) -> float:
    with torch.no_grad():
        logs = torch.log_softmax(model(input_ids=torch.tensor([tokens])).logits[0].double(), -1)
    return float(-sum(logs[at - 1, tokens[at]] for at in range(first, len(tokens)))) / math.log(2)


@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma3"])
def test_bits_per_byte_are_those_of_transformers(families: Families, name: str) -> None:
    family = families[name]
    with opened(family.converted.path) as model:
        found = cost(LINES, model)
        ids = [model.tokenizer.encode(line, parse_special=False) for line in LINES]
        has_bos = model.tokenizer.encode("", parse_special=False) != []
        given = 0 if has_bos else sum(len(model.tokenizer.token_bytes(each[0])) for each in ids)
    assert has_bos == (name != "qwen2")
    wanted = sum(bits_by_transformers(family.model, each, 1) for each in ids)
    assert found.bits == pytest.approx(wanted, rel=0.01)
    # Without a BOS the first token of each line is given, and its bytes do not count.
    assert found.num_tokens == sum(len(each) - 1 for each in ids)
    assert found.num_bytes == sum(len(line.encode()) for line in LINES) - given
    assert found.bits_per_byte == pytest.approx(wanted / found.num_bytes, rel=0.01)


class Uniform:
    """A model of four tokens, the second of which stands before every text and the third after it; it knows nothing."""

    context_length = 5
    vocabulary_size = 4
    tokenizer: Any

    def __init__(self) -> None:
        self.tokenizer = self
        self.read: list[list[int]] = []

    def encode(self, text: str, *, parse_special: bool, is_beginning: bool = True) -> list[int]:
        return [1, *(3 for _ in text), 2]

    def token_bytes(self, token: int) -> bytes:
        return b"a" if token == 3 else b""

    def logits(self, tokens: Sequence[int]) -> Iterator[FloatArray]:
        self.read.append(list(tokens))
        for at in range(0, len(tokens), 2):
            yield np.zeros((len(tokens[at : at + 2]), 4), np.float32)


def test_every_token_of_a_text_after_bos_is_guessed_and_what_stands_after_it_is_not() -> None:
    assert cost(["aaa", "a"], Uniform()) == Cost(8.0, 4, 4)


def test_a_line_longer_than_the_context_is_read_in_windows() -> None:
    model = Uniform()
    assert cost(["a" * 10], model) == Cost(20.0, 10, 10)
    assert model.read == [[1, 3, 3, 3], [1, 3, 3, 3], [1, 3]]


def test_a_quantized_model_is_held_against_its_source(families: Families, tmp_path: Path) -> None:
    source = families["llama"].converted.path
    quantize(source, tmp_path / "q8.gguf", Quantization("Q8_0"))
    quantize(source, tmp_path / "q4.gguf", Quantization("Q4_0"))
    with opened(source) as before:
        with opened(source) as again:
            same = compare(LINES, again, before)
        assert (same.divergence.kl, same.divergence.top_1, same.divergence.kept) == (0.0, 1.0, 1.0)
        found = {}
        for name in ("q8", "q4"):
            with opened(tmp_path / f"{name}.gguf") as model:
                assert shared_tokens(model, before) == Shared()
                found[name] = compare(LINES, model, before)
                alone = cost(LINES, model)
            assert found[name].cost.bits == pytest.approx(alone.bits, rel=1e-5)
            assert found[name].source_cost.bits == pytest.approx(cost(LINES, before).bits, rel=1e-5)
    assert 0 < found["q8"].divergence.kl < found["q4"].divergence.kl
    assert found["q4"].divergence.top_1 < found["q8"].divergence.top_1 <= 1


def test_a_trimmed_model_is_compared_over_the_rows_that_were_kept(families: Families, tmp_path: Path) -> None:
    source = families["llama"].converted.path
    corpus = tmp_path / "eng.txt"
    words = DECLARATION["eng_Latn"].split()
    corpus.write_text("\n".join(" ".join(words[at : at + 5]) for at in range(len(words) - 5)), encoding="utf-8")
    trim(Request(source, tmp_path / "t.gguf", corpora=(f"eng={corpus}",)), NoProgress(), NoSteps())
    with opened(source) as before, opened(tmp_path / "t.gguf") as after:
        assert shared_tokens(before, after) is None
        shared = shared_tokens(after, before)
        assert shared is not None
        assert shared.kept is not None
        assert len(shared.kept) == after.tokenizer.vocabulary_size < before.tokenizer.vocabulary_size
        found = compare(LINES, after, before, shared.kept)
    # The rows are the same bits, so the guesses are those of the source among them.
    assert found.divergence.kl == pytest.approx(0, abs=1e-9)
    assert 0 < found.divergence.kept < 1
    assert found.divergence.top_1 < 1
    assert found.cost.bits < found.source_cost.bits


def test_graphs_are_guessers_too_but_show_no_hidden_states(sources: Sources, families: Families) -> None:
    folder = sources.exported("llama").path
    with opened(folder) as graph, opened(folder) as again, opened(families["qwen2"].converted.path) as other:
        assert shared_tokens(graph, again) == Shared()
        assert shared_tokens(graph, other) is None
        found = compare(LINES, graph, again)
        assert found.divergence.kl == pytest.approx(0, abs=1e-9)
        assert found.cost.bits == pytest.approx(cost(LINES, graph).bits, rel=1e-5)
        assert not isinstance(graph, GivesVectors)
