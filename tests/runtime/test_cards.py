"""A model on a card: planned, measured and run through the whole of the runtime, with cards that are made up."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.card import ModelCard
from runtime.config import EngineConfig
from runtime.hardware.choice import device_of
from runtime.model import start
from runtime.models.inspect import read_header
from runtime.models.store import ModelFile
from tests.fakes.cards import seen
from tests.runtime.hardware import cuda
from tests.tiny.gguf import write_tiny_gguf

LIMITS = EngineConfig(max_context=256)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    path = write_tiny_gguf(tmp_path_factory.mktemp("cards") / "tiny.gguf", context_length=256)
    return ModelCard.read(ModelFile("tiny", Path(path), None, "path", None))


def test_all_layers_go_to_a_card_without_being_asked_for_and_the_answer_is_the_same(card: ModelCard) -> None:
    with start(card, LIMITS) as model:
        alone = model.complete("Добро утро", max_tokens=8, temperature=0).text
        assert (model.plan.gpu_layers, device_of(model.plan)) == (0, "cpu")
    with seen(cuda(7.5, 8)), start(card, LIMITS) as model:
        assert model.plan.gpu_layers == read_header(card.file.path).shape().block_count + 1
        assert "fit on CUDA0 (7.50 GiB free)" in model.plan.reasons["gpu_layers"]
        assert device_of(model.plan) == "cuda"
        assert model.complete("Добро утро", max_tokens=8, temperature=0).text == alone


def test_a_card_that_is_nearly_full_is_left_alone_and_the_plan_says_why(card: ModelCard) -> None:
    with seen(cuda(0.2, 8)), start(card, LIMITS) as model:
        assert model.plan.gpu_layers == 0
        assert "Too little free memory on CUDA0" in model.plan.reasons["gpu_layers"]
