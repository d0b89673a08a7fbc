"""Exports in OpenAI's shape, as small as they can be, and as ChatGPT writes them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any


def node(
    name: str,
    parent: str | None,
    role: str | None = None,
    text: str = "",
    *,
    children: tuple[str, ...] = (),
    kind: str = "text",
    **more: Any,
) -> dict[str, Any]:
    """A place in the tree, with the fields that a real export has."""
    content: dict[str, Any] = {"content_type": kind}
    content |= {"text": text, "language": "unknown"} if kind in {"code", "execution_output"} else {"parts": [text]}
    message = {
        "id": name,
        "author": {"role": role, "name": more.pop("tool", None), "metadata": {}},
        "create_time": more.pop("time", 1_700_000_000.5),
        "update_time": None,
        "content": more.pop("content", content),
        "status": "finished_successfully",
        "end_turn": True,
        "weight": 1.0,
        "metadata": {"model_slug": "gpt-4o", "finish_details": {"type": "stop"}} | more.pop("metadata", {}),
        "recipient": more.pop("recipient", "all"),
        "channel": None,
    }
    assert not more
    return {"id": name, "message": message if role else None, "parent": parent, "children": list(children)}


def conversation(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A conversation that ends with the last of its nodes."""
    return {
        "title": "Планини",
        "create_time": 1_700_000_000.0,
        "update_time": 1_700_000_900.0,
        "mapping": {each["id"]: each for each in nodes},
        "moderation_results": [],
        "current_node": nodes[-1]["id"] if nodes else None,
        "conversation_id": "conv-1",
        "id": "conv-1",
        "default_model_slug": "gpt-4o",
    } | more


def branched(**more: Any) -> dict[str, Any]:
    """A question, an edited question, two answers to the latter; the second one was on the screen."""
    return conversation(
        node("root", None, children=("sys",)),
        node(
            "sys", "root", "system", "", children=("q1", "q2"), metadata={"is_visually_hidden_from_conversation": True}
        ),
        node("q1", "sys", "user", "Коя е най-високата?", children=("a1",)),
        node("a1", "q1", "assistant", "Мусала.", time=1_700_000_010.0),
        node("q2", "sys", "user", "Коя е втората?", children=("a2", "a3")),
        node("a3", "q2", "assistant", "Вихрен!"),
        node("a2", "q2", "assistant", "Вихрен."),
        **({"current_node": "a3"} | more),
    )


def write(path: Path, *conversations: Any) -> Path:
    """`conversations.json`, or a zip file with it beside other things, by the name."""
    text = json.dumps(list(conversations), ensure_ascii=False)
    if path.suffix != ".zip":
        path.write_text(text, encoding="utf-8")
        return path
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("user.json", "{}")
        archive.writestr("chat.html", "<html></html>")
        archive.writestr("conversations.json", text)
    return path
