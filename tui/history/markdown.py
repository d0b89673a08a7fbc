"""A conversation's current branch as Markdown, for people."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence

from tui.history.records import Conversation, Entry

_ENDINGS = {
    "stopped": "stopped",
    "failed": "failed",
    "interrupted": "interrupted",
    "streaming": "still coming",
    "denied": "denied",
}
_FENCE = re.compile(r"`{3,}")


def to_markdown(conversation: Conversation, entries: Sequence[Entry]) -> str:
    """A page: the title, what is known of the conversation, and each turn under a heading of its own."""
    parts = [f"# {in_line(conversation.title or 'Untitled')}", _about(conversation)]
    if conversation.system_prompt:
        parts += ["## System prompt", conversation.system_prompt]
    for entry in entries:
        parts += _turn(entry)
    return "\n\n".join(parts) + "\n"


def iso_time(seconds: float) -> str:
    """A time as ISO 8601 says it, in UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def _about(conversation: Conversation) -> str:
    facts = {
        "Begun": iso_time(conversation.created),
        "Model": conversation.model,
        "Adapter": conversation.adapter,
    }
    return "\n".join(f"- {name}: {in_line(fact)}" for name, fact in facts.items() if fact)


def _turn(entry: Entry) -> Iterable[str]:
    ending = f", {_ENDINGS[entry.state]}" if entry.state in _ENDINGS else ""
    match entry.role:
        case "user":
            yield "## You"
        case "tool":
            yield f"### Result of {in_line(entry.name or 'a tool')}{ending}"
        case role:
            who = f" ({in_line(entry.model)})" if entry.model else ""
            yield f"## {in_line(role).capitalize()}{who}{ending}"
    if entry.reasoning:
        yield "\n".join(f"> {line}".rstrip() for line in entry.reasoning.split("\n"))
    if entry.text:
        yield fenced(entry.text) if entry.role == "tool" else entry.text
    for call in entry.calls:
        yield f"Calls {in_line(call.name)}:"
        yield fenced(call.arguments, "json")
    if entry.fault:
        yield f"*{in_line(entry.fault)}*"


def fenced(text: str, language: str = "") -> str:
    """A text as it is, whatever it holds: the fence is longer than any in it."""
    longest = max((len(found) for found in _FENCE.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def in_line(text: str) -> str:
    """A text of several lines in one."""
    return " ".join(text.split())
