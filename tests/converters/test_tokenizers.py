"""Tokenizers of every kind, as a GGUF carries them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from gguf import TokenType
from tokenizers import pre_tokenizers

from converters.checkpoint import open_checkpoint
from converters.convert import Request, convert
from converters.gguf.vocabulary import open_vocabulary
from converters.pretokenizers import _BLOOM, _GPT_4O, _LLAMA3, _QWEN2, _TEKKEN, pre_tokenizer_of
from converters.probes import LINES, PROBES
from converters.tokenizers import read_tokenizer
from runtime.errors import ConversionRefused
from runtime.models.inspect import StringArray, read_header
from tests.converters.families import Families
from tests.tiny import tokenizers as tiny
from tests.tiny.checkpoints import save_checkpoint, tiny_gpt2


def spec_of(tokenizer: tokenizers.Tokenizer) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(tokenizer.to_str())
    return spec


@pytest.mark.parametrize(
    ("regex", "ignores_merges", "name"),
    [
        (None, False, "gpt-2"),
        (_LLAMA3, True, "llama-bpe"),
        (_LLAMA3, False, "smaug-bpe"),
        (_QWEN2, False, "qwen2"),
        (_BLOOM, False, "bloom"),
        (_GPT_4O, False, "granite-embed-multi-97m"),
        (_TEKKEN, True, "tekken"),
        (r"\w+|\W+", False, None),
        (_QWEN2, True, None),
    ],
)
def test_the_pre_tokenizer_follows_from_the_regex(regex: str | None, ignores_merges: bool, name: str | None) -> None:
    spec = spec_of(tiny.byte_level(regex, size=300, ignore_merges=ignores_merges))
    assert pre_tokenizer_of(spec) == name
    # Another vocabulary changes nothing.
    assert pre_tokenizer_of(spec_of(tiny.byte_level(regex, size=400, ignore_merges=ignores_merges))) == name


def test_digits_one_by_one_are_smollm_s_and_a_space_in_front_is_nothing_that_llama_cpp_knows() -> None:
    spec = spec_of(tiny.byte_level(size=300))
    level = spec["pre_tokenizer"]
    digits = {"type": "Digits", "individual_digits": True}
    spec["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, level]}
    assert pre_tokenizer_of(spec) == "smollm"
    level["add_prefix_space"] = True
    assert pre_tokenizer_of(spec) is None


@pytest.mark.parametrize(
    ("regex", "ignores_merges", "nearest"),
    [
        (r"\w+|\W+", False, "gpt-2"),
        (_QWEN2, True, "qwen2"),
        (_LLAMA3.replace("{1,3}", "{1,2}"), True, "llama-bpe"),
        (_GPT_4O.replace("{1,3}", "{1,2}"), False, "granite-embed-multi-97m"),
    ],
)
def test_for_an_unknown_way_of_splitting_the_nearest_is_written_and_the_runtime_reads_the_source_s_ids(
    regex: str, ignores_merges: bool, nearest: str, tmp_path: Path
) -> None:
    tokenizer = tiny.byte_level(regex, ignore_merges=ignores_merges)
    folder = save_checkpoint(tmp_path / "odd", tiny_gpt2(tokenizer.get_vocab_size()), tokenizer)
    done = convert(Request(str(folder), tmp_path / "a.gguf"))
    assert done.manifest.tokenizer["pre"] == nearest
    assert done.manifest.notes[0] == (
        f"llama.cpp has no way of splitting text like this tokenizer's; the nearest, '{nearest}', is written. demotic "
        "reads texts by the tokenizer.json inside the file; other programs do not, and get other tokens."
    )
    with open_vocabulary(done.path) as vocabulary:
        for probe in PROBES:
            assert vocabulary.read.encode(probe.text, parse_special=False) == tokenizer.encode(probe.text).ids


def test_a_text_that_is_not_split_at_all_is_read_so(tmp_path: Path) -> None:
    spec = spec_of(tiny.byte_level())
    spec["pre_tokenizer"], spec["normalizer"] = None, {"type": "ByteLevel"}
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(spec))
    folder = save_checkpoint(tmp_path / "whole", tiny_gpt2(tokenizer.get_vocab_size()), tokenizer)
    assert "llama.cpp has no way" in convert(Request(str(folder), tmp_path / "a.gguf")).manifest.notes[0]


def test_a_space_that_is_put_in_front_is_kept_by_the_tokenizer_inside_and_lost_by_llama_cpp_s(tmp_path: Path) -> None:
    tokenizer = tiny.byte_level()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    folder = save_checkpoint(tmp_path / "roberta", tiny_gpt2(tokenizer.get_vocab_size()), tokenizer)
    done = convert(Request(str(folder), tmp_path / "a.gguf"))
    assert done.manifest.tokenizer["pre"] == "gpt-2"
    with open_vocabulary(done.path) as vocabulary:
        text = LINES["eng_Latn"]
        assert vocabulary.read.encode(text, parse_special=False) == tokenizer.encode(text).ids
        assert vocabulary.own.encode(text, parse_special=False) != tokenizer.encode(text).ids


@pytest.mark.parametrize(
    ("make", "different"),
    [
        (lambda: tiny.byte_level(_GPT_4O), []),
        (lambda: tiny.byte_level(_GPT_4O, ignore_merges=True), []),
        (lambda: tiny.byte_level(_LLAMA3), []),
        # llama.cpp takes spaces away at the end, SentencePiece's tokenizer.json leaves one of them.
        (
            lambda: tiny.unigram(opening="[CLS]", closing=None),
            ["spaces", "sentencepiece_s_space", "space_only"],
        ),
    ],
    ids=["gpt-4o", "gpt-4o without merges", "smaug", "unigram"],
)
def test_llama_cpp_gives_the_source_s_ids(
    make: Callable[[], tokenizers.Tokenizer], different: list[str], tmp_path: Path
) -> None:
    tokenizer = make()
    folder = save_checkpoint(tmp_path / "tiny", tiny_gpt2(tokenizer.get_vocab_size()), tokenizer)
    assert convert(Request(str(folder), tmp_path / "a.gguf")).manifest.tokenizer["different_names"] == different


def test_a_difference_of_llama_cpp_s_tokenizer_is_told_and_does_not_stop(tmp_path: Path) -> None:
    tokenizer = tiny.byte_level(_TEKKEN, ignore_merges=True)  # llama.cpp's has no \p{M}: Indic words fall apart
    folder = save_checkpoint(tmp_path / "tiny", tiny_gpt2(tokenizer.get_vocab_size()), tokenizer)
    manifest = convert(Request(str(folder), tmp_path / "a.gguf")).manifest
    assert manifest.tokenizer["different"] > 5
    assert "hin_Deva" in manifest.tokenizer["different_names"]
    assert any(f"splits {manifest.tokenizer['different']} of" in note for note in manifest.notes)


def test_rows_beyond_the_tokenizer_are_unused_tokens_with_names_of_their_own(tmp_path: Path) -> None:
    tokenizer = tiny.byte_level()
    size = tokenizer.get_vocab_size()
    folder = save_checkpoint(tmp_path / "padded", tiny_gpt2(size + 12), tokenizer)
    header = read_header(convert(Request(str(folder), tmp_path / "a.gguf")).path)
    tokens, types = header.metadata["tokenizer.ggml.tokens"], header.metadata["tokenizer.ggml.token_type"]
    assert isinstance(tokens, StringArray)
    assert tokens[size:] == [f"[PAD{row}]" for row in range(size, size + 12)]
    assert list(types[size:]) == [TokenType.UNUSED] * 12  # type: ignore[index]
    assert types[size - 1] == TokenType.CONTROL  # type: ignore[index]
    assert header.tensors["token_embd.weight"].shape[1] == size + 12


def test_a_tokenizer_with_more_tokens_than_rows_is_refused(tmp_path: Path) -> None:
    tokenizer = tiny.byte_level()
    size = tokenizer.get_vocab_size()
    folder = save_checkpoint(tmp_path / "short", tiny_gpt2(size - 1), tokenizer)
    with pytest.raises(ConversionRefused, match=f"has the token id {size - 1}, but the embedding has only {size - 1}"):
        convert(Request(str(folder), tmp_path / "a.gguf"))


def test_kinds_and_types_of_tokens(families: Families) -> None:
    checkpoint = open_checkpoint(str(families["gemma"].folder))
    tokenizer = read_tokenizer(checkpoint, families["gemma"].tokenizer.get_vocab_size())
    tokens = list(tokenizer.entries["tokenizer.ggml.tokens"])  # type: ignore[arg-type]
    types = tokenizer.entries["tokenizer.ggml.token_type"]
    kinds = dict(zip(tokens, types, strict=True))  # type: ignore[arg-type]
    assert tokenizer.kind == "llama"
    assert (kinds["<unk>"], kinds["<s>"], kinds["<0x0A>"]) == (TokenType.UNKNOWN, TokenType.CONTROL, TokenType.BYTE)
    # llama.cpp looks for user-defined tokens in the text as it is, which has spaces.
    assert (kinds["  "], kinds["<unused0>"]) == (TokenType.USER_DEFINED, TokenType.USER_DEFINED)
    assert "▁▁" not in kinds
    assert tokenizer.entries["tokenizer.ggml.add_space_prefix"] is False
    assert tokenizer.entries["tokenizer.ggml.bos_token_id"] == 1


def test_bpe_without_merges_gets_one_that_changes_nothing(tmp_path: Path) -> None:
    tokenizer = tiny.byte_level(size=257)
    assert spec_of(tokenizer)["model"]["merges"] == []
    folder = save_checkpoint(tmp_path / "bytes", tiny_gpt2(tokenizer.get_vocab_size()), tokenizer)
    done = convert(Request(str(folder), tmp_path / "a.gguf"))
    assert done.manifest.tokenizer["different"] == 0
    assert len(read_header(done.path).metadata["tokenizer.ggml.merges"]) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["{", "{}", '{"model": {"type": "BPE"}}'])
def test_a_damaged_tokenizer_is_refused(text: str, llama: Path) -> None:
    (llama / "tokenizer.json").write_text(text)
    with pytest.raises(ConversionRefused, match=r"tokenizer\.json is damaged"):
        convert(Request(str(llama), llama.parent / "a.gguf"))


def test_bpe_of_neither_bytes_nor_fallback_is_refused(llama: Path) -> None:
    spec = json.loads((llama / "tokenizer.json").read_text(encoding="utf-8"))
    spec["model"]["byte_fallback"] = False
    spec["decoder"] = None
    (llama / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    with pytest.raises(ConversionRefused, match=r"is of a kind that llama\.cpp does not know: BPE without bytes"):
        convert(Request(str(llama), llama.parent / "a.gguf"))


def test_two_tokens_before_a_text_are_refused(llama: Path) -> None:
    spec = json.loads((llama / "tokenizer.json").read_text(encoding="utf-8"))
    spec["post_processor"]["single"].insert(0, spec["post_processor"]["single"][0])
    (llama / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    with pytest.raises(ConversionRefused, match="puts 2 tokens before a text and 0 after it"):
        convert(Request(str(llama), llama.parent / "a.gguf"))


def test_more_ends_than_llama_cpp_keeps_are_told(llama: Path) -> None:
    (llama / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 7, 8, 9]}))
    done = convert(Request(str(llama), llama.parent / "a.gguf"))
    metadata = read_header(done.path).metadata
    assert [metadata[f"tokenizer.ggml.{name}_token_id"] for name in ("eos", "eot", "eom")] == [2, 7, 8]
    assert done.manifest.notes == ("Of 4 tokens that end an answer, 3 are written: llama.cpp keeps no more.",)


@pytest.mark.parametrize("file", ["chat_template.jinja", "chat_template.json", "named"])
def test_the_chat_template_is_found_in_every_place(file: str, families: Families, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(families["llama"].folder, tmp_path / "tiny"))
    if file == "named":
        named = [{"name": "default", "template": "{{ 1 }}"}, {"name": "tool_use", "template": "{{ 2 }}"}]
        (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    else:
        (folder / file).write_text("{{ 1 }}" if file.endswith("jinja") else json.dumps({"chat_template": "{{ 1 }}"}))
    header = read_header(convert(Request(str(folder), tmp_path / "a.gguf")).path)
    assert header.chat_template == "{{ 1 }}"
    assert header.metadata.get("tokenizer.chat_template.tool_use") == ("{{ 2 }}" if file == "named" else None)
