"""What is read in each language: the lines of a parallel text, as passages that every language's tokens fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.parallel import ParallelText
from converters.fertility import num_characters
from runtime.errors import InvalidRequest


@dataclass(frozen=True)
class Sizes:
    """How long a text is: tokens (not those that begin and end texts), code points, grapheme clusters, UTF-8 bytes."""

    tokens: int
    characters: int
    graphemes: int
    bytes: int


@dataclass(frozen=True)
class Work:
    """Passages by language, as many in each and with the same meaning, and how long all of a language's are.

    left_out: languages with a line that is too long for the model, and the tokens of the longest.
    """

    passages: Mapping[str, tuple[str, ...]]
    sizes: Mapping[str, Sizes]
    left_out: Mapping[str, int]


def work_of(text: ParallelText, count: Callable[[str], int], most_tokens: int) -> Work:
    """Join neighbouring lines to passages of at most `most_tokens` tokens in every language, by the same lines in each.

    `count` tells how many tokens a text has. A language that has more than that in a line is left out.

    Raises:
        InvalidRequest: all of them have.
    """
    every = {name: [count(line) for line in lines] for name, lines in text.lines.items()}
    longest = {name: max(counts) for name, counts in every.items()}
    per_line = {name: counts for name, counts in every.items() if longest[name] <= most_tokens}
    left_out = {name: num_tokens for name, num_tokens in longest.items() if name not in per_line}
    if not per_line:
        raise InvalidRequest(
            f"The model takes {most_tokens:,} tokens at a time, and a line has {min(left_out.values()):,} or more.",
            remedy="Take shorter lines: --parallel.",
            param="--languages",
        )
    groups = _groups(list(per_line.values()), most_tokens)
    passages = {
        name: tuple("\n".join(text.lines[name][line] for line in group) for group in groups) for name in per_line
    }
    frame = count("")
    sizes = {
        name: Sizes(
            tokens=sum(count(passage) - frame for passage in mine),
            characters=sum(map(len, mine)),
            graphemes=sum(map(num_characters, mine)),
            bytes=sum(len(passage.encode()) for passage in mine),
        )
        for name, mine in passages.items()
    }
    return Work(passages, sizes, left_out)


def _groups(counts: Sequence[Sequence[int]], most_tokens: int) -> list[list[int]]:
    """Numbers of lines, in order; each group is as long as the language with the most tokens allows."""
    groups: list[list[int]] = []
    used = [0] * len(counts)
    for line in range(len(counts[0])):
        # One more for the line end between two lines.
        grown = [before + language[line] + 1 for before, language in zip(used, counts, strict=True)]
        if groups and max(grown) <= most_tokens:
            groups[-1].append(line)
            used = grown
        else:
            groups.append([line])
            used = [language[line] for language in counts]
    return groups
