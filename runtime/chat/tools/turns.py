"""A conversation with calls, for chat templates that take fewer of them in a turn than OpenAI's shape has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.chat.template import Message


def one_call_a_turn(messages: Sequence[Message]) -> list[Message]:
    """The turns with each call in one of its own, which its result follows."""
    turns: list[Message] = []
    left = list(messages)
    while left:
        turn = left.pop(0)
        if len(turn.tool_calls) < 2:
            turns.append(turn)
            continue
        results = list(takewhile(lambda message: message.role == "tool", left))
        del left[: len(results)]
        for at, call in enumerate(turn.tool_calls):
            turns.append(replace(turn, content="" if at else turn.content, tool_calls=(call,)))
            turns += [result for result in results if result.tool_call_id == call.id]
    return turns
