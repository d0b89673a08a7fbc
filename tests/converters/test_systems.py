"""Published systems that conversion must serve, each as a tiny checkpoint of its shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from gguf import TokenType
from tokenizers import normalizers, processors

from converters.convert import Request, convert
from converters.gguf.vocabulary import open_vocabulary
from converters.probes import LINES
from runtime.models.header import EMBEDDED_KEY
from runtime.models.inspect import StringArray, read_header
from tests.converters.families import EXACT, GELU, Families
from tests.converters.parity import assert_same
from tests.tiny import tokenizers as tiny_tokenizers
from tests.tiny.checkpoints import (
    save_checkpoint,
    tiny_gpt2,
    tiny_gpt_neox,
    tiny_llama,
    tiny_qwen2,
    tiny_t5,
)

INDIC = ("ben_Beng", "hin_Deva", "ory_Orya", "tam_Taml", "tel_Telu")


def types_of(path: Path) -> list[int]:
    types: Any = read_header(path).metadata["tokenizer.ggml.token_type"]
    return [int(each) for each in types]


def texts_of(path: Path, key: str = "tokens") -> list[str]:
    texts = read_header(path).metadata[f"tokenizer.ggml.{key}"]
    assert isinstance(texts, StringArray)
    return list(texts)


@pytest.mark.parametrize("kind", ["BPE", "Unigram"])
def test_paramanu_a_llama_with_a_sentencepiece_vocabulary_of_five_indic_scripts(kind: str, tmp_path: Path) -> None:
    tokenizer = (
        tiny_tokenizers.sentencepiece() if kind == "BPE" else tiny_tokenizers.unigram(opening="<s>", closing=None)
    )
    model = tiny_llama(tokenizer.get_vocab_size())
    folder = save_checkpoint(tmp_path / "paramanu", model, tokenizer)
    done = convert(Request(str(folder), tmp_path / "a.gguf", "f32"))
    assert_same(done.path, model, within=EXACT)
    with open_vocabulary(done.path) as vocabulary:
        for language in INDIC:
            text = LINES[language]
            tokens = vocabulary.own.encode(text, parse_special=False)
            assert tokens == tokenizer.encode(text).ids
            assert b"".join(vocabulary.own.token_bytes(token) for token in tokens).decode().strip() == text


def test_chocollama_a_llama_with_the_byte_level_vocabulary_of_a_dutch_roberta(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizers.byte_level()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    begin, end = (tokenizer.token_to_id(name) or 0 for name in ("<s>", "</s>"))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", begin)])
    model = tiny_llama(tokenizer.get_vocab_size())
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    folder = save_checkpoint(tmp_path / "tokentrans", model, tokenizer, tokenizer_config=special)
    done = convert(Request(str(folder), tmp_path / "a.gguf", "f32"))
    assert_same(done.path, model, within=EXACT)
    metadata = read_header(done.path).metadata
    ids = [metadata[f"tokenizer.ggml.{name}_token_id"] for name in ("bos", "eos")]
    assert (metadata["tokenizer.ggml.model"], metadata["tokenizer.ggml.pre"], ids) == ("gpt2", "gpt-2", [begin, end])
    assert done.manifest.tokenizer["different"] == 0


def test_lucie_a_normalizer_that_llama_cpp_has_not_is_found_out(families: Families, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizers.sentencepiece()
    spaced = [
        normalizers.Replace(tokenizers.Regex(f"([{each}])"), " \\1") for each in ("\n", "\t", r"\(", "«", "'", "’")
    ]
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), *spaced, tokenizer.normalizer])
    tokenizer.add_special_tokens(["<|eot_id|>"])
    end = tokenizer.token_to_id("<|eot_id|>")
    folder = save_checkpoint(tmp_path / "lucie", tiny_llama(tokenizer.get_vocab_size()), tokenizer)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, end]}))
    done = convert(Request(str(folder), tmp_path / "a.gguf"))
    assert LINES["fra_Latn"] in done.manifest.tokenizer["examples"]
    assert any("splits" in note for note in done.manifest.notes)
    metadata = read_header(done.path).metadata
    assert (metadata["tokenizer.ggml.eos_token_id"], metadata["tokenizer.ggml.eot_token_id"]) == (2, end)
    carried = tokenizers.Tokenizer.from_str(str(metadata[EMBEDDED_KEY]))
    text = "«Bonjour»\n\tL'été (1)"
    assert carried.encode(text).ids == tokenizer.encode(text).ids


def test_goldfish_a_gpt2_with_a_unigram_vocabulary_and_padded_rows(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizers.unigram(opening="[CLS]", closing=None)
    tokenizer.add_special_tokens(["[SEP]"])
    size = tokenizer.get_vocab_size()
    model = tiny_gpt2(2048, activation_function="gelu")
    special = {"bos_token": "[CLS]", "eos_token": "[SEP]", "pad_token": "<pad>", "unk_token": "<unk>"}
    folder = save_checkpoint(tmp_path / "goldfish", model, tokenizer, tokenizer_config=special)
    assert "n_ctx" not in json.loads((folder / "config.json").read_text())
    done = convert(Request(str(folder), tmp_path / "a.gguf", "f32"))
    assert_same(done.path, model, within=GELU)
    metadata = read_header(done.path).metadata
    assert metadata["tokenizer.ggml.model"] == "t5"
    assert metadata["tokenizer.ggml.add_bos_token"] is True
    assert metadata["tokenizer.ggml.add_eos_token"] is False
    assert metadata["tokenizer.ggml.bos_token_id"] == tokenizer.token_to_id("[CLS]")
    assert metadata["tokenizer.ggml.eos_token_id"] == tokenizer.token_to_id("[SEP]")
    assert texts_of(done.path)[size:] == [f"[PAD{row}]" for row in range(size, 2048)]
    with open_vocabulary(done.path) as vocabulary:
        text = LINES["bul_Cyrl"]
        assert vocabulary.own.encode(text, parse_special=False) == tokenizer.encode(text).ids


def test_pensez_added_tokens_for_thinking_keep_their_rows(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizers.qwen2()
    tokenizer.add_tokens(["<think>", "</think>"])
    model = tiny_qwen2(tokenizer.get_vocab_size())
    folder = save_checkpoint(tmp_path / "pensez", model, tokenizer)
    done = convert(Request(str(folder), tmp_path / "a.gguf", "f32"))
    assert_same(done.path, model, within=EXACT)
    opening, closing = tokenizer.token_to_id("<think>"), tokenizer.token_to_id("</think>")
    assert opening is not None
    assert closing is not None
    assert [types_of(done.path)[row] for row in (opening, closing)] == [TokenType.USER_DEFINED] * 2
    text = "<think>Où est-il ?</think> Ici."
    with open_vocabulary(done.path) as vocabulary:
        tokens = vocabulary.own.encode(text, parse_special=False)
    assert tokens == tokenizer.encode(text).ids
    assert {opening, closing} <= set(tokens)


def test_polyglot_ko_a_gpt_neox_with_more_rows_than_tokens(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizers.byte_level()
    size = tokenizer.get_vocab_size()
    model = tiny_gpt_neox(size + 77, hidden_act="gelu")
    folder = save_checkpoint(tmp_path / "polyglot-ko", model, tokenizer)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 2}))  # of a finetune; the base's is 0
    done = convert(Request(str(folder), tmp_path / "a.gguf", "f32"))
    assert_same(done.path, model, within=GELU)
    assert types_of(done.path)[size:] == [TokenType.UNUSED] * 77
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    assert texts_of(done.path, "merges") == [" ".join(pair) for pair in merges]
    metadata = read_header(done.path).metadata
    assert (metadata["tokenizer.ggml.pre"], metadata["tokenizer.ggml.eos_token_id"]) == ("gpt-2", 2)
    with open_vocabulary(done.path) as vocabulary:
        text = LINES["kor_Hang"]
        assert vocabulary.own.encode(text, parse_special=False) == tokenizer.encode(text).ids


def test_bloom_a_head_count_that_is_no_power_of_two(families: Families) -> None:
    family = families["bloom"]
    heads = family.model.config.n_head
    assert heads & (heads - 1)
    assert_same(family.converted.path, family.model, within=GELU, num_tokens=120)


def test_domestic_yak_llama3_s_scaling_beyond_the_length_it_was_trained_on(families: Families) -> None:
    family = families["llama3-tied"]
    assert family.model.config.rope_parameters["original_max_position_embeddings"] < 120
    assert_same(family.converted.path, family.model, within=EXACT, num_tokens=120)


def test_tower_plus_gemma_2_across_the_end_of_its_window(families: Families) -> None:
    family = families["gemma2"]
    window = family.model.config.sliding_window
    for num_tokens in (window - 1, window, window + 1, 4 * window):
        assert_same(family.converted.path, family.model, within=GELU, num_tokens=num_tokens)


@pytest.mark.parametrize("is_tied", [True, False])
def test_marco_qwen2_with_a_head_of_its_own_and_without(is_tied: bool, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizers.qwen2()
    model = tiny_qwen2(tokenizer.get_vocab_size(), tie_word_embeddings=is_tied)
    folder = save_checkpoint(tmp_path / "marco", model, tokenizer)
    done = convert(Request(str(folder), tmp_path / "a.gguf", "f32"))
    assert_same(done.path, model, within=EXACT)
    assert ("output.weight" in read_header(done.path).tensors) != is_tied


def test_p5_items_that_are_tokens_of_their_own_stay_one_token(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizers.unigram()
    tokenizer.add_tokens(["<A1>", "<A9>", "<2es>"])
    folder = save_checkpoint(tmp_path / "p5", tiny_t5(tokenizer.get_vocab_size()), tokenizer)
    done = convert(Request(str(folder), tmp_path / "a.gguf", "f32"))
    text = "<2es> the user bought <A1><A9>"
    with open_vocabulary(done.path) as vocabulary:
        tokens = vocabulary.own.encode(text, parse_special=False)
    for item in ("<A1>", "<A9>", "<2es>"):
        assert tokens.count(tokenizer.token_to_id(item) or 0) == 1
