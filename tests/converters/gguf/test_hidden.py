"""Hidden states that are read while llama.cpp computes are those that transformers gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from converters.gguf.hidden import HiddenWatcher
from converters.served import exact_plan
from converters.tensors import FloatArray
from runtime.backends.base import Chunk
from runtime.backends.llama.decoder import LlamaDecoder
from runtime.backends.llama.model import LlamaModel
from runtime.errors import InferenceFailed
from tests.converters.families import Families, Family

TOKENS = np.random.default_rng(2).integers(3, 300, 40).tolist()


def states_of(family: Family, num_blocks: int, block: int) -> tuple[FloatArray, FloatArray]:
    """Hidden states, read `block` tokens at a time, and logits of a pass after that."""
    model = LlamaModel(family.converted.path)
    watcher = HiddenWatcher(num_blocks)
    decoder = LlamaDecoder(model, replace(exact_plan(128), batch_size=64, ubatch_size=64), on_node=watcher.callback)
    try:
        watcher.begin()
        for at in range(0, len(TOKENS), block):
            part = TOKENS[at : at + block]
            decoder.forward([Chunk(0, at, part, len(part))])
        states = watcher.end()
        decoder.forget(0)
        return states, decoder.forward([Chunk(0, 0, TOKENS, len(TOKENS))]).copy()
    finally:
        decoder.close()
        model.close()


# Rotary, learned and no positions; embeddings that are scaled or normed; blocks that are parallel; windows.
@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2", "bloom", "gpt_neox"])
def test_hidden_states_of_all_layers_are_those_of_transformers(families: Families, name: str) -> None:
    family = families[name]
    with torch.no_grad():
        out = family.model(input_ids=torch.tensor([TOKENS]), output_hidden_states=True)
    wanted = np.stack([each[0].numpy() for each in out.hidden_states])
    states, logits = states_of(family, len(wanted) - 1, 16)
    assert states.shape == wanted.shape
    scale = np.abs(wanted).max(axis=(1, 2), keepdims=True)
    assert np.abs((states - wanted) / scale).max() < 1e-3
    # Afterwards the same context gives logits again.
    assert np.abs(logits - out.logits[0].numpy()).max() < family.recipe.within


def test_a_model_that_does_not_show_all_layers_is_refused(families: Families) -> None:
    with pytest.raises(InferenceFailed, match=r"layers \[3, 4\]"):
        states_of(families["llama"], 5, 40)
