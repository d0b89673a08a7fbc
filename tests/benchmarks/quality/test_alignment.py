"""MEXA (S47) and Language Ranker (S33) on cases by hand, and against another computation on a tiny checkpoint."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.parallel import ParallelText
from benchmarks.quality.alignment import chosen_layers, cosines, last_token, mexa, parallel_cosine, weighted_mean
from benchmarks.quality.measure import Measurement
from benchmarks.quality.opened import open_model
from converters.probes import DECLARATION
from runtime.card import ModelCard
from runtime.errors import InvalidRequest
from runtime.models.store import Store
from tests.converters.families import Families

NAMES = ("eng_Latn", "bul_Cyrl")
# Four lines in each language, of a few words.
TEXT = ParallelText(
    "lines",
    {name: tuple(" ".join(DECLARATION[name].split()[at : at + 4]) for at in (0, 4, 8, 12)) for name in NAMES},
)


def test_s47_a_language_that_is_english_has_a_mexa_of_one_and_a_permuted_one_of_none() -> None:
    english = np.random.default_rng(0).normal(size=(2, 6, 8))
    assert mexa(cosines(english, english)).tolist() == [1.0, 1.0]
    assert mexa(cosines(english, np.roll(english, 1, axis=1))).tolist() == [0.0, 0.0]


def test_s47_three_sentences_by_hand_and_a_tie_counts_as_a_failure() -> None:
    # Of the third, another English sentence is as near; the second is the nearest both ways; the first fails in its row.
    similarity = np.array([[0.5, 0.6, 0.1], [0.2, 0.9, 0.7], [0.3, 0.4, 0.7]])
    assert mexa(similarity) == pytest.approx(1 / 3)
    similarity[0, 1] = 0.4
    assert mexa(similarity) == pytest.approx(2 / 3)
    similarity[1, 2] = 0.6
    assert mexa(similarity) == 1.0


def test_s47_tokens_weigh_as_their_places_from_one() -> None:
    states = np.array([[[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]]])
    assert weighted_mean(states).tolist() == [[(1 + 6) / 6, (2 + 6) / 6]]
    assert last_token(states).tolist() == [[2.0, 2.0]]


def test_s33_english_has_one_and_languages_rank_by_their_angle_to_it() -> None:
    english = np.array([[[1.0, 0.0], [1.0, 0.0]]])
    near, far = (np.full((1, 2, 2), (np.cos(angle), np.sin(angle))) for angle in (0.3, 1.2))
    scores = [float(parallel_cosine(cosines(english, other))[0][0]) for other in (english, near, far)]
    assert scores == pytest.approx([1.0, np.cos(0.3), np.cos(1.2)])


def test_s33_pairs_that_are_not_parallel_are_told_apart() -> None:
    own, rest = parallel_cosine(np.array([[[0.9, 0.3, 0.2], [0.1, 0.6, 0.4], [0.5, 0.6, 0.3]]]))
    assert own == pytest.approx([0.6])
    assert rest == pytest.approx([0.35])


def test_scores_are_of_all_layers_or_of_those_asked_for() -> None:
    assert chosen_layers([], 4, first=0) == [0, 1, 2, 3]
    assert chosen_layers([], 4, first=1) == [1, 2, 3]
    assert chosen_layers([2], 4, first=1) == [2]
    with pytest.raises(InvalidRequest, match="no layer 4"):
        chosen_layers([4], 4, first=0)


def hidden_states(model: Any, tokens: list[int]) -> list[Any]:
    with torch.no_grad():
        out = model(input_ids=torch.tensor([tokens]), output_hidden_states=True)
    return [each[0].double().numpy() for each in out.hidden_states]


def cosine(one: Any, other: Any) -> float:
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))


def test_s47_and_s33_of_a_gguf_are_those_of_transformers_hidden_states(families: Families) -> None:
    family = families["llama"]
    card = ModelCard.read(Store().resolve(str(family.converted.path)))
    with open_model(card, [line for lines in TEXT.lines.values() for line in lines]) as opened:
        measurement = Measurement(opened, None, TEXT)
        found, ranked = measurement.cell("bul_Cyrl", "mexa"), measurement.cell("bul_Cyrl", "ranker")
        ids = {name: [opened.tokenizer.encode(x, parse_special=False) for x in TEXT.lines[name]] for name in NAMES}
    states = {name: [hidden_states(family.model, each) for each in ids[name]] for name in NAMES}
    for pooling in ("weighted", "last"):
        for layer, share in enumerate(found[pooling]["layers"]):
            vectors = {
                name: [
                    each[layer][-1]
                    if pooling == "last"
                    else sum((place + 1) * row for place, row in enumerate(each[layer]))
                    for each in states[name]
                ]
                for name in NAMES
            }
            table = [[cosine(one, other) for other in vectors["bul_Cyrl"]] for one in vectors["eng_Latn"]]
            wins = 0
            for i in range(4):
                rivals = [table[i][j] for j in range(4) if j != i] + [table[j][i] for j in range(4) if j != i]
                wins += table[i][i] > max(rivals)
            assert share == wins / 4, (pooling, layer)
            if pooling == "last":
                assert ranked["layers"][layer] == pytest.approx(sum(table[i][i] for i in range(4)) / 4, abs=1e-4)
    assert len(found["weighted"]["layers"]) == 3
    assert found["weighted"]["mean"] == pytest.approx(np.mean(found["weighted"]["layers"]))
    assert ranked["cosine"] == pytest.approx(np.mean(ranked["layers"][1:]))
    assert len(set(found["weighted"]["layers"] + found["last"]["layers"])) > 1
