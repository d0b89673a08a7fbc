"""How passages are put together, and what becomes of the memory of a long one."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]  # it has no types
import psutil
import pytest

from runtime.backends.base import Passage
from runtime.backends.load import load_encoder
from runtime.backends.onnx.encoder import MAX_PADDING, OnnxEncoder, batches
from runtime.card import ModelCard
from runtime.config import EngineConfig
from runtime.errors import InferenceFailed
from runtime.hardware.probe import probe
from runtime.models.onnx_folder import OnnxFolder
from tests.converters.onnx.sources import Sources
from tests.runtime.onnx.folders import file_of, opened


@pytest.mark.parametrize("seed", range(3))
def test_a_batch_has_all_that_fits_and_little_padding(seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(1, 200, 50).tolist()
    found = batches(lengths)
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    for batch in found:
        longest = max(lengths[index] for index in batch)
        assert sum(lengths[index] for index in batch) >= (1 - MAX_PADDING) * longest * len(batch)
    assert len(batches([7] * 64)) == 1 and len(batches([100, 1])) == 2
    assert len(found) < len(lengths) / 2


def test_an_encoder_computes_passages_in_the_order_that_they_came(sources: Sources) -> None:
    card = ModelCard.read(file_of(sources.exported("bert").path))
    assert isinstance(card.header, OnnxFolder)
    encoder = OnnxEncoder(card.header, card.plan(probe(), EngineConfig(max_context=512)))
    passages = [Passage([2, *range(9, 9 + length), 3]) for length in (3, 60, 1, 58, 4)]
    together = encoder.encode(passages)
    for passage, row in zip(passages, together, strict=True):
        assert row == pytest.approx(encoder.encode([passage])[0], abs=1e-5)
    split = encoder.encode([Passage(passages[0].tokens, 3)])[0]
    assert np.abs(split - together[0]).max() > 1e-3
    encoder.close()
    with pytest.raises(InferenceFailed, match="closed"):
        encoder.encode(passages)


def test_what_a_very_long_text_took_is_given_back(sources: Sources) -> None:
    here = psutil.Process()
    with opened(sources.exported("mt5-encoder").path, EngineConfig(max_context=2000)) as model:
        model.embed(["ab"])
        before = here.memory_info().rss
        model.embed(["а" * 8000], overflow="truncate")
        # The weights of attention alone are 4 heads x 2000 x 2000 x 4 bytes, in several copies.
        assert here.memory_info().rss - before < 2**26


def test_a_card_that_cannot_be_used_after_all_is_told_of_and_the_processor_computes(
    sources: Sources, caplog: pytest.LogCaptureFixture
) -> None:
    card = ModelCard.read(file_of(sources.exported("bert").path))
    assert card.encoding is not None
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    planned = dataclasses.replace(card.plan(probe(), EngineConfig(max_context=512)), provider="cuda")
    loaded = load_encoder(card.file.path, planned, card.encoding)
    encoder = loaded.encoder
    assert "could not start CUDAExecutionProvider" in caplog.text
    assert loaded.plan.provider == "cpu"
    assert "could not take the graphs" in loaded.plan.reasons["provider"]
    assert encoder.encode([Passage([2, 9, 3])])[0].shape == (encoder.width,)
