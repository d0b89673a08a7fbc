"""Instructions whose following a program can check: the 25 kinds of IFEval (arXiv 2311.07911) that Multi-IF has.

A checker is a function of the answer and of what the instruction takes; `KINDS` says which one checks which kind. They
follow the description of each kind in the two papers. What needs a tokenizer of words there is counted by Unicode's
properties: see `counting.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.metrics.instructions import cases, contents, formats, lengths, words
from runtime.errors import InvalidRequest

Checker = Callable[..., bool]

KINDS: dict[str, Checker] = {
    "keywords:existence": words.has_keywords,
    "keywords:frequency": words.has_keyword_often,
    "keywords:forbidden_words": words.avoids,
    "keywords:letter_frequency": words.has_letter_often,
    "language:response_language": cases.is_in_language,
    "length_constraints:number_sentences": lengths.has_sentences,
    "length_constraints:number_paragraphs": lengths.has_paragraphs,
    "length_constraints:number_words": lengths.has_words,
    "length_constraints:nth_paragraph_first_word": lengths.begins_paragraph,
    "detectable_content:number_placeholders": contents.has_placeholders,
    "detectable_content:postscript": contents.has_postscript,
    "detectable_format:number_bullet_lists": formats.has_bullets,
    "detectable_format:constrained_response": contents.is_an_option,
    "detectable_format:number_highlighted_sections": formats.has_highlights,
    "detectable_format:multiple_sections": formats.has_sections,
    "detectable_format:json_format": formats.is_json,
    "detectable_format:title": formats.has_title,
    "combination:two_responses": contents.is_two_answers,
    "combination:repeat_prompt": contents.repeats,
    "startend:end_checker": contents.ends_with,
    "startend:quotation": formats.is_quoted,
    "change_case:capital_word_frequency": cases.has_capital_words,
    "change_case:english_capital": cases.is_english_in_capitals,
    "change_case:english_lowercase": cases.is_english_in_small_letters,
    "punctuation:no_comma": words.has_no_comma,
}
# What cannot be counted without a dictionary where words have no space between them.
COUNTING = frozenset({"length_constraints:number_sentences", "length_constraints:number_words"})
UNCOUNTED_SCRIPTS = frozenset({"Khmr", "Laoo", "Mymr", "Thai", "Tibt"})


def require_known(kind: str, arguments: Mapping[str, Any]) -> None:
    """Refuse an instruction that no checker is for, or that the checker cannot read.

    Raises:
        InvalidRequest: it names the kind, or what is missing or not known.
    """
    checker = KINDS.get(kind)
    if checker is None:
        raise InvalidRequest(f"Nothing checks instructions of the kind '{kind}'.", remedy=f"Known: {', '.join(KINDS)}.")
    try:
        inspect.signature(checker).bind("", **_given(arguments))
    except TypeError as fault:
        raise InvalidRequest(f"An instruction of the kind '{kind}' cannot be checked: {fault}.") from fault
    for name, value in arguments.items():
        if name.endswith("relation") and value not in {None, "less than", "at least"}:
            raise InvalidRequest(f"An instruction of the kind '{kind}' has the relation '{value}'.")


def follows(kind: str, arguments: Mapping[str, Any], answer: str) -> bool:
    """Whether `answer` follows an instruction.

    Raises:
        InvalidRequest: as `require_known`.
    """
    require_known(kind, arguments)
    return KINDS[kind](answer, **_given(arguments))


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What an instruction takes; tables of many kinds have null in the columns of the others."""
    return {name: value for name, value in arguments.items() if value is not None}
