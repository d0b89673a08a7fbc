"""What beam search does by itself, without a model: the largest of many entries, rules, and when it ends."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.engine.beam_search import Beams, BeamSearch, Limits, largest, to_logprobs
from runtime.engine.rules import Rules
from runtime.errors import InferenceFailed, InvalidRequest

NOTHING = -np.inf


@pytest.mark.parametrize("width", [1, 63, 64, 1000, 4097])
@pytest.mark.parametrize("count", [1, 8, 50])
def test_the_largest_entries_are_found_in_their_order(width: int, count: int) -> None:
    values = np.random.default_rng(width).normal(size=(3, width)).astype(np.float32)
    found = largest(values, count)
    assert found.tolist() == np.argsort(-values.reshape(-1), kind="stable")[:count].tolist()


def test_of_equal_entries_the_first_comes_first() -> None:
    values = np.zeros((2, 40), np.float32)
    values[1, 7] = 1
    assert largest(values, 4).tolist()[:1] == [47]
    assert sorted(largest(values, 80).tolist()) == list(range(80))


def test_numbers_that_are_none_are_refused() -> None:
    for bad in (np.nan, np.inf):
        with pytest.raises(InferenceFailed, match="not finite"):
            to_logprobs(np.array([[0.0, bad]], np.float32))
    found = to_logprobs(np.array([[0.0, NOTHING, 0.0]], np.float32))
    np.testing.assert_allclose(found[0, [0, 2]], np.log(0.5), rtol=1e-6)


def test_rows_are_as_many_as_beams_only_once_they_differ() -> None:
    search = BeamSearch(Beams(3), [9], Limits(0, 5, (0,), Rules()))
    assert search.num_rows == 1
    row = to_logprobs(np.array([[NOTHING, 1.0, 2.0, 3.0, 4.0]], np.float32))
    assert search.advance(row).tolist() == [0, 0, 0]
    assert search.sequences == [[9, 4], [9, 3], [9, 2]]


def test_a_search_ends_where_nothing_may_follow() -> None:
    search = BeamSearch(Beams(2), [9], Limits(0, 5, (0,), Rules(suppress=(0, 1, 2))))
    with pytest.raises(InvalidRequest, match="No token can follow"):
        search.advance(to_logprobs(np.zeros((1, 3), np.float32)))


def test_rules_forbid_what_they_name() -> None:
    rules = Rules(min_tokens=2, no_repeat_ngram_size=2, bad_words=((4,), (6, 7)), suppress=(1,), begin_suppress=(2,))

    def forbidden(tokens: list[int], num_left: int = 9) -> list[int]:
        row = np.zeros(10, np.float32)
        rules.apply(row, tokens, 1, num_left, (0,))
        return np.flatnonzero(np.isneginf(row)).tolist()

    assert forbidden([9]) == [0, 1, 2, 4]
    assert forbidden([9, 5, 6, 5]) == [1, 4, 6]
    assert forbidden([9, 3, 6]) == [1, 4, 7]
    last = Rules(forced_eos=(3,))
    row = np.zeros(5, np.float32)
    last.apply(row, [9], 1, 1, (0,))
    assert np.flatnonzero(np.isfinite(row)).tolist() == [3]
    for wrong in (Rules(min_tokens=-1), Rules(suppress=(10,))):
        with pytest.raises(InvalidRequest):
            wrong.check(10)
