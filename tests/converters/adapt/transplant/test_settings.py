"""Ids in the settings, positions and biases: a model whose tokens only have other ids computes the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
import transformers

from converters.adapt.transplant.settings import Renumbering
from converters.probes import LINES
from runtime.errors import ConversionRefused
from tests.converters.adapt.transplant.toys import (
    byte_level,
    named,
    read,
    rotated,
    run,
    saved,
    unigram,
    vocabulary,
    wordpiece,
)
from tests.converters.onnx.sources import Sources

TEXT = LINES["eng_Latn"]


@pytest.mark.parametrize("name", ["xlmr-mlm", "t5", "mt5", "mbart50"])
def test_a_tokenizer_that_only_counts_otherwise_changes_no_figure(name: str, sources: Sources, tmp_path: Path) -> None:
    source = tmp_path / "source"
    if name == "xlmr-mlm":
        named(sources.checkpoint(name), source)
    else:
        shutil.copytree(sources.checkpoint(name), source)
    old = tokenizers.Tokenizer.from_file(str(source / "tokenizer.json"))
    new = rotated(old, 3)
    vocabulary_size = old.get_vocab_size()
    places: list[Any] = [new.token_to_id(str(old.id_to_token(token))) for token in range(vocabulary_size)]
    auto: Any = transformers.AutoModelForMaskedLM if name == "xlmr-mlm" else transformers.AutoModelForSeq2SeqLM
    before = auto.from_pretrained(source)
    if name == "mbart50":  # what is all zero in a fresh model
        with torch.no_grad():
            before.final_logits_bias.copy_(torch.randn(1, vocabulary_size))
        before.save_pretrained(source)
    done = run(source, saved(new, tmp_path / "new.json"), tmp_path / "out")
    after = auto.from_pretrained(done.path)
    ids, new_ids = old.encode(TEXT).ids, new.encode(TEXT).ids
    assert new_ids == [places[token] for token in ids]
    inputs: dict[str, Any] = {}
    new_inputs: dict[str, Any] = {}
    if name != "xlmr-mlm":
        start = before.config.decoder_start_token_id
        assert after.config.decoder_start_token_id == places[start]
        inputs = {"decoder_input_ids": torch.tensor([[start, *ids[:4]]])}
        new_inputs = {"decoder_input_ids": torch.tensor([[places[start], *new_ids[:4]]])}
    with torch.no_grad():
        wanted = before(input_ids=torch.tensor([ids]), **inputs).logits[0].numpy()
        found = after(input_ids=torch.tensor([new_ids]), **new_inputs).logits[0].numpy()
    assert np.ptp(wanted) > 1
    assert found[:, places] == pytest.approx(wanted, abs=1e-4)
    for key in ("eos_token_id", "pad_token_id", "forced_eos_token_id") if name != "xlmr-mlm" else ("pad_token_id",):
        old_id = read(source / "config.json").get(key)
        assert read(done.path / "config.json").get(key) == (None if old_id is None else places[old_id])
    if name == "mbart50":
        generation = read(done.path / "generation_config.json")
        assert generation["forced_eos_token_id"] == places[1] and generation["num_beams"] == 5


def test_positions_that_begin_after_the_padding_token_move_with_it(sources: Sources, tmp_path: Path) -> None:
    done = run(sources.checkpoint("xlmr-mlm"), saved(byte_level("a", "b"), tmp_path / "b.json"), tmp_path / "out")
    assert read(done.path / "config.json")["max_position_embeddings"] == 131
    with pytest.raises(ConversionRefused, match="no padding token"):
        run(sources.checkpoint("xlmr-mlm"), saved(unigram("a", "b"), tmp_path / "u.json"), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_each_id_in_the_settings_is_that_of_the_role_or_of_the_text() -> None:
    old = vocabulary(unigram("▁a", "▁b", special=("<unk>", "<s>", "</s>", "<|im_end|>", "en_XX")), pad=2)
    new = vocabulary(unigram("▁b", special=("<unk>", "<pad>", "<|im_end|>", "<s>", "</s>", "<mask>")))
    ids, notes = Renumbering(old, new), list[str]()
    config = {
        "vocab_size": 7, "hidden_size": 3, "bos_token_id": 1, "eos_token_id": [2, 3], "pad_token_id": 2,
        "decoder_start_token_id": 2, "forced_bos_token_id": 4, "tokenizer_class": "Old", "sep_token_id": 2,
    }  # fmt: skip
    found = ids.config(config, "New", notes)
    assert found == {
        "vocab_size": 7, "hidden_size": 3, "bos_token_id": 3, "eos_token_id": [4, 2], "pad_token_id": 1,
        "decoder_start_token_id": 4, "forced_bos_token_id": None, "tokenizer_class": "New", "sep_token_id": 4,
        "unk_token_id": 0, "mask_token_id": 5,
    }  # fmt: skip
    assert notes == ["forced_bos_token_id of config.json is null: the new tokenizer has no token like 'en_XX'."]
    generation = {
        "suppress_tokens": [5, 6], "bad_words_ids": [[6], [5, 6]], "forced_decoder_ids": [[1, 6], [2, None], [3, 5]],
        "eos_token_id": 3, "temperature": 0.5, "do_sample": True, "_from_model_config": True,
    }  # fmt: skip
    assert ids.generation(generation, notes) == {
        "suppress_tokens": [6], "bad_words_ids": [[6]], "forced_decoder_ids": [[1, 6]],
        "eos_token_id": 4, "temperature": 0.5, "do_sample": True, "_from_model_config": True,
    }  # fmt: skip
    bert = Renumbering(old, vocabulary(wordpiece("a"))).config(config, "BertTokenizer", notes)
    assert [bert[f"{role}_token_id"] for role in ("bos", "eos", "pad", "cls", "sep")] == [2, [3], 0, 2, 3]


TEMPLATE = "{% for message in messages %}<|im_end|>{{ message.content }}{% endfor %}"


def test_a_chat_template_stays_where_the_new_tokenizer_has_what_it_writes(llama: Path, tmp_path: Path) -> None:
    library = tokenizers.Tokenizer.from_file(str(llama / "tokenizer.json"))
    library.add_special_tokens(["<|im_end|>"])
    model = transformers.AutoModelForCausalLM.from_pretrained(llama)
    model.resize_token_embeddings(library.get_vocab_size())
    model.save_pretrained(llama)
    library.save(str(llama / "tokenizer.json"))
    (llama / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    knowing = saved(unigram("▁a", special=("<unk>", "<s>", "</s>", "<|im_end|>")), tmp_path / "knowing.json")
    done = run(llama, knowing, tmp_path / "kept")
    assert (done.path / "chat_template.jinja").read_text(encoding="utf-8") == TEMPLATE
    assert done.manifest.notes == ()
    done = run(llama, saved(unigram("▁a"), tmp_path / "other.json"), tmp_path / "left")
    assert not (done.path / "chat_template.jinja").exists()
    assert "lacks <|im_end|>, which it writes" in done.manifest.notes[0]
    own = tmp_path / "own"
    own.mkdir()
    saved(unigram("▁a"), own / "tokenizer.json")
    settings = {"chat_template": "{{ messages[0].content }}"}
    (own / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    done = run(llama, own, tmp_path / "replaced")
    assert not (done.path / "chat_template.jinja").exists() and done.manifest.notes == ()
    assert read(done.path / "tokenizer_config.json")["chat_template"] == settings["chat_template"]
