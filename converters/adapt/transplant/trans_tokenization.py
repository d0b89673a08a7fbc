"""Trans-tokenization: rows of new tokens from the old tokens that they translate to.

Source: https://arxiv.org/abs/2408.04303, and the code published with it (`map_tokens`, `extend_mapping`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from converters.adapt.transplant.alignments import Alignment, Counts, count_tokens
from converters.adapt.transplant.plan import Draft, Plan
from converters.adapt.transplant.special import copy_special, unknown_of
from converters.adapt.transplant.vocabulary import Vocabulary

_NUMBERS = (*map(str, range(9999)), *(f"0{number}" for number in range(99)))
# What each similar token's distribution is scaled to; twice that for old tokens that begin a word.
_SCALE, _SCALE_OF_WORD = 1000, 2000


def plan_by_translation(alignments: Iterator[Alignment], old: Vocabulary, new: Vocabulary, where: str) -> Plan:
    """Sums by how often a token was aligned; of tokens without any, of those that it is alike to; else the unknown one.

    Special tokens are copies of their counterparts, as their weight of 10^9 makes them in the source.

    Raises:
        InvalidRequest, ConversionRefused: the alignments are none, or not of these tokenizers.
    """
    counts = count_tokens(alignments, old, new, where)
    add_numbers(counts, old, new)
    add_shared(counts, old, new)
    counts |= smoothed(counts, old, new)
    draft = Draft(len(new))
    copy_special(draft, old, new)
    for token, found in counts.items():
        total = sum(found.values())
        draft.mix(token, list(found), [count / total for count in found.values()])
    return draft.finished(unknown_of(old))


def add_numbers(counts: Counts, old: Vocabulary, new: Vocabulary) -> None:
    """Count numbers that are one new token once for the old token that they begin with, alone and after a space."""
    for number in _NUMBERS:
        if number in new.ids:
            near = old.ids.get(number)
            _add(counts, new.ids[number], old.pieces(number)[:1] if near is None else [near])
        for text in (number, f" {number}"):
            pieces = new.pieces(text)
            if len(pieces) == 1:
                _add(counts, pieces[0], old.pieces(text)[:1])


def add_shared(counts: Counts, old: Vocabulary, new: Vocabulary) -> None:
    """Count tokens once that the old vocabulary has too, whatever marks the beginning of a word in each."""
    for token, form in enumerate(new.forms):
        if form is not None and form in old.by_form:
            _add(counts, token, [old.by_form[form]])


def _add(counts: Counts, token: int, near: list[int]) -> None:
    for each in near:
        found = counts.setdefault(token, {})
        found[each] = found.get(each, 0) + 1


def smoothed(counts: Counts, old: Vocabulary, new: Vocabulary) -> Counts:
    """Counts of tokens that have none: those of the tokens that begin with it, and of the longest that are in it.

    Only tokens with counts of their own are taken for that, so that the order of tokens does not matter; the source
    also takes those that were smoothed before.
    """
    known = {name: token for token in counts if (name := new.names[token]) is not None}
    ordered = sorted(known)
    start = old.word_start
    found: Counts = {}
    for token, name in enumerate(new.names):
        if name is None or token in counts or token in new.added:
            continue
        of_token: dict[int, int] = {}
        for near in (*_beginning_with(name, ordered), *within(name, known)):
            of_near = counts[known[near]]
            total = sum(of_near.values())
            for each, count in of_near.items():
                scale = _SCALE_OF_WORD if start and (old.names[each] or "").startswith(start) else _SCALE
                of_token[each] = of_token.get(each, 0) + max(1, scale * count // total)
        if of_token:
            found[token] = of_token
    return found


def _beginning_with(name: str, ordered: list[str]) -> Iterator[str]:
    for at in range(bisect_left(ordered, name), len(ordered)):
        if not ordered[at].startswith(name):
            return
        yield ordered[at]


def within(name: str, known: dict[str, int]) -> list[str]:
    """The known names that are parts of a name and not of a longer such part, in the order in which they begin."""
    parts = {name[start:stop] for start in range(len(name)) for stop in range(start + 1, len(name) + 1)}
    chosen: list[str] = []
    for part in sorted(parts & known.keys(), key=lambda each: (-len(each), name.index(each))):
        if not any(part in longer for longer in chosen):
            chosen.append(part)
    return sorted(chosen, key=name.index)
