"""Full-text search in every script: each word of a question anywhere in a message or a title, as `folding.py` sees it.

A word is found wherever it stands, also as a part of another word, so scripts without blanks need no dictionary. SQLite
keeps an index of all groups of three letters. Words of three letters and more are looked up in it; shorter ones, which
are whole words in Chinese, are looked for in the folded texts themselves. Nothing in a question is an operator.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import regex

from tui.history.folding import FoldedText, fold, fold_with_places
from tui.history.store import Store

_GRAPHEMES = regex.compile(r"\X")
_BLANK = regex.compile(r"[\s\p{Cc}]")
_GROUP = 3  # letters in an entry of the index
_MAX_QUERY_CHARS = 500
# So many groups of a word are looked up; the whole word is compared anyway.
_MAX_GROUPS = 32
_BEFORE, _AFTER = 30, 90  # grapheme clusters that are shown around a hit
_FIRST_CHARS = 4000  # mostly the hit is here, and the rest of a long text need not be folded again


@dataclass(frozen=True)
class Hit:
    """A message that was found, or with `message` None a title.

    `snippet` is a part of it in one line, and `marks` are the places in that which were looked for: pairs of a start
    and an end, on borders of grapheme clusters.
    """

    conversation: int
    title: str
    message: int | None
    role: str | None
    created: float
    snippet: str
    marks: tuple[tuple[int, int], ...]


def search(store: Store, query: str, *, limit: int = 50) -> list[Hit]:
    """What has every word of `query`, titles first, then messages of all branches, the latest first.

    Reasoning, system prompts, drafts and what is deleted are not searched.
    """
    terms = terms_of(query)
    if not terms:
        return []
    with store.reading() as connection:
        titles = _titles(connection, terms, limit)
        messages = _messages(connection, terms, limit - len(titles))
    return [_hit(row, terms) for row in (*titles, *messages)]


def terms_of(query: str) -> tuple[str, ...]:
    """The words of a question as they are looked for, each once."""
    return tuple(dict.fromkeys(fold(query[:_MAX_QUERY_CHARS]).split()))


def _titles(connection: sqlite3.Connection, terms: Sequence[str], limit: int) -> list[sqlite3.Row]:
    return connection.execute(
        f"""
        SELECT id AS conversation, title, NULL AS message, NULL AS role, updated AS created, title AS text
        FROM conversations WHERE deleted IS NULL AND {_each(terms, "folded_title")}
        ORDER BY updated DESC LIMIT ?
        """,  # noqa: S608  # what is put in is made of question marks
        (*terms, limit),
    ).fetchall()


def _messages(connection: sqlite3.Connection, terms: Sequence[str], limit: int) -> list[sqlite3.Row]:
    groups = " AND ".join(_groups(term) for term in terms if len(term) >= _GROUP)
    # The texts of the latest are read when it is known which these are.
    return connection.execute(
        f"""
        WITH latest (id) AS (
            SELECT messages.id FROM message_index
            JOIN messages ON messages.id = message_index.rowid
            JOIN conversations ON conversations.id = messages.conversation
            WHERE {"message_index MATCH ? AND" if groups else ""} {_each(terms, "message_index.folded")}
            AND conversations.deleted IS NULL
            ORDER BY messages.created DESC, messages.id DESC LIMIT ?
        )
        SELECT messages.conversation, title, messages.id AS message, role, messages.created, text
        FROM latest JOIN messages ON messages.id = latest.id
        JOIN conversations ON conversations.id = messages.conversation
        ORDER BY messages.created DESC, messages.id DESC
        """,  # noqa: S608  # what is put in is made of question marks
        (*([groups] if groups else []), *terms, limit),
    ).fetchall()


def _each(terms: Sequence[str], column: str) -> str:
    return " AND ".join(f"instr({column}, ?) > 0" for _ in terms)


def _groups(term: str) -> str:
    """The groups of three letters of a word, as SQLite wants to be asked for them; quoted, nothing is an operator."""
    groups = dict.fromkeys(term[at : at + _GROUP] for at in range(len(term) - _GROUP + 1))
    quoted = ('"' + group.replace('"', '""') + '"' for group in list(groups)[:_MAX_GROUPS])
    return " AND ".join(quoted)


def _hit(row: sqlite3.Row, terms: Sequence[str]) -> Hit:
    snippet, marks = snippet_of(row["text"], terms)
    return Hit(row["conversation"], row["title"], row["message"], row["role"], row["created"], snippet, marks)


def snippet_of(text: str, terms: Sequence[str]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The surroundings of the first place in `text` where one of `terms` stands, and the places of all in them."""
    folded = fold_with_places(text, most=_FIRST_CHARS)
    first = _first_span(folded, terms)
    if first is None and len(text) > _FIRST_CHARS:
        folded = fold_with_places(text)
        first = _first_span(folded, terms)
    start, end = _surroundings(text, first[0] if first else 0)
    lead = "…" if start else ""
    tail = "…" if end < len(text) else ""
    snippet = lead + _BLANK.sub(" ", text[start:end]) + tail
    spans = {span for term in terms for span in folded.spans(term) if start <= span[0] and span[1] <= end}
    shift = len(lead) - start
    return snippet, _aligned(snippet, sorted((first + shift, last + shift) for first, last in spans))


def _surroundings(text: str, at: int) -> tuple[int, int]:
    """Where to cut around the grapheme cluster that begins at `at`."""
    before: deque[int] = deque([0], maxlen=_BEFORE + 1)
    num_after = 0
    for match in _GRAPHEMES.finditer(text):
        if match.start() <= at:
            before.append(match.start())
        elif num_after == _AFTER:
            return before[0], match.start()
        else:
            num_after += 1
    return before[0], len(text)


def _first_span(folded: FoldedText, terms: Sequence[str]) -> tuple[int, int] | None:
    return min((spans[0] for term in terms if (spans := folded.spans(term))), default=None)


def _aligned(snippet: str, spans: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Spans in order on the borders of grapheme clusters, with those that overlap made one.

    The mark that began a line of the text may belong to the blank before it in the snippet.
    """
    borders = [match.start() for match in _GRAPHEMES.finditer(snippet)] + [len(snippet)]
    joined: list[tuple[int, int]] = []
    for first, last in spans:
        start, end = borders[bisect_right(borders, first) - 1], borders[bisect_left(borders, last)]
        if joined and start < joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return tuple(joined)
