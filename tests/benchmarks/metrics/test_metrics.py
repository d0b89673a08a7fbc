"""Metrics equal what is counted by hand, and what scikit-learn and sacrebleu make of the same inputs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sacrebleu
from sklearn.metrics import accuracy_score, cohen_kappa_score, ndcg_score  # type: ignore[import-untyped]  # it has no types

from benchmarks.metrics.choices import Verdict, judge
from benchmarks.metrics.languages import across, differences
from benchmarks.metrics.retrieval import ndcg, recall, reciprocal_rank
from benchmarks.metrics.rewards import is_right, kappa
from benchmarks.metrics.short_answers import normalise, score
from benchmarks.metrics.translations import chrf_of, corpus

# Five pairs of Hinglish, as a machine and a person might translate them, and three of Chinese.
HINGLISH = [
    ("I will go to the market tomorrow.", "I will go to market tomorrow."),
    ("My brother likes cricket very much.", "My brother likes to play cricket."),
    ("Please close the door.", "Close the door please."),
    ("She was very happy today.", "She was very happy today."),
    ("We have to finish this work by Monday.", "This work must be done by Monday."),
]
CHINESE = [("猫坐在桌子上。", "猫坐在垫子上。"), ("今天天气很好。", "今天天气不错。"), ("你好。", "你好。")]


def test_s37_the_likeliest_option_is_the_answer_as_it_is_and_for_its_length() -> None:
    # As it is -4 wins; per character -6 / 10; in bytes, of which Cyrillic has two a letter, -8 / 24.
    options = ["вода", "green grass", "мляко и мед."]
    assert judge([-4.0, -6.6, -9.6], options, answer=0) == Verdict(raw=True, per_character=False, per_byte=False)
    assert judge([-4.0, -6.6, -9.6], options, answer=1) == Verdict(raw=False, per_character=True, per_byte=False)
    assert judge([-4.0, -6.6, -9.6], options, answer=2) == Verdict(raw=False, per_character=False, per_byte=True)
    with pytest.raises(ValueError, match="no text"):
        judge([-1.0, -2.0], ["a", ""], answer=0)
    with pytest.raises(ValueError, match="zip"):
        judge([-1.0], ["a", "b"], answer=0)


def test_accuracy_is_scikit_learns() -> None:
    random = np.random.default_rng(1)
    scores, right = random.normal(size=(50, 4)), random.integers(0, 4, 50)
    options = ["one", "three", "eleven", "seventeen"]
    lengths = np.array([len(option) for option in options])
    verdicts = [judge(row.tolist(), options, int(answer)) for row, answer in zip(scores, right, strict=True)]
    assert np.mean([one.raw for one in verdicts]) == accuracy_score(right, scores.argmax(axis=1))
    assert np.mean([one.per_byte for one in verdicts]) == accuracy_score(right, (scores / lengths).argmax(axis=1))


def test_s18_answers_are_normalised_as_in_multiloko() -> None:
    assert normalise("The  Eiffel-Tower, in «Paris»!") == "eiffeltower in paris"
    assert normalise("An apple\tand a pear") == "apple and pear"
    assert normalise("「東京」。、（とうきょう）") == "東京とうきょう"
    assert normalise("¿Qué? „Ja“ – 50＄") == "qué ja 50"
    assert normalise("Theodora") == "theodora"  # the article is a whole word
    assert score("the Danube.", ["Rhine", "Danube"]).exact == 1
    assert score("Donau", ["Rhine", "Danube"]).exact == 0
    # Two of three words said, two of four wanted: 2 * 2 / (3 + 4).
    assert score("river Danube flows", ["the long blue river Danube"]).f1 == pytest.approx(4 / 7)
    assert score("abcd", ["bcde"]).similarity == pytest.approx(6 / 8)
    with pytest.raises(ValueError, match="no right answer"):
        score("x", [])


def test_s18_the_gap_and_both_effects_are_those_of_three_languages_counted_by_hand() -> None:
    own = {"nld_Latn": 40.0, "swh_Latn": 10.0, "tha_Thai": 25.0}
    found = across(own)
    assert found is not None
    assert (found.average, found.min, found.max, found.gap) == (25.0, 10.0, 40.0, 30.0)
    assert (found.min_language, found.max_language) == ("swh_Latn", "nld_Latn")
    # MTE: own language less English; LE: own questions less translated ones. A language that lacks one has none.
    assert differences(own, {"nld_Latn": 30.0, "swh_Latn": 15.0}) == {"nld_Latn": 10.0, "swh_Latn": -5.0}
    assert across({"nld_Latn": None}) is None


def test_s32_bleu_and_chrf_of_five_pairs_are_sacrebleus() -> None:
    said, wanted = [list(side) for side in zip(*HINGLISH, strict=True)]
    found = corpus(said, [[text] for text in wanted], "Latn")
    assert found.bleu == sacrebleu.corpus_bleu(said, [wanted]).score
    assert found.chrf == sacrebleu.corpus_chrf(said, [wanted]).score
    assert 20 < found.bleu < 80
    assert "tok:13a" in found.bleu_signature and "nc:6" in found.chrf_signature
    said, wanted = [list(side) for side in zip(*CHINESE, strict=True)]
    found = corpus(said, [[text] for text in wanted], "Hans")
    assert found.bleu == sacrebleu.corpus_bleu(said, [wanted], tokenize="zh").score
    assert "tok:char" in corpus(["ก ข"], [["ก ข"]], "Thai").bleu_signature


def test_several_references_are_all_taken_into_account() -> None:
    said, first, second = ["a small cat sat", "it rains"], ["the cat sat down", "it is raining"], "a small cat sat here"
    found = corpus(said, [[first[0], second], [first[1]]], "Latn")
    assert found.chrf == sacrebleu.corpus_chrf(said, [first, [second, None]]).score  # type: ignore[list-item]  # as it takes them
    assert found.chrf > corpus(said, [[text] for text in first], "Latn").chrf
    with pytest.raises(ValueError, match="belong together"):
        corpus(said, [first], "Latn")


def test_s49_chrf_is_what_its_formula_says() -> None:
    # One letter of two is right, and no pair of them: F of order 1 is 1/2, that of the others there are is 0.
    assert chrf_of("ab", ["ac"]) == pytest.approx(100 * (1 / 2) / 2)
    assert chrf_of("ab", ["ab"]) == pytest.approx(100)
    assert chrf_of("", ["ab"]) == 0


def test_s46_a_pair_is_right_where_the_chosen_answer_has_the_higher_reward() -> None:
    assert is_right(0.2, -0.1) and not is_right(-0.1, 0.2)
    assert not is_right(0.3, 0.3)  # no preference


@pytest.mark.parametrize("seed", range(4))
def test_s46_kappa_is_scikit_learns(seed: int) -> None:
    random = np.random.default_rng(seed)
    ours = random.random(40) < 0.7
    others = np.where(random.random(40) < 0.8, ours, ~ours)
    assert kappa(ours.tolist(), others.tolist()) == pytest.approx(cohen_kappa_score(ours, others))


def test_s46_kappa_says_nothing_where_all_judgements_are_the_same() -> None:
    assert kappa([True, True], [True, True]) is None
    assert kappa([], []) is None
    assert kappa([True, False], [False, True]) == -1


@pytest.mark.parametrize("k", [1, 3, 10, 100])
def test_ndcg_is_scikit_learns(k: int) -> None:
    random = np.random.default_rng(k)
    relevance = random.integers(0, 4, 30).astype(float)
    scores = random.normal(size=30)
    names = [str(place) for place in range(30)]
    ranking = [names[place] for place in np.argsort(-scores)]
    wanted = ndcg_score([relevance], [scores], k=k)
    assert ndcg(ranking, dict(zip(names, relevance, strict=True)), k) == pytest.approx(wanted)


def test_s16_s36_rankings_are_measured_as_counted_by_hand() -> None:
    relevance = {"a": 2.0, "b": 1.0, "c": 0.0, "d": 1.0}
    ranking = ["c", "b", "x", "a"]
    best = 2 + 1 / math.log2(3) + 1 / math.log2(4)
    assert ndcg(ranking, relevance, 4) == pytest.approx((1 / math.log2(3) + 2 / math.log2(5)) / best)
    assert [recall(ranking, relevance, k) for k in (1, 2, 4)] == [0, 1 / 3, 2 / 3]
    assert [reciprocal_rank(ranking, relevance, k) for k in (1, 2, 4)] == [0, 1 / 2, 1 / 2]
    with pytest.raises(ValueError, match="nothing is relevant"):
        ndcg(ranking, {"c": 0.0}, 4)
