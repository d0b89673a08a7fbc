"""Instructions are checked as IFEval and Multi-IF describe them, and scored strictly and loosely as the latter does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import bootstrap  # type: ignore[import-untyped]  # it has no types

from benchmarks.metrics.instructions import KINDS, follows
from benchmarks.metrics.multi_if import Followed, Instruction, judge, summarise
from runtime.errors import InvalidRequest

ENGLISH = "This is a plain English sentence about the weather in the mountains."
# Of each kind: what it takes, answers that follow it, answers that do not.
CASES: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "keywords:existence": ({"keywords": ["Sofia", "a.b"]}, ["from sofia to a.b"], ["from sofia to acb"]),
    "keywords:frequency": ({"keyword": "ха", "frequency": 2, "relation": "at least"}, ["Хаха"], ["ха хо"]),
    "keywords:forbidden_words": ({"forbidden_words": ["cat", "猫"]}, ["concatenate"], ["A Cat.", "小猫咪"]),
    "keywords:letter_frequency": (
        {"letter": "a", "let_frequency": 2, "let_relation": "less than"},
        ["Apple"],
        ["Banana"],
    ),
    "language:response_language": (
        {"language": "bg"},
        ["Добър ден, как сте днес? Времето е хубаво."],
        [ENGLISH],
    ),
    "length_constraints:number_sentences": (
        {"num_sentences": 2, "relation": "at least"},
        ["Dr. Ivanov came. He left.", "वह आया। वह गया।", "他来了。他走了。"],
        ["Dr. Ivanov came.", "他来了，走了。"],
    ),
    "length_constraints:number_paragraphs": ({"num_paragraphs": 2}, ["one\n***\ntwo", "***\n1 *** 2"], ["one\n\ntwo"]),
    "length_constraints:number_words": (
        {"num_words": 4, "relation": "less than"},
        ["three small words", "मैं घर जाता", "猫坐下"],
        ["these are four words", "猫坐下了"],
    ),
    "length_constraints:nth_paragraph_first_word": (
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "well"},
        ["So.\n\nWell, yes."],
        ["Well.\n\nSo.", "So.\n\nWell\n\nmore"],
    ),
    "detectable_content:number_placeholders": ({"num_placeholders": 2}, ["[name] at [place]"], ["[name] at (place)"]),
    "detectable_content:postscript": ({"postscript_marker": "P.S."}, ["Bye.\nP. S. Soon"], ["Bye. PS soon"]),
    "detectable_format:number_bullet_lists": (
        {"num_bullets": 2},
        ["* one\n- two"],
        ["* one\n* two\n* three", "1. one"],
    ),
    "detectable_format:constrained_response": ({}, ["My answer is maybe."], ["Maybe."]),
    "detectable_format:number_highlighted_sections": ({"num_highlights": 2}, ["*a* and *b*"], ["*a* and * *"]),
    "detectable_format:multiple_sections": (
        {"section_spliter": "SECTION", "num_sections": 2},
        ["SECTION 1\nx\nSECTION 2\ny"],
        ["SECTION 1\nx\nSECTION two"],
    ),
    "detectable_format:json_format": ({}, ['```JSON\n{"a": 1}\n```', "[1]"], ['so: {"a": 1}']),
    "detectable_format:title": ({}, ["<<Poem of joy>>\nla"], ["<< >>", "<Poem>"]),
    "combination:two_responses": ({}, ["one******two"], ["one******one", "one******two******three"]),
    "combination:repeat_prompt": ({"prompt_to_repeat": "Say why."}, ["say why. Because."], ["Because. Say why."]),
    "startend:end_checker": ({"end_phrase": "That is all."}, ['So. That is all."'], ["That is all. Bye"]),
    "startend:quotation": ({}, ['"all of it"', "「全部」"], ['"half" of it', '"']),
    "change_case:capital_word_frequency": (
        {"capital_frequency": 2, "capital_relation": "at least"},
        ["NASA and the EU"],
        ["Nasa and the EU"],
    ),
    "change_case:english_capital": ({}, [ENGLISH.upper()], [ENGLISH, "ДОБЪР ДЕН НА ВСИЧКИ ТУК"]),
    "change_case:english_lowercase": ({}, [ENGLISH.lower()], [ENGLISH, "добър ден на всички тук"]),
    "punctuation:no_comma": ({}, ["one two、three"], ["one, two"]),
}


def test_all_kinds_of_multi_if_have_a_case_and_are_in_the_docs() -> None:
    assert set(CASES) == set(KINDS)
    assert len(KINDS) == 25
    page = (Path(__file__).parents[3] / "docs" / "evaluating-tasks.md").read_text(encoding="utf-8")
    assert all(f"`{kind}`" in page for kind in KINDS)


@pytest.mark.parametrize("kind", CASES)
def test_a_kind_is_followed_and_broken(kind: str) -> None:
    arguments, right, wrong = CASES[kind]
    assert [follows(kind, arguments, answer) for answer in right] == [True] * len(right)
    assert [follows(kind, arguments, answer) for answer in wrong] == [False] * len(wrong)


def test_a_table_of_all_kinds_may_have_null_in_the_columns_of_others() -> None:
    assert follows("punctuation:no_comma", {"num_words": None, "relation": None}, "so")


@pytest.mark.parametrize(
    ("kind", "arguments", "told"),
    [
        ("multi-turn:constrained_start", {}, "kind 'multi-turn:constrained_start'"),
        ("startend:end_checker", {}, "end_phrase"),
        ("punctuation:no_comma", {"marks": 1}, "marks"),
        ("keywords:frequency", {"keyword": "x", "frequency": 1, "relation": "at most"}, "'at most'"),
    ],
)
def test_what_cannot_be_checked_is_refused_by_name(kind: str, arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        follows(kind, arguments, "so")


COMMA = Instruction("punctuation:no_comma", {})
JSON = Instruction("detectable_format:json_format", {})


@pytest.mark.parametrize(
    ("answer", "strict", "loose"),
    [
        ("[1]", (True, True), (True, True)),
        ("Sure, here it is:\n[1]", (False, False), (True, True)),
        ("[1]\nGood, is it not?", (False, False), (True, True)),
        ("Sure:\n[1]\nIs it good?", (True, False), (True, True)),
        ("**[1]**", (True, False), (True, True)),
        ("a, b\nc, d", (False, False), (False, False)),
        ("", (False, False), (False, False)),
    ],
)
def test_s42_an_answer_is_judged_strictly_and_by_eight_variants(
    answer: str, strict: tuple[bool, ...], loose: tuple[bool, ...]
) -> None:
    assert judge(answer, [COMMA, JSON]) == Followed(strict, loose)


def test_s42_a_turn_is_scored_as_counted_by_hand() -> None:
    answers = [Followed((True, True), (True, True)), Followed((True, False, False), (True, True, False))]
    found = summarise(answers)
    assert (found.strict_prompt, found.loose_prompt) == (1 / 2, 1 / 2)
    assert (found.strict_instruction, found.loose_instruction) == (3 / 5, 4 / 5)
    assert found.overall == pytest.approx((1 / 2 + 1 / 2 + 3 / 5 + 4 / 5) / 4)
    with pytest.raises(ValueError, match="without an instruction"):
        summarise([Followed((), ())])


def test_s42_the_interval_is_that_of_scipys_bootstrap() -> None:
    followed = np.random.default_rng(3).random(60) < 0.6
    found = summarise([Followed((bool(one),), (bool(one),)) for one in followed])
    wanted = bootstrap((followed.astype(float),), np.mean, method="percentile", rng=0).confidence_interval
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.02)
    assert found.low < found.overall < found.high
