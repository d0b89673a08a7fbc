"""What is said of a mix: shares, starved tensors, disagreement, each by its definition."""

from __future__ import annotations

import json

import numpy as np
import pytest

from converters.calibration.importance import Importance, Importances, mixed
from converters.calibration.report import Part, disagreement, report_on, starved_share


def importance(*squares: float, count: float = 10) -> Importance:
    return Importance(np.array([squares], np.float64), np.array([count]))


def part(weight: float = 1, num_tokens: int = 10, **importances: Importance) -> Part:
    return Part(importances, num_tokens, 1, 0, weight)


def mix_of(parts: dict[str, Part]) -> Importances:
    return mixed((each.importances, each.weight) for each in parts.values())


def test_a_mix_adds_tokens_as_often_as_their_language_s_weight_says() -> None:
    total = mixed([({"a": importance(1, 2)}, 1), ({"a": importance(10, 0, count=5)}, 3)])["a"]
    assert total.squares.tolist() == [[31, 2]]
    assert total.counts.tolist() == [25]
    assert total.means().tolist() == [[31 / 25, 2 / 25]]


def test_an_expert_without_tokens_has_ones_as_llama_cpp_writes_them() -> None:
    experts = Importance(np.array([[4.0, 8.0], [0.0, 0.0]]), np.array([2.0, 0.0]))
    assert experts.means().tolist() == [[2, 4], [1, 1]]
    assert experts.shares().tolist() == [4 / 12, 8 / 12, 0, 0]


def test_what_is_starved_is_the_share_in_columns_with_less_than_half_of_it_in_the_mix() -> None:
    of_language, of_mix = np.array([0.5, 0.3, 0.2]), np.array([0.24, 0.15, 0.61])
    assert starved_share(of_language, of_mix) == pytest.approx(0.5)  # 0.3 is exactly twice, not more
    assert starved_share(of_mix, of_mix) == 0


def test_disagreement_is_one_less_the_cosine() -> None:
    assert disagreement(np.array([1.0, 0]), np.array([0, 1.0])) == 1
    assert disagreement(np.array([0.5, 0.5]), np.array([0.1, 0.1])) == pytest.approx(0)
    assert disagreement(np.array([1.0, 0]), np.array([0.5, 0.5])) == pytest.approx(1 - 0.5**0.5)


def test_a_language_that_is_drowned_is_said_to_starve_and_where() -> None:
    parts = {
        "ron_Latn": part(a=importance(1, 1), b=importance(90, 10), num_tokens=10),
        "eng_Latn": part(a=importance(1, 1), b=importance(10, 990), num_tokens=90),
    }
    parts["eng_Latn"].importances["b"].counts[:] = 90
    parts["eng_Latn"].importances["a"].counts[:] = 90
    report = report_on(parts, mix_of(parts))
    ron, eng = report.languages
    assert [ron.share, eng.share] == pytest.approx([0.1, 0.9])
    assert [each.tensor for each in ron.starved] == ["b"]
    assert ron.starved[0].share == pytest.approx(0.9)
    assert eng.starved == ()
    assert ron.worst_tensor == "b"
    assert ron.disagreement > 10 * eng.disagreement
    # A weight that lets it be heard ends that.
    fed = {**parts, "ron_Latn": part(100, a=importance(1, 1), b=importance(90, 10))}
    assert report_on(fed, mix_of(fed)).languages[0].starved == ()


def test_pairs_come_with_those_first_that_disagree_most() -> None:
    parts = {"a": part(x=importance(1, 0)), "b": part(x=importance(1, 0)), "c": part(x=importance(0, 1))}
    report = report_on(parts, mix_of(parts))
    assert [pair.languages for pair in report.pairs] == [("a", "c"), ("b", "c"), ("a", "b")]
    assert [pair.disagreement for pair in report.pairs] == pytest.approx([1, 1, 0])
    assert report.pairs[0].worst_tensor == "x"
    assert json.loads(json.dumps(report.as_dict()))["languages"][2]["language"] == "c"


def test_neither_the_amount_of_text_nor_the_size_of_activations_is_disagreement() -> None:
    parts = {"a": part(x=importance(1, 2, 3)), "b": part(x=importance(100, 200, 300, count=1))}
    report = report_on(parts, mix_of(parts))
    assert report.pairs[0].disagreement == pytest.approx(0)
    assert [each.starved for each in report.languages] == [(), ()]
