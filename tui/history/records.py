"""A conversation and a message as they are remembered."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from runtime.chat.reasoning import Piece
from runtime.chat.tools.call import ToolCall

# Of a message: whole; stopped by the person; broken off by a fault; broken off by the end of the program; still coming.
# Of a tool's turn also what became of the call, as `CallEnded` says it, with "complete" for an answered one.
State = Literal["complete", "stopped", "failed", "interrupted", "streaming", "denied"]


@dataclass(frozen=True)
class Conversation:
    """A conversation without its messages; times in seconds since 1970.

    `title` is empty until something was said. `deleted` is when it was deleted, and None where it was not. `settings`
    are JSON values, such as of sampling and of the language lock. `draft` was typed and not sent; `draft_edits` is the
    message that it is to replace, and `num_attached` files go along with it.
    """

    id: int
    title: str
    created: float
    updated: float
    is_pinned: bool
    deleted: float | None
    system_prompt: str
    model: str
    adapter: str
    settings: dict[str, Any]
    draft: str
    num_messages: int
    draft_edits: int | None = None
    num_attached: int = 0

    @property
    def is_being_written(self) -> bool:
        """Whether something was begun and not sent."""
        return bool(self.draft) or self.draft_edits is not None or self.num_attached > 0


@dataclass(frozen=True)
class Figures:
    """What an answer took; times in seconds, as the chat saw them.

    `itl_*` sum up the times between its pieces as they came in: median, 95th percentile, longest. They are None where
    there were fewer than two. `gaps_ms` are these times, or the longest of each stretch where there were many. `reason`
    is why it ended, in OpenAI's words. `language` is the answer's, and `blocked_tokens` are those that a lock kept out,
    where the endpoint tells.
    """

    reason: str
    num_tokens: int
    num_characters: int
    seconds: float
    first_token_seconds: float
    tokens_per_second: float
    characters_per_second: float
    itl_median: float | None = None
    itl_p95: float | None = None
    itl_longest: float | None = None
    language: str | None = None
    blocked_tokens: int | None = None
    gaps_ms: tuple[int, ...] = ()


@dataclass(frozen=True)
class Entry:
    """A message in its place: `parent` is the message before it, and `siblings` are all that follow that one.

    An assistant's may have `calls`. One of role "tool" is what became of the call `call_id` of the tool `name`, after
    so many `seconds`. `fault` says why an answer failed.
    """

    id: int
    conversation: int
    parent: int | None
    role: str
    text: str
    created: float
    state: State = "complete"
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None
    name: str | None = None
    seconds: float | None = None
    model: str = ""
    adapter: str = ""
    figures: Figures | None = None
    fault: str = ""
    siblings: tuple[int, ...] = ()

    @property
    def position(self) -> tuple[int, int]:
        """Which of how many siblings it is, counted from 1: (2, 3) is the second of three."""
        return self.siblings.index(self.id) + 1, len(self.siblings)


@dataclass(frozen=True)
class NewMessage:
    """A message that is to be remembered, whole; the fields are those of `Entry`. `created` None is now."""

    role: str
    text: str
    state: State = "complete"
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None
    name: str | None = None
    model: str = ""
    adapter: str = ""
    created: float | None = None
    fault: str = field(default="")


def to_conversation(row: sqlite3.Row) -> Conversation:
    """The conversation of a row of its table, with a column `num_messages` besides."""
    return Conversation(
        id=row["id"],
        title=row["title"],
        created=row["created"],
        updated=row["updated"],
        is_pinned=bool(row["pinned"]),
        deleted=row["deleted"],
        system_prompt=row["system_prompt"],
        model=row["model"],
        adapter=row["adapter"],
        settings=msgspec.json.decode(row["settings"], type=dict[str, Any]),
        draft=row["draft"],
        num_messages=row["num_messages"],
        draft_edits=row["draft_edits"],
        num_attached=row["num_attached"],
    )


def to_entry(row: sqlite3.Row, pieces: Sequence[Piece], siblings: Sequence[int]) -> Entry:
    """The message of a row of its table, and the pieces that came since the row was written."""
    return Entry(
        id=row["id"],
        conversation=row["conversation"],
        parent=row["parent"],
        role=row["role"],
        text=row["text"] + _joined(pieces, "content"),
        created=row["created"],
        state=row["state"],
        reasoning=row["reasoning"] + _joined(pieces, "reasoning"),
        # Most have none, and a long conversation is read at once.
        calls=() if row["calls"] == "[]" else msgspec.json.decode(row["calls"], type=tuple[ToolCall, ...]),
        call_id=row["call_id"],
        name=row["name"],
        seconds=row["seconds"],
        model=row["model"],
        adapter=row["adapter"],
        figures=None if row["figures"] is None else msgspec.json.decode(row["figures"], type=Figures),
        fault=row["fault"],
        siblings=tuple(siblings),
    )


def _joined(pieces: Sequence[Piece], kind: str) -> str:
    return "".join(piece.text for piece in pieces if piece.kind == kind) if pieces else ""


def to_json(value: Any) -> str:
    """A value, or a record with all that is in it, as JSON text with every script as it is."""
    return msgspec.json.encode(value).decode()


def storable(text: str) -> str:
    """`text` as a file can hold it: how Python carries bytes it cannot decode becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
