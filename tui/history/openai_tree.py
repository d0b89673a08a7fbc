"""A conversation of OpenAI's export as messages of ours, without those that a person was never shown.

The export keeps nodes without a message, hidden ones, and a model's thoughts as nodes of their own. What follows a node
that is left out follows the one before it here, and thoughts are of the answer that follows them.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace

from runtime.chat.tools.call import ToolCall
from tui.history.openai_shapes import ConversationBody, MessageBody, Node
from tui.history.records import NewMessage

_LATEST = 4_102_444_800.0  # the year 2100; what is later is no time


@dataclass
class Planned:
    """A conversation to write. `messages` are pairs of the parent's place in the same list and the message.

    `last` is the place of the last message of the current branch.
    """

    origin: str
    title: str
    created: float
    updated: float
    model: str
    system_prompt: str = ""
    messages: list[tuple[int | None, NewMessage]] = field(default_factory=list)
    last: int | None = None


@dataclass(frozen=True)
class _Step:
    """A node to visit, and what the way to it has brought."""

    name: str
    parent: int | None = None
    reasoning: str = ""
    call: ToolCall | None = None


def plan(body: ConversationBody, origin: str, max_nodes: int) -> Planned:
    """Read the tree of a conversation.

    Raises:
        ValueError: it has too many nodes, or its nodes go round in a circle.
    """
    if len(body.mapping) > max_nodes:
        raise ValueError(f"it has {len(body.mapping)} nodes, and at most {max_nodes} are taken")
    created = _time(body.create_time, time.time())
    planned = Planned(
        origin, (body.title or "").strip(), created, _time(body.update_time, created), body.default_model_slug or ""
    )
    children = _children(body.mapping)
    waiting = [_Step(name) for name in reversed(children[None])]
    places: dict[str, int | None] = {}
    while waiting:
        step = waiting.pop()
        follows = _visit(planned, step, body.mapping[step.name].message)
        places[step.name] = follows.parent
        waiting += [
            _Step(name, follows.parent, follows.reasoning, follows.call) for name in reversed(children[step.name])
        ]
    if len(places) < len(body.mapping):
        raise ValueError("its messages follow each other in a circle")
    planned.last = places.get(body.current_node or "")
    if planned.last is None and planned.messages:
        planned.last = len(planned.messages) - 1
    return planned


def _children(mapping: dict[str, Node]) -> dict[str | None, list[str]]:
    """The nodes after each node, in its own order; after None, those that follow none that is there."""
    children: dict[str | None, list[str]] = defaultdict(list)
    for name, node in mapping.items():
        children[node.parent if node.parent in mapping else None].append(name)
    for parent, names in children.items():
        if parent is not None:
            order = {name: at for at, name in enumerate(mapping[parent].children or ())}
            places = {name: order.get(name, len(order)) for name in names}
            names.sort(key=places.__getitem__)
    return children


def _visit(planned: Planned, step: _Step, body: MessageBody | None) -> _Step:
    """Add the message of a node, if it is one to keep; what the way has brought after it."""
    if (
        body is None
        or body.content is None
        or (body.metadata is not None and body.metadata.is_visually_hidden_from_conversation)
    ):
        return step
    text = body.content.to_text()
    match body.author.role:
        case "system":
            planned.system_prompt = planned.system_prompt or text
            return step
        case "user" if text:
            return _add(planned, step, body, NewMessage("user", text))
        case "assistant" if thoughts := body.content.to_reasoning():
            reasoning = f"{step.reasoning}\n\n{thoughts}" if step.reasoning else thoughts
            return _Step(step.name, step.parent, reasoning, step.call)
        case "assistant" if text and body.recipient not in {None, "", "all"}:
            call = ToolCall(step.name, body.recipient or "", _arguments(text))
            return _add(planned, step, body, NewMessage("assistant", "", reasoning=step.reasoning, calls=(call,)), call)
        case "assistant" if text:
            return _add(planned, step, body, NewMessage("assistant", text, reasoning=step.reasoning))
        case "tool" if text:
            call_id = None if step.call is None else step.call.id
            message = NewMessage("tool", text, call_id=call_id, name=body.author.name)
            return _add(planned, step, body, message, step.call, step.reasoning)
        case _:
            return step


def _add(
    planned: Planned,
    step: _Step,
    body: MessageBody,
    message: NewMessage,
    call: ToolCall | None = None,
    reasoning: str = "",
) -> _Step:
    model = (body.metadata.model_slug if body.metadata is not None else None) or ""
    model = model if message.role == "assistant" else ""
    kept = replace(message, model=model, created=_time(body.create_time, planned.created))
    planned.messages.append((step.parent, kept))
    return _Step(step.name, len(planned.messages) - 1, reasoning, call)


def _arguments(text: str) -> str:
    """What a tool was given, as a JSON object."""
    try:
        is_object = isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        is_object = False
    return text if is_object else json.dumps({"input": text}, ensure_ascii=False)


def _time(seconds: float | None, otherwise: float) -> float:
    return seconds if seconds is not None and 0 <= seconds < _LATEST else otherwise
