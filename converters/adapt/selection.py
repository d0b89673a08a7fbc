"""How many of the wanted tokens are kept, and what that keeps with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from converters.adapt.closure import Closure
from converters.adapt.vocabulary import NORMAL, Vocabulary
from converters.adapt.wanted import Source
from runtime.errors import InvalidRequest

# llama.cpp computes rows several at a time where their number is a multiple of 4, 8 or 16, by type and processor, and
# otherwise one by one, which gives other last bits. So as many rows stay over as the original has.
ROW_MULTIPLE = 32
# A list of words has a long tail that large vocabularies have tokens for; what is left out is cut into smaller pieces.
WORDS_COVERAGE = 0.98


@dataclass(frozen=True)
class Limits:
    """How much is kept: at most `size` rows, or the most frequent tokens up to a share `coverage` of each text.

    With neither, all tokens that a corpus has are kept, and those that make up `WORDS_COVERAGE` of a list of words.
    """

    size: int | None = None
    coverage: float | None = None

    def coverage_of(self, source: Source) -> float:
        """Up to which share of a source's tokens its most frequent ones are wanted."""
        if self.coverage is not None:
            return self.coverage
        return WORDS_COVERAGE if self.size is None and source.origin == "words" else 1.0


@dataclass(frozen=True)
class Selection:
    """The tokens that stay, ascending: the new id of `tokens[i]` is i. `num_required` of them always stay."""

    tokens: npt.NDArray[np.int64]
    num_required: int

    @cached_property
    def new_ids(self) -> Mapping[int, int]:
        """The new id of each token that stays."""
        return {token: new for new, token in enumerate(self.tokens.tolist())}


def select(
    sources: Sequence[Source],
    required: Iterable[int],
    closure: Closure,
    limits: Limits,
    fits: Callable[[int], bool],
    vocabulary: Vocabulary,
) -> Selection:
    """Choose what stays: what is `required`, then what `fits` of what the sources want.

    The number of rows is the original's modulo `ROW_MULTIPLE`, where the size lets it be.

    Raises:
        InvalidRequest: the size is below what always stays.
    """
    required = frozenset(required)
    num_tokens = len(vocabulary)
    kept = closure.of_all(required)
    num_required = len(kept)
    last = frozenset[int]().union(*(source.also for source in sources))
    order = [*_by_urgency(sources, limits), *sorted(last)]
    wanted = [token for token in order if token not in closure.unsafe and fits(token)]
    if limits.size is None:
        kept |= closure.of_all(wanted)
    elif limits.size < num_required:
        raise InvalidRequest(
            f"{limits.size} rows are fewer than the {num_required} that always stay: bytes, control tokens and what "
            "any text may need.",
            remedy=f"Choose a --size of at least {num_required}; several thousand make sense.",
            param="--size",
        )
    else:
        room = limits.size - (limits.size - num_tokens) % ROW_MULTIPLE
        for token in wanted:
            new = closure.of(token) - kept
            if len(kept) + len(new) <= room:
                kept |= new
    target = len(kept) + (num_tokens - len(kept)) % ROW_MULTIPLE
    if limits.size is None or target <= limits.size:
        plain = (token for token, kind in enumerate(vocabulary.types) if kind == NORMAL)
        _fill(kept, [*order, *plain, *range(num_tokens)], closure, target, fits)
    smaller = target - ROW_MULTIPLE
    if len(kept) < target and limits.size is None and smaller >= num_required:
        # Nothing more is in these scripts: then some less.
        return select(sources, required, closure, Limits(smaller, limits.coverage), fits, vocabulary)
    return Selection(np.array(sorted(kept), np.int64), num_required)


def _by_urgency(sources: Sequence[Source], limits: Limits) -> list[int]:
    """Tokens by the largest share that any source has of them, without the rarest ones of each."""
    most = np.zeros_like(sources[0].shares)
    for source in sources:
        order = np.argsort(-source.shares, kind="stable")
        covered = np.cumsum(source.shares[order])
        # A token is left out where those before it cover enough.
        is_needed = source.shares[order] > 0
        coverage = limits.coverage_of(source)
        if coverage < 1:
            is_needed &= covered - source.shares[order] < coverage
        chosen = order[is_needed]
        most[chosen] = np.maximum(most[chosen], source.shares[chosen])
    order = np.argsort(-most, kind="stable")
    found: list[int] = order[most[order] > 0].tolist()
    return found


def _fill(
    kept: set[int], candidates: Iterable[int], closure: Closure, target: int, fits: Callable[[int], bool]
) -> None:
    """Add tokens that need no others, until there are as many as wanted or none is left that fits."""
    for token in candidates:
        if len(kept) >= target:
            return
        if token not in kept and token not in closure.unsafe and fits(token) and closure.of(token) <= kept | {token}:
            kept.add(token)
