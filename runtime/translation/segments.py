"""A document as pieces to translate and what stands between them, which is kept as it is.

Translators are trained on sentences, and lose parts of anything longer. What is kept: line breaks and the space at
both ends of a line, marks of lists, headings and quotations, blocks of code, lines without a letter; in HTML tags,
comments, and what is in `script`, `style`, `code` and `pre`. A sentence in several languages is one piece.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import regex

Format = Literal["text", "html"]

_LETTER = regex.compile(r"\p{L}")
_LINE = regex.compile(r"[^\r\n\f\v\u0085\u2028\u2029]+|[\r\n\f\v\u0085\u2028\u2029]+")
# Space, and before it the mark of a list, a heading, a quotation or a row of a table.
_FRONT = regex.compile(r"\s*(?:(?:[-*+•–—]|#{1,6}|>+|\||\d{1,3}[.)]|\p{L}\))\s+)*")
_FENCE = regex.compile(r"\s*(?:```|~~~)")
# Sentences of alphabets end at a mark and a space, where no small letter follows; others at the mark alone.
_CLOSING = r"[\"'”’»\)\]]*"
_END = regex.compile(
    rf"(?P<spaced>[.!?…؟۔।॥።]+{_CLOSING})\s+(?=[^\p{{Ll}}\p{{N}}\s])|(?P<tight>[。！？｡]+[”’」』）]*)\s*(?=\S)"
)
# What a full stop comes after without ending a sentence: an initial, and the usual abbreviations.
_ABBREVIATION = regex.compile(
    r"(?:^|[\s(\[\"'«“])(?:\p{Lu}|Mr|Mrs|Ms|Dr|Prof|St|No|Nr|vs|cf|e\.g|i\.e|z\.B|d\.h|bzw|Sr|Sra|Hr|Fr|M|Mme|г|гр|ул|"
    r"т\.е|напр|проф|инж|д-р)\.$"
)
_TAG = regex.compile(
    r"<!--.*?-->|<(script|style|code|pre)\b[^>]*>.*?</\1\s*>|<[!/?a-zA-Z][^>]*>", regex.DOTALL | regex.IGNORECASE
)
_GRAPHEME = regex.compile(r"\X")


@dataclass(frozen=True)
class Piece:
    """Part of a document: to be translated, or kept; `is_html` has its text written with entities in the document."""

    text: str
    is_kept: bool = False
    is_html: bool = False

    def written(self, translation: str) -> str:
        """A translation of it as the document writes it."""
        return html.escape(translation, quote=False) if self.is_html else translation


def pieces_of(text: str, *, most: int, form: Format = "text") -> list[Piece]:
    """`text` in pieces of at most `most` characters, which give the document again where they are joined."""
    return list(_html(text, most) if form == "html" else _plain(text, most))


def _html(text: str, most: int) -> Iterator[Piece]:
    at = 0
    for tag in _TAG.finditer(text):
        yield from _node(text[at : tag.start()], most)
        yield Piece(tag[0], is_kept=True)
        at = tag.end()
    yield from _node(text[at:], most)


def _node(text: str, most: int) -> Iterator[Piece]:
    """The text between two tags, in which line breaks are spaces."""
    yield from (
        Piece(html.unescape(piece.text) if not piece.is_kept else piece.text, piece.is_kept, is_html=True)
        for piece in _sentences(text, most)
    )


def _plain(text: str, most: int) -> Iterator[Piece]:
    is_code = False
    for line in _LINE.findall(text):
        is_fence = bool(_FENCE.match(line))
        if is_code or is_fence:
            yield Piece(line, is_kept=True)
            is_code ^= is_fence
            continue
        front = _FRONT.match(line)
        start = front.end() if front is not None else 0
        if start:
            yield Piece(line[:start], is_kept=True)
        yield from _sentences(line[start:], most)


def _sentences(text: str, most: int) -> Iterator[Piece]:
    """Sentences, and the space around them."""
    at = 0
    for start, end in (*_borders(text), (len(text), len(text))):
        yield from _cut(text[at:start], most)
        if end > start:
            yield Piece(text[start:end], is_kept=True)
        at = end


def _borders(text: str) -> Iterator[tuple[int, int]]:
    """Where a sentence ends and the next begins."""
    for found in _END.finditer(text):
        end = found.end("spaced") if found["spaced"] else found.end("tight")
        if found["spaced"] and _ABBREVIATION.search(text[max(0, end - 12) : end]):
            continue
        yield end, found.end()


def _cut(sentence: str, most: int) -> Iterator[Piece]:
    """A sentence without the space around it, in several parts where it is too long."""
    body = sentence.strip()
    if not _LETTER.search(body):
        if sentence:
            yield Piece(sentence, is_kept=True)
        return
    before = len(sentence) - len(sentence.lstrip())
    if before:
        yield Piece(sentence[:before], is_kept=True)
    while len(body) > most:
        end = _last_border(body, most)
        rest = body[end:].lstrip()
        yield Piece(body[:end])
        space = body[end : len(body) - len(rest)]
        if space:
            yield Piece(space, is_kept=True)
        body = rest
    if body:
        yield Piece(body)
    if sentence[before:].rstrip() != sentence[before:]:
        yield Piece(sentence[len(sentence.rstrip()) :], is_kept=True)


def _last_border(text: str, most: int) -> int:
    """The last place at or before `most` to cut a text at: after punctuation, else before a space, else a character."""
    for pattern in (r"(?r)[,;:،、，；：](?=\s|[^\p{P}\p{N}])", r"(?r)\S(?=\s)"):
        found = regex.search(pattern, text, endpos=most + 1)
        if found is not None and found.end() >= most // 2 and found.end() <= most:
            return found.end()
    end = 0
    for cluster in _GRAPHEME.finditer(text[: most + 64]):
        if cluster.end() > most and end:
            break
        end = cluster.end()
    return end
