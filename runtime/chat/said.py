"""What the user said in a conversation, and in which language."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.chat.template import Message


def said_by_user(messages: Sequence[Message]) -> list[str]:
    """The user's own turns, in order."""
    return [message.content for message in messages if message.role == "user"]


def last_said(messages: Sequence[Message]) -> str:
    """What the user said last."""
    return next(reversed(said_by_user(messages)), "")


def language_of(messages: Sequence[Message]) -> str | None:
    """The language of what the user said last, such as `bul_Cyrl`; None where it is not sure."""
    from runtime.language.detect import detect

    detected = detect(last_said(messages))
    return str(detected.language) if detected.is_confident else None
