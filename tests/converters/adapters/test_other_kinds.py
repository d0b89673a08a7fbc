"""Adapters of encoder-decoders and encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.architectures.options import Options
from converters.convert import Request, convert
from runtime.errors import ConversionRefused
from runtime.models.adapter import check_adapter
from runtime.models.inspect import read_header
from tests.converters.architectures.test_encoders import saved as saved_encoder
from tests.converters.architectures.test_t5 import GATED_GELU, RELU, saved
from tests.converters.seq2seq import Computed, wanted_logits
from tests.runtime.test_embeddings import TEXTS, TOKENIZERS, cosine, hidden_states, opened
from tests.tiny.adapters import save_adapter
from tests.tiny.encoders import tiny_bert

SOURCE, TARGET = [7, 30, 9, 12, 88, 1], [0, 5, 17, 40, 6]


@pytest.mark.parametrize(("kind", "within"), [("t5", RELU), ("mt5", GATED_GELU), ("byt5", GATED_GELU)])
def test_an_encoder_decoder_merged_and_beside_its_adapter(kind: str, within: float, tmp_path: Path) -> None:
    folder, model = saved(kind, tmp_path / kind)
    adapted = save_adapter(tmp_path / "adapter", model, task_type="SEQ_2_SEQ_LM")
    wanted = wanted_logits(adapted, SOURCE, TARGET)
    assert np.abs(wanted - wanted_logits(model, SOURCE, TARGET)).max() > 1
    base = convert(Request(str(folder), tmp_path / "base.gguf", "f32")).path
    lora = convert(Request(str(tmp_path / "adapter"), tmp_path / "lora.gguf", base=str(folder))).path
    check_adapter(lora, read_header(base))
    merged = convert(Request(str(folder), tmp_path / "merged.gguf", "f32", str(tmp_path / "adapter"))).path
    for computed in (Computed(merged), Computed(base, lora)):
        try:
            assert np.abs(computed.logits(SOURCE, TARGET) - wanted).max() < within
        finally:
            computed.close()


def test_a_head_that_t5_shares_with_its_embedding_is_parted(tmp_path: Path) -> None:
    folder, model = saved("t5", tmp_path / "t5")
    adapted = save_adapter(tmp_path / "adapter", model, targets=("lm_head", "q"), task_type="SEQ_2_SEQ_LM")
    request = Request(str(folder), tmp_path / "merged.gguf", "f32", str(tmp_path / "adapter"), verify=True)
    done = convert(request)
    assert done.manifest.parity is not None
    assert done.manifest.parity["max_difference"] < RELU
    computed = Computed(done.path)
    try:
        wanted = wanted_logits(adapted, SOURCE, TARGET)
        assert np.abs(computed.logits(SOURCE, TARGET) - wanted).max() < RELU
    finally:
        computed.close()


@pytest.mark.parametrize(
    "settings",
    [{"targets": ("shared", "q")}, {"targets": ("q",), "modules_to_save": ["shared"]}],
    ids=["lora", "saved"],
)
def test_t5_s_embedding_cannot_be_changed(settings: dict[str, Any], tmp_path: Path) -> None:
    folder, model = saved("t5", tmp_path / "t5")
    save_adapter(tmp_path / "adapter", model, task_type="SEQ_2_SEQ_LM", **settings)
    with pytest.raises(ConversionRefused, match="copies of their own"):
        convert(Request(str(folder), tmp_path / "a.gguf", "f32", str(tmp_path / "adapter")))


def test_an_encoder_is_merged_and_takes_no_adapter_beside_it(tmp_path: Path) -> None:
    reference = tiny_bert()
    folder = saved_encoder(tmp_path / "tiny", "bert", reference)
    adapted = save_adapter(tmp_path / "adapter", reference, task_type="FEATURE_EXTRACTION")
    request = Request(
        str(folder), tmp_path / "a.gguf", "f32", str(tmp_path / "adapter"), verify=True, options=Options(pooling="cls")
    )
    done = convert(request)
    assert done.manifest.parity is not None
    assert done.manifest.parity["min_cosine"] > 0.9999
    # "all-linear" finds the pooler too, which no vector goes through.
    assert [note for note in done.manifest.notes if "pooler.dense" in note]
    tokenizer = TOKENIZERS["bert"]()
    with opened(done.path) as model:
        found = model.embed(TEXTS)
    for text, vector in zip(TEXTS, found, strict=True):
        tokens = tokenizer.encode(text).ids
        assert cosine(vector, hidden_states(adapted, tokens)[0]) > 0.9999
        assert cosine(vector, hidden_states(reference, tokens)[0]) < 0.999
    with pytest.raises(ConversionRefused, match=r"only models that give text take adapters.*--adapter"):
        convert(Request(str(tmp_path / "adapter"), tmp_path / "lora.gguf", base=str(folder)))
