"""What people are shown of calls, in lines that a terminal may be given."""

from __future__ import annotations

import json
from typing import Any

from runtime.chat.tools.call import Change, ToolCall
from runtime.chat.tools.loop import CallAsked, CallEnded

# Format characters that letters of several scripts need: the joiners.
_KEPT = frozenset("\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}")
_MAX_SHOWN_CHARS = 2000


def printable(text: str, most: int | None = _MAX_SHOWN_CHARS) -> str:
    """A text of a stranger without what a terminal would obey, or show in another order than it is in.

    Of a text with more than `most` characters it is the beginning.
    """
    shown = text if most is None or len(text) <= most else f"{text[:most]}..."
    return "".join(char if char.isprintable() or char in _KEPT else "\N{REPLACEMENT CHARACTER}" for char in shown)


def described(call: ToolCall) -> str:
    """A call in one line."""
    return f"{call.name} {printable(_json(json.loads(call.arguments)))}"


def described_change(change: Change) -> str:
    """What was normalised, in one line."""
    return printable(f"{change.path}: {_json(change.before)} -> {_json(change.after)} ({change.rule})")


def lines_of(event: CallAsked | CallEnded) -> list[str]:
    """What happens to a call, for those who follow it on standard error."""
    match event:
        case CallAsked(call=call):
            return [f"[{described(call)}]", *(f"[{described_change(change)}]" for change in call.changes)]
        case CallEnded(outcome="answered", text=text, seconds=seconds):
            return [f"[answered with {len(text)} characters after {seconds:.2f} s]"]
        case CallEnded(outcome="failed", text=text):
            return [f"[failed: {printable(text)}]"]
        case CallEnded():
            return ["[denied]"]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
