"""Conversations as one text: Markdown for people, JSON for programs, with nothing left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

from tui.history import conversations, tree
from tui.history.markdown import iso_time, to_markdown
from tui.history.records import Conversation, Entry
from tui.history.store import Store

Format = Literal["md", "json"]
FORMATS: tuple[Format, ...] = ("md", "json")
VERSION = 1


def export(store: Store, numbers: Sequence[int], form: Format) -> str:
    """These conversations: as Markdown their current branches, as JSON all branches.

    Raises:
        ConversationNotFound: there is none of a number.
    """
    chosen = [conversations.get(store, number) for number in numbers]
    if form == "md":
        return "\n".join(to_markdown(each, tree.branch(store, each.id)) for each in chosen)
    documents = [to_document(each, tree.every(store, each.id), tree.branch(store, each.id)) for each in chosen]
    whole = {"format": "demotic-chats", "version": VERSION, "conversations": documents}
    return json.dumps(whole, ensure_ascii=False, indent=2) + "\n"


def to_document(conversation: Conversation, entries: Sequence[Entry], current: Sequence[Entry]) -> dict[str, Any]:
    """A conversation as JSON values; `current` are the numbers of the messages of the current branch."""
    return to_summary(conversation) | {
        "system_prompt": conversation.system_prompt,
        "settings": conversation.settings,
        "draft": conversation.draft,
        "messages": [_message(entry) for entry in entries],
        "current": [entry.id for entry in current],
    }


def to_summary(conversation: Conversation) -> dict[str, Any]:
    """A conversation in a list, as JSON values."""
    return {
        "id": conversation.id,
        "title": conversation.title,
        "created": iso_time(conversation.created),
        "updated": iso_time(conversation.updated),
        "pinned": conversation.is_pinned,
        "deleted": None if conversation.deleted is None else iso_time(conversation.deleted),
        "model": conversation.model,
        "adapter": conversation.adapter,
        "num_messages": conversation.num_messages,
    }


def _message(entry: Entry) -> dict[str, Any]:
    """A message as JSON values: `Message`'s fields in OpenAI's names, and ours."""
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in entry.calls
    ]
    return {
        "id": entry.id,
        "parent": entry.parent,
        "role": entry.role,
        "content": entry.text,
        "reasoning": entry.reasoning,
        "tool_calls": calls,
        "tool_call_id": entry.call_id,
        "name": entry.name,
        "seconds": entry.seconds,
        "created": iso_time(entry.created),
        "state": entry.state,
        "fault": entry.fault,
        "model": entry.model,
        "adapter": entry.adapter,
        "figures": None if entry.figures is None else asdict(entry.figures),
    }
