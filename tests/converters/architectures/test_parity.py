"""llama.cpp computes the artefact as transformers computes its source."""

from __future__ import annotations

import pytest

from tests.converters.families import RECIPES, Families
from tests.converters.parity import assert_same


@pytest.mark.parametrize("name", RECIPES)
def test_logits_and_greedy_text_are_those_of_the_source(name: str, families: Families) -> None:
    family = families[name]
    assert_same(family.converted.path, family.model, within=family.recipe.within)


@pytest.mark.parametrize("name", RECIPES)
def test_llama_cpp_s_own_tokenizer_gives_the_source_s_ids(name: str, families: Families) -> None:
    found = families[name].converted.manifest.tokenizer
    expected: list[str] = []
    if name.startswith("qwen"):  # llama.cpp does not normalise; Qwen's tokenizer composes what is not composed
        expected = [
            "nfd",
            "composed_or_not",
            "never_composed",
            "many_marks",
            "ben_Beng",
            "ewe_Latn",
            "pan_Guru",
            "vie_Latn",
        ]
    if name.startswith("gemma"):  # the sign for a space beside spaces
        expected = ["sentencepiece_s_space"]
    assert set(found["different_names"]) == set(expected)
    assert found["different"] == len(expected)
