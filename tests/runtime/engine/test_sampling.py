"""The next token is chosen as the parameters say, and wrong parameters are refused by name."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.base import Logits
from runtime.engine.sampling import Sampler, SamplingParams
from runtime.errors import InferenceFailed, InvalidRequest


def row(*values: float) -> Logits:
    return np.array(values, np.float32)


def draws(params: dict[str, float], logits: Logits, count: int = 4000) -> dict[int, float]:
    """Share of each token among `count` first tokens, each from a sampler of its own."""
    chosen = [Sampler(SamplingParams(**params, seed=seed), []).sample(logits.copy()) for seed in range(count)]  # type: ignore[arg-type]  # keywords of several types
    ids, counts = np.unique(chosen, return_counts=True)
    return dict(zip(ids.tolist(), (counts / count).tolist(), strict=True))


def softmax(logits: Logits) -> list[float]:
    weights = np.exp(logits - logits.max())
    return [float(weight) for weight in weights / weights.sum()]


def reference_filter(logits: Logits, top_k: int, top_p: float, min_p: float) -> set[int]:
    """The definitions of the papers, one line each, with a full sort."""
    order = np.argsort(-logits, kind="stable")[: top_k or None]
    weights = np.exp(logits[order].astype(np.float64) - logits.max())
    if top_p < 1:
        before = np.cumsum(weights / weights.sum()) - weights / weights.sum()
        order, weights = order[before < top_p], weights[before < top_p]
    return set(order[weights >= min_p * weights.max()].tolist())


def test_temperature_zero_takes_the_likeliest_token() -> None:
    assert Sampler(SamplingParams(temperature=0), []).sample(row(0.1, 3.0, 2.9)) == 1


def test_an_unfiltered_draw_follows_the_softmax() -> None:
    logits = row(0.0, 1.0, 2.0)
    shares = draws({}, logits)
    for token, share in enumerate(softmax(logits)):
        assert shares[token] == pytest.approx(share, abs=0.03)


def test_temperature_flattens_the_distribution() -> None:
    logits = row(0.0, 1.0, 2.0)
    shares = draws({"temperature": 2.0}, logits)
    for token, share in enumerate(softmax(logits / np.float32(2))):
        assert shares[token] == pytest.approx(share, abs=0.03)


@given(
    # Eighths of a nat, so that no share lies on a filter's border by rounding alone.
    st.lists(st.integers(-240, 240).map(lambda eighths: eighths / 8), min_size=2, max_size=60, unique=True),
    st.integers(0, 12),
    st.sampled_from([0.1, 0.5, 0.9, 0.99, 1.0]),
    st.sampled_from([0.0, 0.05, 0.3, 1.0]),
)
def test_filters_let_through_what_their_definitions_say(
    values: list[float], top_k: int, top_p: float, min_p: float
) -> None:
    logits = row(*values)
    allowed = reference_filter(logits, top_k, top_p, min_p)
    params = SamplingParams(temperature=100.0, top_k=top_k, top_p=top_p, min_p=min_p, seed=1)
    sampler = Sampler(params, [])
    assert {sampler.sample(logits.copy()) for _ in range(40)} <= allowed


def test_a_high_temperature_reaches_every_token_that_the_filters_let_through() -> None:
    assert set(draws({"top_k": 3, "temperature": 50.0}, row(5, 4, 3, 2, 1), count=200)) == {0, 1, 2}
    assert set(draws({"min_p": 0.3, "temperature": 50.0}, row(0, -1, -2, -3), count=200)) == {0, 1}
    assert set(draws({"top_p": 0.7, "temperature": 50.0}, row(0, 0, -5, -6), count=200)) == {0, 1}


def test_the_same_seed_gives_the_same_tokens_and_another_gives_others() -> None:
    logits = np.zeros(1000, np.float32)

    def tokens(seed: int) -> list[int]:
        sampler = Sampler(SamplingParams(seed=seed), [])
        return [sampler.sample(logits.copy()) for _ in range(8)]

    assert tokens(7) == tokens(7)
    assert tokens(7) != tokens(8)


def test_without_a_seed_two_requests_differ() -> None:
    logits = np.zeros(100_000, np.float32)
    assert Sampler(SamplingParams(), []).sample(logits.copy()) != Sampler(SamplingParams(), []).sample(logits.copy())


def test_logit_bias_is_added() -> None:
    params = SamplingParams(temperature=0, logit_bias={0: 5.0, 1: -100.0})
    assert Sampler(params, []).sample(row(1.0, 4.0, 3.0)) == 0


def test_repetition_penalty_divides_positive_and_multiplies_negative_logits_of_prompt_and_answer() -> None:
    params = SamplingParams(temperature=0, repetition_penalty=2.0)
    assert Sampler(params, prompt=[0]).sample(row(3.0, 2.0)) == 1
    assert Sampler(params, prompt=[0]).sample(row(-1.0, -1.5)) == 1
    sampler = Sampler(params, prompt=[])
    assert [sampler.sample(row(3.0, 2.0)) for _ in range(2)] == [0, 1]


def test_presence_penalty_counts_once_and_frequency_penalty_each_time_and_neither_the_prompt() -> None:
    presence = Sampler(SamplingParams(temperature=0, presence_penalty=1.0), prompt=[0])
    assert [presence.sample(row(1.5, 1.0)) for _ in range(4)] == [0, 1, 0, 0]
    frequency = Sampler(SamplingParams(temperature=0, frequency_penalty=1.0), prompt=[0])
    assert [frequency.sample(row(1.5, 1.0)) for _ in range(4)] == [0, 1, 0, 1]


def test_logits_that_are_not_numbers_fail_the_request() -> None:
    for temperature in (0.0, 1.0):
        with pytest.raises(InferenceFailed, match="not numbers"):
            Sampler(SamplingParams(temperature=temperature), []).sample(row(1.0, math.nan))


def test_a_tiny_temperature_is_greedy_and_not_a_division_by_zero() -> None:
    assert Sampler(SamplingParams(temperature=1e-44), []).sample(row(1.0, 1.1)) == 1


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"top_k": -5}, "top_k"),
        ({"top_p": 1.1}, "top_p"),
        ({"min_p": -0.1}, "min_p"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"frequency_penalty": 2.5}, "frequency_penalty"),
        ({"presence_penalty": math.nan}, "presence_penalty"),
        ({"logit_bias": {100: 1.0}}, "logit_bias"),
        ({"logit_bias": {-1: 1.0}}, "logit_bias"),
        ({"logit_bias": {1: 101.0}}, "logit_bias"),
        ({"logit_bias": {1: math.nan}}, "logit_bias"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_value_out_of_its_range_is_refused_by_name(params: dict[str, float], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named) as refused:
        SamplingParams(**params).check(vocabulary_size=100)  # type: ignore[arg-type]  # wrong on purpose
    assert refused.value.param == named


def test_a_draw_over_a_large_vocabulary_follows_the_softmax() -> None:
    logits = np.full(5000, -20.0, np.float32)
    likely = {3: 0.0, 511: 1.0, 512: 0.5, 4999: 1.5}
    for token, value in likely.items():
        logits[token] = value
    shares = draws({"temperature": 0.5}, logits)
    expected = dict(zip(likely, softmax(np.array(list(likely.values()), np.float32) * 2), strict=True))
    assert set(shares) == set(likely)
    for token, share in expected.items():
        assert shares[token] == pytest.approx(share, abs=0.03)
