"""Every id in the JSON beside a model is found, whatever entry it is in, and nothing else is taken for one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from converters.adapt.folder import referred_ids
from converters.adapt.renumber import (
    changed_added_tokens,
    changed_config,
    changed_settings,
    changed_tokenizer_config,
    ids_in,
    resized,
)

CONFIG = {
    "vocab_size": 500, "type_vocab_size": 500, "hidden_size": 500, "eos_token_id": [7, 9], "pad_token_id": None,
    "bos_token_id": -1, "image_token_index": 11, "is_token_id": True, "num_beams": 7,
    "text_config": {"vocab_size": 500, "forced_bos_token_id": 12, "vocab_size_per_layer_input": 500},
    "suppress_tokens": [7, 13], "bad_words_ids": [[14], [7, 15]], "forced_decoder_ids": [[1, 16], [2, 17]],
    "sequence_bias": [[[18, 19], -7]], "lang_to_id": {"<|bg|>": 20}, "id2label": {"7": "seven"},
}  # fmt: skip


def test_ids_are_changed_at_any_depth_and_numbers_that_are_none_are_not() -> None:
    assert ids_in(CONFIG) == {7, 9, *range(11, 21)}
    changed = changed_config(CONFIG, lambda token: token + 100)
    assert changed["eos_token_id"] == [107, 109]
    assert changed["text_config"]["forced_bos_token_id"] == 112
    assert changed["bad_words_ids"] == [[114], [107, 115]]
    assert changed["forced_decoder_ids"] == [[1, 116], [2, 117]]
    assert changed["sequence_bias"] == [[[118, 119], -7]]
    assert changed["lang_to_id"] == {"<|bg|>": 120}
    same = ("vocab_size", "num_beams", "id2label", "bos_token_id", "pad_token_id", "is_token_id")
    assert [changed[key] for key in same] == [CONFIG[key] for key in same]


def test_the_size_of_the_vocabulary_is_no_other_size() -> None:
    smaller = resized(CONFIG, 500, 320)
    assert smaller["vocab_size"] == smaller["text_config"]["vocab_size"] == 320
    assert smaller["text_config"]["vocab_size_per_layer_input"] == 320
    assert smaller["hidden_size"] == smaller["type_vocab_size"] == 500


def test_tokens_that_were_added_go_or_get_their_new_ids() -> None:
    told = {"added_tokens_decoder": {"3": {"content": "<unk>"}, "499": {"content": "<mask>"}, "498": {"content": "x"}}}
    new_ids = {3: 3, 499: 319}
    decoder = changed_tokenizer_config(told, new_ids)["added_tokens_decoder"]
    assert decoder == {"3": {"content": "<unk>"}, "319": {"content": "<mask>"}}
    assert changed_added_tokens({"<mask>": 499, "x": 498}, new_ids) == {"<mask>": 319}


def test_settings_of_graphs_are_changed_with_their_languages() -> None:
    settings = {
        "tokens": {"pad": 1, "eos": [2, 5], "forced_eos": 2, "mask": 499},
        "languages": {"codes": {"bg_BG": 480}, "source": ["source", "text", 2], "target": "forced_bos"},
        "generation": {"num_beams": 5, "bad_words_ids": [[480]]},
        "sizes": {"vocabulary": 500, "width": 2},
    }
    assert ids_in(settings, changed_settings) == {1, 2, 5, 480, 499}
    changed = changed_settings(settings, lambda token: token * 10)
    assert changed["tokens"] == {"pad": 10, "eos": [20, 50], "forced_eos": 20, "mask": 4990}
    assert changed["languages"] == {
        "codes": {"bg_BG": 4800}, "source": ["source", "text", 20], "target": "forced_bos",
    }  # fmt: skip
    assert changed["generation"] == {"num_beams": 5, "bad_words_ids": [[4800]]}
    assert changed["sizes"] == settings["sizes"]


@pytest.mark.parametrize(("kind", "wanted"), [("xlm-roberta", {0, 1, 2, 3, 7}), ("bert", {3, 7})])
def test_where_positions_are_counted_from_the_padding_token_its_id_stays(
    kind: str, wanted: set[int], tmp_path: Path
) -> None:
    config = {"model_type": kind, "pad_token_id": 3, "eos_token_id": 7, "sep_token_id": 900}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert referred_ids(tmp_path, 500) == wanted
