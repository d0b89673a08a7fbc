"""What requests of all shapes of chat say, as the chat layer knows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

from runtime.chat.template import ChatTemplate, Message
from runtime.errors import InvalidRequest

Effort = Literal["none", "minimal", "low", "medium", "high"]
# What templates call it: Qwen3 and its kin the first, gpt-oss the second.
_EFFORT_VARIABLES = ("enable_thinking", "reasoning_effort")


def name_results(messages: Sequence[Message], *, param: str) -> list[Message]:
    """The turns, each result with the name of the tool whose call it belongs to.

    Raises:
        InvalidRequest: there is no such call before it.
    """
    names: dict[str, str] = {}
    turns: list[Message] = []
    for message in messages:
        names |= {call.id: call.name for call in message.tool_calls}
        if message.tool_call_id is None:
            turns.append(message)
            continue
        if message.tool_call_id not in names:
            call = message.tool_call_id[:64]
            raise InvalidRequest(f"There is a result of the call '{call}', which is not before it.", param=param)
        turns.append(dataclasses.replace(message, name=names[message.tool_call_id]))
    return turns


def effort_variables(effort: Effort | None, template: ChatTemplate, *, param: str) -> dict[str, Any]:
    """What `template` is told of how much to reason; `param` is the field that asked for it.

    Raises:
        InvalidRequest: an effort is asked for of a model that does not reason.
    """
    if effort is None:
        return {}
    if effort != "none" and not any(template.knows(name) for name in _EFFORT_VARIABLES):
        raise InvalidRequest("This model's reasoning has no levels.", param=param)
    return {"enable_thinking": effort != "none", "reasoning_effort": effort}
