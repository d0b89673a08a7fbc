"""Words aligned in parallel text: IBM's Model 1 with an empty word, by seven rounds of expectation and maximisation.

That is what trans-tokenization asks of fast_align (`-I 7 -p`). Source of the model: Brown et al. 1993,
https://aclanthology.org/J93-2003, section 4.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from converters.adapt.transplant.alignments import GLUE, MIN_COUNT, Alignment
from converters.adapt.transplant.vocabulary import Vocabulary
from converters.progress import StepProgress
from runtime.errors import InvalidRequest

ROUNDS = 7
_SEPARATORS = ("\t", " ||| ")
_FORM = "It is UTF-8, a line: a text in a language that the model knows, a tab or ' ||| ', the same in the new one."
# Longer lines are left out: sentences that long are seldom translations of each other. And how many pairs fit.
_MAX_WORDS, _MAX_PAIRS = 100, 30_000_000


def align(path: Path, old: Vocabulary, new: Vocabulary, steps: StepProgress) -> list[Alignment]:
    """The pairs of words in a parallel text, each word as its tokens, with how often they are expected to be aligned.

    Raises:
        InvalidRequest: there is no such file, it is none, or it is too long to be aligned here.
    """
    old_words, new_words = {"": 0}, dict[str, int]()  # the empty word is the first
    pieces, groups, num_groups, num_pairs = [], [], 0, 0
    for first, second in _lines(path):
        left = [0, *_ids(words_of(first, old), old_words)]
        right = _ids(words_of(second, new), new_words)
        if not right or len(left) == 1 or max(len(left), len(right)) > _MAX_WORDS:
            continue
        num_pairs += len(left) * len(right)
        if num_pairs > _MAX_PAIRS:
            raise InvalidRequest(
                f"{path} has more than {_MAX_PAIRS:,} pairs of words, which is too much to be aligned here.",
                remedy="Align it with fast_align and give its table with --alignments, or give fewer lines.",
            )
        pieces.append(np.stack([np.tile(left, len(right)), np.repeat(right, len(left))]))
        groups.append(np.repeat(np.arange(num_groups, num_groups + len(right)), len(left)))
        num_groups += len(right)
    if not pieces:
        raise InvalidRequest(f"{path} has no line with words on both sides.", remedy=_FORM)
    of_old, of_new = np.concatenate(pieces, axis=1)
    pairs, places = np.unique(of_old * np.int64(len(new_words)) + of_new, return_inverse=True)
    counts = _expected(pairs // len(new_words), places, np.concatenate(groups), steps)
    old_names, new_names = list(old_words), list(new_words)
    return [
        Alignment(old_names[pair // len(new_names)], new_names[pair % len(new_names)], int(count))
        for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True)
        if count >= MIN_COUNT and pair >= len(new_names)  # not of the empty word
    ]


def _expected(
    old_of: npt.NDArray[np.int64], places: npt.NDArray[np.int64], groups: npt.NDArray[np.int64], steps: StepProgress
) -> npt.NDArray[np.float64]:
    """How often each pair is expected: `old_of` is its old word, `places` pairs as they stand, `groups` new words."""
    chances: npt.NDArray[np.float64] = np.ones(len(old_of))
    counts = chances
    steps.start("words aligned", ROUNDS)
    try:
        for _ in range(ROUNDS):
            here = chances[places]
            here /= np.bincount(groups, here)[groups]
            counts = np.bincount(places, here, minlength=len(old_of)).astype(np.float64)
            chances = counts / np.bincount(old_of, counts)[old_of]
            steps.advance()
    finally:
        steps.finish()
    return counts


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    if not path.is_file():
        raise InvalidRequest(f"There is no file {path}.", remedy=_FORM)
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                parts = next((line.split(each) for each in _SEPARATORS if each in line), [])
                if len(parts) != 2:
                    raise InvalidRequest(f"{path} has no two texts in line {number}.", remedy=_FORM)
                yield parts[0].strip(), parts[1].strip()
    except UnicodeDecodeError as fault:
        raise InvalidRequest(f"{path} is no UTF-8.", remedy=_FORM) from fault


def _ids(words: list[str], known: dict[str, int]) -> list[int]:
    return [known.setdefault(word, len(known)) for word in words]


def words_of(text: str, vocabulary: Vocabulary) -> list[str]:
    """The words of a text, each as its tokens joined by `GLUE`: letters go on after letters, unless there is a space.

    Source: trans-tokenization, `create_aligned_corpus`.
    """
    words: list[str] = []
    goes_on = False
    for token in vocabulary.encode_plain(text):
        name, form = vocabulary.names[token] or "", vocabulary.forms[token] or ""
        if goes_on and form[:1].isalpha():
            words[-1] += f"{GLUE}{name}"
        else:
            words.append(name)
        goes_on = form[-1:].isalpha()
    return words
