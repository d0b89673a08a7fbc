"""Fertility: tokens by word, by character and by those of English."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

import demotic
from converters.fertility import Fertility, as_cells, measure
from converters.probes import DECLARATION


def test_a_tokenizer_of_words_has_one_token_by_word_and_what_stands_around_is_not_counted() -> None:
    found = measure(lambda text: [1, *range(len(text.split())), 2])
    assert found["bul_Cyrl"] == Fertility(29, 29, 147, round(29 / 30, 2))
    assert found["bul_Cyrl"].value == 1.0
    assert found["eng_Latn"].parity == 1.0
    assert set(found) == set(DECLARATION)


def test_where_words_are_not_told_apart_characters_are_counted_as_readers_see_them() -> None:
    found = measure(lambda text: list(text.encode()))
    assert found["tha_Thai"].words is None
    assert found["tha_Thai"].characters < len(DECLARATION["tha_Thai"])
    assert found["zho_Hans"].value == len(DECLARATION["zho_Hans"].encode()) / 43
    # Amharic's words stand between signs of their own.
    assert found["amh_Ethi"].words == 20


def test_the_best_language_comes_first() -> None:
    parities = [each.parity for each in measure(lambda text: list(text.encode())).values()]
    assert parities == sorted(parities)
    assert parities[0] < 1 < parities[-1]


def test_a_cell_says_fertility_and_parity() -> None:
    found = {"tha_Thai": Fertility(130, None, 100, 2.5), "bul_Cyrl": Fertility(54, 27, 147, 1.64)}
    assert as_cells({name: asdict(each) for name, each in found.items()}) == [
        "tha_Thai 1.30c 2.5x",
        "bul_Cyrl  2.0  1.6x",
    ]


def test_convert_prints_it_by_language_and_keeps_it_in_the_manifest(llama: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.gguf"
    result = CliRunner().invoke(demotic.make_app(), ["convert", str(llama), "-o", str(target)])
    written: dict[str, Any] = json.loads((tmp_path / "a.gguf.manifest.json").read_text(encoding="utf-8"))
    figures = written["tokenizer"]["fertility"]
    assert set(figures) == set(DECLARATION)
    for cell in as_cells(figures):
        assert cell in result.stdout
