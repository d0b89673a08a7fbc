"""What `/v1/responses/ID/input_items` answers: the turns before a kept answer, as items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import BaseModel

from runtime.api.schemas.response_events import CallItem, MessageItem, OutputText
from runtime.chat.template import Message
from runtime.errors import InvalidRequest


class InputText(BaseModel):
    """The text of a turn."""

    type: Literal["input_text"] = "input_text"
    text: str


class InputMessage(BaseModel):
    """A turn of the user's, or what the model was told before the conversation."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["user", "system"]
    status: Literal["completed"] = "completed"
    content: list[InputText]


class CallOutput(BaseModel):
    """The result of a call."""

    id: str
    type: Literal["function_call_output"] = "function_call_output"
    status: Literal["completed"] = "completed"
    call_id: str
    output: str


Item = InputMessage | MessageItem | CallItem | CallOutput


class InputItemList(BaseModel):
    """A page of items; `has_more` follow `last_id`."""

    object: Literal["list"] = "list"
    data: list[Item]
    first_id: str
    last_id: str
    has_more: bool

    @classmethod
    def page(cls, items: Sequence[Item], *, limit: int, is_newest_first: bool, after: str | None) -> InputItemList:
        """At most `limit` of `items`, those that come after the item `after`.

        Raises:
            InvalidRequest: there is no such item.
        """
        ordered = list(reversed(items)) if is_newest_first else list(items)
        ids = [item.id for item in ordered]
        if after is not None and after not in ids:
            raise InvalidRequest(f"There is no item '{after[:128]}'.", param="after")
        start = 0 if after is None else ids.index(after) + 1
        shown = ordered[start : start + limit]
        return cls(
            data=shown,
            first_id=shown[0].id if shown else "",
            last_id=shown[-1].id if shown else "",
            has_more=start + limit < len(ordered),
        )


def items_of(turns: Sequence[Message], response_id: str) -> list[Item]:
    """The turns as items, the oldest first; their ids are the same each time."""
    return list(_items(turns, response_id.removeprefix("resp_")))


def _items(turns: Sequence[Message], name: str) -> Iterator[Item]:
    for index, turn in enumerate(turns):
        own = f"{name}_{index}"
        match turn.role:
            case "tool":
                yield CallOutput(id=f"fco_{own}", call_id=turn.tool_call_id or "", output=turn.content)
            case "assistant":
                if turn.content or not turn.tool_calls:
                    yield MessageItem(id=f"msg_{own}", status="completed", content=[OutputText(text=turn.content)])
                for at, call in enumerate(turn.tool_calls):
                    yield CallItem(
                        id=f"fc_{own}_{at}",
                        status="completed",
                        call_id=call.id,
                        name=call.name,
                        arguments=call.arguments,
                    )
            case role:
                is_system = role == "system"
                yield InputMessage(
                    id=f"msg_{own}", role="system" if is_system else "user", content=[InputText(text=turn.content)]
                )
