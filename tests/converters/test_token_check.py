"""Ids of source, file and llama.cpp: the first two must agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from converters import special_tokens as special
from converters import tokenizers as read
from converters.convert import Request, convert
from converters.gguf.vocabulary import open_vocabulary
from converters.probes import PROBES
from runtime.errors import ConversionRefused
from tests.converters.families import RECIPES, Families


@pytest.mark.parametrize("name", RECIPES)
def test_of_every_family_the_runtime_reads_each_text_as_the_source_does(name: str, families: Families) -> None:
    family = families[name]
    with open_vocabulary(family.converted.path) as vocabulary:
        for probe in PROBES:
            found = vocabulary.read.encode(probe.text, parse_special=False)
            assert found == family.tokenizer.encode(probe.text).ids
    assert family.converted.manifest.tokenizer["texts"] == len(PROBES)


def test_a_file_that_would_be_read_otherwise_is_not_kept_and_language_and_token_are_named(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_bos(*arguments: Any) -> Any:
        return special.special_tokens(*arguments) | {"tokenizer.ggml.add_bos_token": False}

    monkeypatch.setattr(read, "special_tokens", without_bos)
    with pytest.raises(
        ConversionRefused,
        match=r"read otherwise than its source: of the text eng_Latn, \"Hello.*token 0 would be \d+ .*, and is 1 \('<s>'\)",
    ):
        convert(Request(str(llama), tmp_path / "a.gguf"))
    assert not list(tmp_path.glob("*a.gguf*"))


def test_the_tokenizer_inside_another_s_file_is_not_taken_for_its_own(
    llama: Path, families: Families, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = families["gemma"].tokenizer.to_str()
    entries = read.read_tokenizer

    def with_another(*arguments: Any) -> Any:
        found = entries(*arguments)
        found.entries["tokenizer.huggingface.json"] = other
        return found

    monkeypatch.setattr("converters.convert.read_tokenizer", with_another)
    with pytest.raises(ConversionRefused, match=r"read otherwise than its source|tokenizer\.json has"):
        convert(Request(str(llama), tmp_path / "a.gguf"))
    assert not list(tmp_path.glob("*a.gguf*"))
