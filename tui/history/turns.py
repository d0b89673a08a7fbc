"""What is remembered as what a model is told: turns in an order that chat templates take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

from runtime.chat.template import Message
from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.loop import NO_WORDS, STOPPED, CallAsked, CallEnded
from runtime.chat.tools.prompts import ToolPrompts, prompts_for
from tui.history.records import Entry

_UNKNOWN = "it did not come to an end"


def to_messages(system_prompt: str, entries: Sequence[Entry], *, language: str | None = None) -> list[Message]:
    """The turns of a branch. `language` is that in which a model is told of calls that did not succeed.

    A question without any answer is left out where another one follows: many templates refuse two in a row. Nor is a
    call without a result, or a result without its call, and after results the model has the last word.
    """
    prompts = prompts_for(language)
    turns = [Message("system", system_prompt)] if system_prompt else []
    for at, entry in enumerate(entries):
        match entry.role:
            case "user":
                _end_results(turns)
                if turns and turns[-1].role == "user":
                    turns.pop()
                turns.append(Message("user", entry.text))
            case "assistant" if entry.text or entry.calls:
                if turns and turns[-1].role == "assistant" and not turns[-1].tool_calls and not entry.calls:
                    turns[-1] = replace(turns[-1], content=f"{turns[-1].content}\n\n{entry.text}")
                    continue
                turns.append(Message("assistant", entry.text, entry.calls))
                results = {each.call_id: each for each in takewhile(_is_of_tool, entries[at + 1 :])}
                turns += [_result(call, results.get(call.id), prompts) for call in entry.calls]
            case _:
                pass  # an answer of which nothing came, and results, which are told with their calls
    _end_results(turns)
    return turns


def _end_results(turns: list[Message]) -> None:
    if turns and turns[-1].role == "tool":
        turns.append(Message("assistant", NO_WORDS))


def _is_of_tool(entry: Entry) -> bool:
    return entry.role == "tool"


def _result(call: ToolCall, entry: Entry | None, prompts: ToolPrompts) -> Message:
    asked = CallAsked(call)
    match entry:
        case Entry(state="complete", text=text):
            return CallEnded(asked, "answered", text).told(prompts)
        case Entry(state="denied"):
            return CallEnded(asked, "denied").told(prompts)
        case Entry(state="stopped"):
            return CallEnded(asked, "failed", STOPPED).told(prompts)
        case Entry(text=text) if text:
            return CallEnded(asked, "failed", text).told(prompts)
        case _:
            return CallEnded(asked, "failed", _UNKNOWN).told(prompts)
