"""The metrics: what each measures, and the figures of it that stand in tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

Metric: TypeAlias = Literal["bpb", "tokenizer", "mexa", "ranker"]
METRICS: tuple[Metric, ...] = get_args(Metric)
# One language's figures by one metric; `against` in it holds the source's, and how they differ.
Cell: TypeAlias = dict[str, Any]

# The language that others are held against.
PIVOT = "eng_Latn"

MEASURED: Mapping[Metric, str] = {
    "bpb": (
        "Bits per byte: negative log-likelihood of a text's tokens to the base 2, by its bytes in UTF-8; each line by "
        "itself, after the token that the tokenizer puts first (BOS). Where it puts none, the first token of a line "
        "is given, and neither it nor its bytes count. To English's: the bits of the whole text by those of the "
        "English one. Against a source: KL divergence of the guesses from the source's in nats, and the share of "
        "places where both find the same token likeliest; of a trimmed vocabulary, KL divergence over the tokens that "
        "were kept, made to sum up to one, and the likeliest of the source's among all of its tokens."
    ),
    "tokenizer": (
        "Fertility: tokens by word; by character where a script does not part words. Parity: tokens by those of "
        "English. Byte fallback: share of tokens that are no whole characters. Characters are grapheme clusters."
    ),
    "mexa": (
        "MEXA: share of lines whose hidden state is nearer (cosine) to that of the English line that says the same "
        "than to that of any other English line, and the other way round; a tie does not count. Mean over layers, "
        "from the embeddings to the final norm. The hidden state of a line is the mean over its tokens, each as heavy "
        "as its place. By chance it is 1/(2n-1) of n lines."
    ),
    "ranker": (
        "Language Ranker: mean cosine between hidden states of the last token, of lines that say the same in English "
        "and in the language, less that of lines that do not; mean over layers without the embeddings."
    ),
}


@dataclass(frozen=True)
class Column:
    """A figure of a metric: where it is in a cell, and how it is shown.

    head: for a picture, in short lines; name: for a table. path: keys into the cell, the first that leads to a number.
    form: of one number; scale: what it is shown times. is_pictured: it can be compared between languages, and stands
        in pictures.
    """

    metric: Metric
    name: str
    head: str
    paths: tuple[tuple[str, ...], ...]
    form: str
    is_high_good: bool
    scale: float = 1.0
    is_pictured: bool = True

    def value(self, cell: Cell | None) -> float | None:
        """The number in a cell, as it is shown; None where there is none."""
        for path in self.paths:
            found: Any = cell
            for key in path:
                found = found.get(key) if isinstance(found, dict) else None
            if found is not None:
                return float(found) * self.scale
        return None

    def text(self, cell: Cell | None) -> str:
        """The same as text; a dash where there is none."""
        value = self.value(cell)
        return "–" if value is None else self.form.format(value)


def _column(
    metric: Metric, name: str, head: str, ways: str, form: str, *, good: bool, scale: float = 1.0, pictured: bool = True
) -> Column:
    paths = tuple(tuple(way.split(".")) for way in ways.split("|"))
    return Column(metric, name, head, paths, form, good, scale, pictured)


COLUMNS: tuple[Column, ...] = (
    _column("bpb", "bits/byte", "bits\nper byte", "bits_per_byte", "{:.3f}", good=False),
    _column("bpb", "bits to English's", "bits to\nEnglish", "parity", "{:.2f}", good=False),
    _column("bpb", "change", "change\n%", "against.change", "{:+.2f}", good=False, scale=100),
    _column("bpb", "KL, nats", "KL\nnats", "against.kl", "{:.4f}", good=False),
    _column("bpb", "same top-1, %", "same\ntop-1 %", "against.top_1", "{:.1f}", good=True, scale=100),
    _column("bpb", "kept mass, %", "kept\nmass %", "against.kept", "{:.2f}", good=True, scale=100),
    _column("tokenizer", "fertility", "tokens\nper word", "fertility", "{:.2f}", good=False, pictured=False),
    _column("tokenizer", "parity", "tokens to\nEnglish", "parity", "{:.2f}", good=False),
    _column("tokenizer", "byte fallback, %", "byte fall-\nback %", "fallback_rate", "{:.1f}", good=False, scale=100),
    _column("tokenizer", "characters/token", "chars\nper token", "characters_per_token", "{:.2f}", good=True),
    _column(
        "tokenizer",
        "tokens, change %",
        "tokens\nchange %",
        "against.change",
        "{:+.1f}",
        good=False,
        scale=100,
    ),
    _column("mexa", "MEXA", "MEXA", "weighted.mean|own.mean", "{:.2f}", good=True),
    _column("mexa", "MEXA, at best", "MEXA\nat best", "weighted.max|own.max", "{:.2f}", good=True, pictured=False),
    _column("mexa", "MEXA, change", "MEXA\nchange", "against.change", "{:+.2f}", good=True),
    _column("ranker", "cosine", "cosine to\nEnglish", "cosine", "{:.3f}", good=True, pictured=False),
    _column("ranker", "above chance, ‰", "cosine\nabove\nchance ‰", "above_chance", "{:.1f}", good=True, scale=1000),
    _column("ranker", "above chance, change", "cosine\nabove ch.\nchange", "against.change", "{:+.3f}", good=True),
)
