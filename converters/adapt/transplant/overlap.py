"""New tokens that the old vocabulary has too, by their text: first as it is, then in lower case.

Source: OFA, `get_overlapping_tokens` with `fuzzy_search` and without `fuzzy_whitespace`.
"""

from __future__ import annotations

from converters.adapt.transplant.plan import Draft, Kind, Plan
from converters.adapt.transplant.special import copy_special
from converters.adapt.transplant.vocabulary import Vocabulary


def overlap(old: Vocabulary, new: Vocabulary) -> dict[int, tuple[int, Kind]]:
    """By new token the old one with the same text, and how it was found."""
    # Of several that are alike in lower case the last in order, which is the one in lower case.
    lowered = {form.lower(): token for form, token in sorted(old.by_form.items())}
    found: dict[int, tuple[int, Kind]] = {}
    for token, form in enumerate(new.forms):
        if form is None:
            continue
        if form in old.by_form:
            found[token] = old.by_form[form], Kind.EXACT
        elif form.lower() in lowered:
            found[token] = lowered[form.lower()], Kind.CASE
    return found


def copy_overlap(draft: Draft, old: Vocabulary, new: Vocabulary) -> None:
    """Give special tokens the rows of their counterparts, and tokens in both vocabularies their own."""
    copy_special(draft, old, new)
    for token, (near, kind) in overlap(old, new).items():
        draft.copy(token, near, kind)


def plan_by_overlap(old: Vocabulary, new: Vocabulary) -> Plan:
    """Copies where there are any; the rest is drawn."""
    draft = Draft(len(new))
    copy_overlap(draft, old, new)
    return draft.finished()
