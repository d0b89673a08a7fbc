"""The loop of a model that calls tools: it answers, its calls are run where that is allowed, and it answers again.

It knows neither engine nor HTTP: who answers is an `Answers`, who runs a `Toolbox`, and who decides an `Approval`.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from runtime.chat.reasoning import Piece
from runtime.chat.template import Message
from runtime.chat.tools.approval import Approval
from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.prompts import ToolPrompts, prompts_for
from runtime.chat.tools.sources.base import ToolFault
from runtime.chat.tools.toolbox import Toolbox
from runtime.chat.tools.use import ToolUse


class TurnEnd(Protocol):
    """What ends a model's turn."""

    @property
    def reason(self) -> str:
        """Why it ended: "stop" is its own end, all else cut it short."""


EndT = TypeVar("EndT", bound=TurnEnd)
EndT_co = TypeVar("EndT_co", bound=TurnEnd, covariant=True)


class Answers(Protocol[EndT_co]):
    """Something that answers a conversation."""

    def answer(self, messages: Sequence[Message], tools: ToolUse) -> AsyncGenerator[Piece | ToolCall | EndT_co]:
        """What it thinks, says and calls, as it comes; last what ends the turn. Calls are normalised already."""


@dataclass(frozen=True)
class CallAsked:
    """The model wants a tool run."""

    call: ToolCall

    def to_json(self) -> dict[str, Any]:
        """What programs are told of it: the arguments are those that the tool is given."""
        return {
            "id": self.call.id,
            "name": self.call.name,
            "arguments": json.loads(self.call.arguments),
            "changes": [
                {"path": change.path, "from": change.before, "to": change.after, "rule": change.rule}
                for change in self.call.changes
            ],
            "outcome": "running",
        }


@dataclass(frozen=True)
class CallEnded:
    """What became of a call: its result or its fault in `text`, after so many `seconds`."""

    asked: CallAsked
    outcome: Literal["answered", "failed", "denied"]
    text: str = ""
    seconds: float = 0.0

    def told(self, prompts: ToolPrompts) -> Message:
        """What the model is told of it."""
        match self.outcome:
            case "answered":
                text = self.text
            case "failed":
                text = prompts.failed.format(name=self.asked.call.name, error=self.text)
            case "denied":
                text = prompts.denied.format(name=self.asked.call.name)
        return Message("tool", text, tool_call_id=self.asked.call.id, name=self.asked.call.name)

    def to_json(self) -> dict[str, Any]:
        """What programs are told of it."""
        told = self.asked.to_json() | {"outcome": self.outcome}
        match self.outcome:
            case "answered":
                return told | {"result": self.text, "seconds": round(self.seconds, 4)}
            case "failed":
                return told | {"error": self.text, "seconds": round(self.seconds, 4)}
            case "denied":
                return told


Event: TypeAlias = Piece | CallAsked | CallEnded | EndT

# The model's last word where it has none: many templates refuse a user's turn that follows a tool's.
NO_WORDS = "…"
# What it is told of a call that was given up.
STOPPED = "the user stopped it"


async def run_tools(
    model: Answers[EndT],
    turns: list[Message],
    tools: ToolUse,
    toolbox: Toolbox,
    approval: Approval,
    *,
    language: str | None = None,
) -> AsyncGenerator[Event[EndT]]:
    """Answer a conversation with what tools say; a `TurnEnd` ends each of the model's turns, and the last one all.

    A call that must be is asked for in the first turn only, or there would never be an answer. After as many rounds of
    calls as `toolbox` allows, the model must answer without. `language` is that in which it is told what became of a
    call that did not succeed.

    What is said, called and found out is added to `turns`. However this ends, also where it is closed or cancelled, the
    conversation can go on: no call is without a result, and the model has the last word.
    """
    prompts = prompts_for(language)
    has_spoken = False
    calls: list[ToolCall] = []
    try:
        for num_left in range(toolbox.limits.max_rounds, -1, -1):
            said: list[str] = []
            is_whole = False
            use = tools if num_left else replace(tools, choice="none")
            try:
                async with aclosing(model.answer(tuple(turns), use)) as answer:
                    async for event in answer:
                        if isinstance(event, ToolCall):
                            calls.append(event)
                            continue
                        if not isinstance(event, Piece):
                            is_whole = event.reason == "stop"
                        elif event.kind == "content":
                            if has_spoken and not said:
                                # What it says now is another turn.
                                yield Piece("content", "\n\n")
                            said.append(event.text)
                        yield event
            finally:
                # What was cut off or stopped is not acted on.
                calls = calls if is_whole else []
                if said or calls:
                    turns.append(Message("assistant", "".join(said), tuple(calls)))
            has_spoken = has_spoken or bool(said)
            if not calls:
                return
            while calls:
                asked = CallAsked(calls[0])
                yield asked
                ended = await _end(asked, toolbox, approval)
                turns.append(ended.told(prompts))
                del calls[0]
                yield ended
            tools = replace(tools, choice="auto", named=None, among=None)
    finally:
        turns += [CallEnded(CallAsked(call), "failed", STOPPED).told(prompts) for call in calls]
        if turns and turns[-1].role == "tool":
            turns.append(Message("assistant", NO_WORDS))


async def _end(asked: CallAsked, toolbox: Toolbox, approval: Approval) -> CallEnded:
    """Run a call where that is allowed."""
    call = asked.call
    offered = toolbox.offered.get(call.name)
    if offered is not None and not await approval.allows(offered, call):
        return CallEnded(asked, "denied")
    started = time.perf_counter()
    try:
        result = await toolbox.run(call)
    except ToolFault as fault:
        return CallEnded(asked, "failed", str(fault), time.perf_counter() - started)
    return CallEnded(asked, "answered", result, time.perf_counter() - started)
