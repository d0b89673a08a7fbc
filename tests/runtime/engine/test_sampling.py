"""The next token is chosen as the parameters say, and wrong parameters are refused by name."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
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


def reference(
    logits: Logits, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0
) -> npt.NDArray[np.float64]:
    """Probability of every token: the definitions of the papers, one line each, with a full sort."""
    order = np.argsort(-logits, kind="stable")[: top_k or None]
    weights = np.exp(logits[order].astype(np.float64) - logits.max())
    before = np.cumsum(weights) - weights
    kept = order[((top_p == 1) | (before < top_p * weights.sum())) & (weights >= min_p)]
    shares = np.exp((logits[kept].astype(np.float64) - logits.max()) / temperature)
    probabilities = np.zeros(len(logits))
    probabilities[kept] = shares / shares.sum()
    return probabilities


def surprise(counts: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]) -> float:
    """Pearson's chi-square of drawn tokens, in standard deviations; the tokens that are rarely drawn count as one."""
    expected = counts.sum() * probabilities
    is_rare = expected < 8
    rare = [(counts[is_rare].sum(), expected[is_rare].sum())] if expected[is_rare].sum() >= 8 else []
    pairs = np.array([*zip(counts[~is_rare], expected[~is_rare], strict=True), *rare])
    chi_square = float((np.square(pairs[:, 0] - pairs[:, 1]) / pairs[:, 1]).sum())
    freedom = len(pairs) - 1
    return (chi_square - freedom) / math.sqrt(2 * freedom) if freedom else 0.0


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
    st.integers(0, 70),
    st.sampled_from([0.1, 0.5, 0.9, 0.99, 1.0]),
    st.sampled_from([0.0, 0.05, 0.3, 1.0]),
)
def test_filters_let_through_what_their_definitions_say(
    values: list[float], top_k: int, top_p: float, min_p: float
) -> None:
    logits = row(*values)
    allowed = set(np.flatnonzero(reference(logits, top_k=top_k, top_p=top_p, min_p=min_p)).tolist())
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


def test_only_allowed_tokens_are_chosen_with_bias_and_penalties_by_their_own_ids() -> None:
    row = np.array([9.0, 1.0, 2.0, 3.0, 8.0], np.float32)
    allowed = np.array([1, 2, 3])
    assert Sampler(SamplingParams(temperature=0), []).sample(row.copy(), allowed) == 3
    assert Sampler(SamplingParams(temperature=0, logit_bias={1: 5.0}), []).sample(row.copy(), allowed) == 1
    penalised = Sampler(SamplingParams(temperature=0, presence_penalty=1.5), [])
    assert [penalised.sample(row.copy(), allowed) for _ in range(2)] == [3, 2]
    drawn = {Sampler(SamplingParams(seed=seed, top_k=2), []).sample(row.copy(), allowed) for seed in range(40)}
    assert drawn == {2, 3}


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


def random_row(size: int, spread: float, seed: int = 0) -> Logits:
    return np.random.default_rng(seed).normal(0, spread, size).astype(np.float32)


def peaked_row(size: int, tail: float) -> Logits:
    """Some likely tokens, and a great many far below that have a good part of the probability together."""
    logits = random_row(size, 0.5) + np.float32(tail)
    logits[[0, size // 3, size // 2, size - 1]] = [0.0, -1.0, 0.5, -2.0]
    return logits


ROWS = {
    "one token": row(-3.0),
    "flat": np.full(40, 7.0, np.float32),
    "ties": row(*[2, 1, 1, 0, 0, 0, 0, -12, -12] * 3),
    "impossible tokens": row(0, -math.inf, 1, -math.inf, -11, -13),
    "a language model's shape": random_row(5003, 4.0),
    "low and wide": random_row(3001, 30.0) - np.float32(1000),
    "half in the tail": peaked_row(20_000, -9.5),
    "a large vocabulary": peaked_row(262_144, -12.5),
}
FILTERS: list[dict[str, float]] = [
    {},
    {"temperature": 0.6},
    {"temperature": 3.0},
    {"top_k": 5},
    {"top_k": 700, "temperature": 1.5},
    {"top_k": 40, "top_p": 0.83, "min_p": 0.02},
    {"top_p": 0.02},
    {"top_p": 0.47},
    {"top_p": 0.93},
    {"top_p": 0.93, "temperature": 0.6},
    {"top_p": 0.999, "temperature": 2.5},
    {"min_p": 0.03},
    {"min_p": 0.000001, "temperature": 1.4},
    {"top_p": 0.85, "min_p": 0.07, "temperature": 1.4},
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("shape", ROWS)
def test_draws_have_the_probabilities_of_the_definitions(shape: str, filters: dict[str, float]) -> None:
    logits = ROWS[shape]
    sampler = Sampler(SamplingParams(**filters, seed=11), [])  # type: ignore[arg-type]  # keywords of several types
    chosen = [sampler.sample(logits) for _ in range(300 if len(logits) > 100_000 else 2000)]
    counts = np.bincount(chosen, minlength=len(logits))
    probabilities = reference(logits, **filters)  # type: ignore[arg-type]  # keywords of several types
    assert not counts[probabilities == 0].any()
    assert surprise(counts, probabilities) < 4


def test_of_equal_logits_the_filters_keep_the_lowest_ids() -> None:
    logits = np.zeros(1000, np.float32)
    assert set(draws({"top_k": 3}, logits, count=100)) == {0, 1, 2}
    assert set(draws({"top_p": 0.004}, logits, count=100)) == {0, 1, 2, 3}


@pytest.mark.parametrize("filters", [{"temperature": 0.0}, *FILTERS], ids=str)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_one_value_that_is_not_a_number_anywhere_fails_the_request(filters: dict[str, float], value: float) -> None:
    for place in (0, 700, 5002):
        logits = random_row(5003, 4.0)
        logits[place] = value
        with pytest.raises(InferenceFailed, match="not numbers"):
            Sampler(SamplingParams(**filters), []).sample(logits)  # type: ignore[arg-type]  # keywords of several types


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_a_seed_decides_the_tokens_whatever_is_drawn_in_between(filters: dict[str, float]) -> None:
    logits, other = random_row(5003, 4.0), random_row(300, 1.0)
    first, second = (Sampler(SamplingParams(**filters, seed=5), []) for _ in range(2))  # type: ignore[arg-type]  # keywords of several types
    between = Sampler(SamplingParams(seed=6), [])
    for _ in range(50):
        token = first.sample(logits)
        between.sample(other)
        assert second.sample(logits) == token


def test_draws_in_several_threads_do_not_disturb_each_other() -> None:
    logits = [random_row(100_000, 4.0, seed) for seed in range(4)]

    def tokens(seed: int) -> list[int]:
        sampler = Sampler(SamplingParams(top_p=0.5, seed=seed), [])
        return [sampler.sample(logits[seed]) for _ in range(100)]

    alone = [tokens(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(tokens, range(4))) == alone
