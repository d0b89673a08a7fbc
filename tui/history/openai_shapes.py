"""The shapes of OpenAI's data export, as far as they are read; all else in it is passed over."""

from __future__ import annotations

from typing import Any

import msgspec


class Author(msgspec.Struct):
    """Who wrote a message; a tool has a name."""

    role: str
    name: str | None = None


class Thought(msgspec.Struct):
    """A part of a model's reasoning."""

    summary: str | None = None
    content: str | None = None


class Content(msgspec.Struct):
    """What a message says. Which of the fields it has depends on `content_type`."""

    content_type: str = "text"
    parts: list[Any] | None = None
    text: str | None = None
    result: str | None = None
    thoughts: list[Thought] | None = None

    def to_text(self) -> str:
        """The words in it; a picture or another file is named in brackets."""
        if self.content_type in {"thoughts", "reasoning_recap", "user_editable_context", "model_editable_context"}:
            return ""
        said = [self.text or self.result or "", *map(_part_text, self.parts or ())]
        return "\n\n".join(part for part in said if part)

    def to_reasoning(self) -> str:
        """What the model thought."""
        parts = (part for thought in self.thoughts or () for part in (thought.summary, thought.content) if part)
        return "\n\n".join(parts)


class Metadata(msgspec.Struct):
    """What else is known of a message."""

    model_slug: str | None = None
    is_visually_hidden_from_conversation: bool | None = None


class MessageBody(msgspec.Struct):
    """A message; one that is not for all is a call of the tool `recipient`."""

    author: Author
    content: Content | None
    create_time: float | None = None
    recipient: str | None = None
    metadata: Metadata | None = None


class Node(msgspec.Struct):
    """A place in the tree of a conversation; some hold no message."""

    message: MessageBody | None = None
    parent: str | None = None
    children: list[str] | None = None


class ConversationBody(msgspec.Struct):
    """A conversation; `current_node` is the last message of what was on the screen."""

    mapping: dict[str, Node]
    title: str | None = None
    create_time: float | None = None
    update_time: float | None = None
    current_node: str | None = None
    conversation_id: str | None = None
    id: str | None = None
    default_model_slug: str | None = None


def _part_text(part: Any) -> str:
    match part:
        case str():
            return part
        case {"text": str(text)}:
            return text
        case {"content_type": str(kind)}:
            return f"[{kind}]"
        case _:
            return ""
