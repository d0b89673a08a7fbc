"""What only a machine with a CUDA card can show: run `pytest -m gpu` there, with a build that can use it.

Everywhere else these are skipped, and made-up cards stand in (`test_cards.py`).
"""

from __future__ import annotations

import ctypes
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bandwidth import cuda_bandwidth
from runtime.backends.base import Chunk, Logits, Passage
from runtime.backends.llama.decoder import LlamaDecoder
from runtime.backends.llama.offload import measure
from runtime.backends.load import load_decoder, load_encoder
from runtime.card import ModelCard
from runtime.config import EngineConfig
from runtime.hardware.ggml import card_backend, read_build, try_cards
from runtime.hardware.plan import Plan, Provider
from runtime.hardware.probe import probe, run_command
from runtime.hardware.room import usable_cards
from runtime.model import start
from runtime.models.inspect import read_header
from runtime.models.store import ModelFile, Store
from tests.converters.onnx.sources import Sources
from tests.runtime.onnx.folders import file_of
from tests.tiny.gguf import write_tiny_gguf

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(card_backend() != "CUDA", reason="no CUDA card, or no build that can use it"),
]
LIMITS = EngineConfig(max_context=512)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    path = write_tiny_gguf(tmp_path_factory.mktemp("gpu") / "tiny.gguf", context_length=512)
    return ModelCard.read(ModelFile("tiny", Path(path), None, "path", None))


@pytest.fixture
def full_card() -> Iterator[None]:
    """Another program takes all but 64 MiB of the first card."""
    cuda = ctypes.CDLL("libcudart.so")
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    cuda.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total))
    taken = ctypes.c_void_p()
    assert cuda.cudaMalloc(ctypes.byref(taken), ctypes.c_size_t(free.value - (64 << 20))) == 0
    yield
    cuda.cudaFree(taken)


def logits_of(card: ModelCard, plan: Plan) -> Logits:
    loaded = load_decoder(card.file.path, plan)
    found = np.array(loaded.decoder.forward([Chunk(0, 0, [5, 6, 7, 8], num_logits=4)]))
    loaded.close()
    return found


def test_the_cards_compute() -> None:
    assert try_cards(run_command) == ""


def test_all_layers_go_to_the_card_without_a_flag_and_give_the_processors_logits(card: ModelCard) -> None:
    plan = card.plan(probe(), LIMITS)
    assert plan.gpu_layers > 0
    on_card, alone = logits_of(card, plan), logits_of(card, dataclasses.replace(plan, gpu_layers=0))
    np.testing.assert_allclose(on_card, alone, rtol=0, atol=0.02 * float(alone.std()))


def test_layers_divided_between_card_and_processor_give_the_same(card: ModelCard) -> None:
    plan = card.plan(probe(), LIMITS)
    half, alone = (logits_of(card, dataclasses.replace(plan, gpu_layers=layers)) for layers in (1, 0))
    np.testing.assert_allclose(half, alone, rtol=0, atol=0.02 * float(alone.std()))


def test_what_is_measured_on_paper_is_what_a_loaded_model_takes_of_the_card() -> None:
    card = ModelCard.read(Store().resolve("gemma-3-270m"))
    plan = card.plan(probe(), LIMITS)
    (device, *_) = usable_cards(read_build().devices)
    on_paper = measure(card.file.path, plan, plan.gpu_layers, lambda model, plan: LlamaDecoder(model, plan).close)
    loaded = load_decoder(card.file.path, plan)
    after = next(each for each in read_build().devices if each.name == device.name)
    taken = device.memory_free - after.memory_free
    loaded.close()
    assert on_paper[device.name] < taken < on_paper[device.name] + 2 * card.file.path.stat().st_size


@pytest.mark.usefixtures("full_card")
def test_a_model_that_the_full_card_cannot_take_runs_on_the_processor(card: ModelCard) -> None:
    plan = card.plan(probe(), LIMITS)
    loaded = load_decoder(card.file.path, dataclasses.replace(plan, gpu_layers=card_layers(card)))
    assert loaded.plan.gpu_layers < card_layers(card)
    loaded.close()


def test_a_model_generates_the_same_text_again_and_again_on_the_card() -> None:
    card = ModelCard.read(Store().resolve("smollm2-135m-instruct"))
    with start(card, LIMITS) as model:
        assert model.plan.gpu_layers == card_layers(card)
        texts = {model.complete("The capital of France is", max_tokens=32, temperature=0).text for _ in range(3)}
    assert len(texts) == 1


def test_a_graph_on_the_card_gives_the_processors_vectors(sources: Sources) -> None:
    card = ModelCard.read(file_of(sources.exported("bert").path))
    plan = card.plan(probe(full=True), LIMITS)
    if plan.provider != "cuda":
        pytest.skip(plan.reasons["provider"])
    assert card.encoding is not None
    found = []
    providers: tuple[Provider, ...] = ("cuda", "cpu")
    for provider in providers:
        loaded = load_encoder(card.file.path, dataclasses.replace(plan, provider=provider), card.encoding)
        assert loaded.plan.provider == provider
        tokens = loaded.tokenizer.encode("Добро утро", parse_special=False)
        found.append(loaded.encoder.encode([Passage(tokens)])[0])
        loaded.close()
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)


def test_the_cards_memory_is_faster_than_a_processors() -> None:
    assert cuda_bandwidth() > 5e10


def card_layers(card: ModelCard) -> int:
    """All layers and the head."""
    return read_header(card.file.path).shape().block_count + 1
