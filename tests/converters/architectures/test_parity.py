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
    # llama.cpp does not normalise: of the texts one is in NFD, which Qwen's tokenizer composes.
    expected = ["caf\u00e9 cafe\u0301 \u1e69 s\u0323\u0307"] if name.startswith("qwen") else []
    assert found["examples"] == expected
    assert found["different"] == len(expected)
