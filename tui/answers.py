"""An endpoint of OpenAI's shape as what answers a conversation, with tools or without."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import pairwise

from runtime.chat.reasoning import Piece
from runtime.chat.template import Message
from runtime.chat.tools.call import Change, Tool, ToolCall, new_id
from runtime.chat.tools.normalise import normalise_call
from runtime.chat.tools.use import ToolUse
from runtime.config import RunConfig
from tui.choosing.choices import Choices
from tui.client import ChatClient
from tui.events import AnswerFailed, AnswerFinished
from tui.shapes import CallDelta, Usage, body_of
from tui.words import _

# An answer that ends with calls has come to its own end.
_OWN_ENDS = {"stop", "tool_calls", "function_call"}


class HttpAnswers:
    """`runtime.chat.tools.loop.Answers` of an endpoint; with `goes_on` the last turn, an answer, goes on."""

    def __init__(
        self, client: ChatClient, config: RunConfig, choices: Choices | None = None, *, goes_on: bool = False
    ) -> None:
        self._client = client
        self._config = config
        self._choices = choices or Choices()
        self._goes_on = goes_on

    async def answer(
        self, messages: Sequence[Message], tools: ToolUse
    ) -> AsyncGenerator[Piece | ToolCall | AnswerFinished]:
        """See `Answers.answer`. Closing the generator takes the request back.

        Raises:
            AnswerFailed: the request was refused, the answer broke off, or a call in it cannot be read.
        """
        started = time.perf_counter()
        first: float | None = None
        num_characters, reason = 0, ""
        usage = Usage()
        times: list[float] = []
        calls = _Calls()
        body = body_of(messages, tools, self._config, self._client.model) | self._choices.fields()
        if self._goes_on:
            # As vLLM and others name it; endpoints that do not know it begin another answer or refuse.
            body |= {"continue_final_message": True, "add_generation_prompt": False}
            self._goes_on = False
        async with aclosing(self._client.chunks(body)) as chunks:
            async for chunk in chunks:
                for choice in chunk.choices:
                    delta = choice.delta
                    if first is None and (delta.content or delta.reasoning_content or delta.tool_calls):
                        first = time.perf_counter()
                    if delta.reasoning_content:
                        times.append(time.perf_counter())
                        yield Piece("reasoning", delta.reasoning_content)
                    if delta.content:
                        num_characters += len(delta.content)
                        times.append(time.perf_counter())
                        yield Piece("content", delta.content)
                    for call in delta.tool_calls or ():
                        calls.push(call)
                    reason = choice.finish_reason or reason
                if chunk.usage is not None:
                    usage = chunk.usage
        ended = time.perf_counter()
        first = first if first is not None else ended
        if reason in _OWN_ENDS:
            reason = "stop"
            for found in calls.read(tools.allowed):
                yield found
        yield AnswerFinished(
            reason,
            usage.completion_tokens or len(times),
            num_characters,
            first - started,
            ended - first,
            num_prompt_tokens=usage.prompt_tokens,
            num_cached_tokens=usage.num_cached_tokens,
            gaps=tuple(after - before for before, after in pairwise(times)),
            text=usage.demotic,
        )


@dataclass
class _Call:
    """A call that comes in pieces."""

    id: str = ""
    name: str = ""
    arguments: str = ""
    changes: tuple[Change, ...] = ()


class _Calls:
    """Puts the calls of an answer together."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._at: dict[int, _Call] = {}

    def push(self, delta: CallDelta) -> None:
        """Take the next piece. Some endpoints number no calls, but each has an id of its own."""
        call = self._at.get(delta.index)
        if call is None or (delta.id and call.id and delta.id != call.id):
            call = self._at[delta.index] = _Call()
            self._calls.append(call)
        call.id = delta.id or call.id
        call.name = call.name or delta.function.name or ""
        call.arguments += delta.function.arguments or ""
        if delta.demotic is not None:
            call.changes = tuple(change.to_change() for change in delta.demotic.changes)

    def read(self, tools: Sequence[Tool]) -> list[ToolCall]:
        """The calls, normalised where the endpoint has not done so; none where there are no `tools` to call.

        Raises:
            AnswerFailed: the arguments of one are no JSON object.
        """
        return [_read(call, tools) for call in self._calls] if tools else []


def _read(call: _Call, tools: Sequence[Tool]) -> ToolCall:
    try:
        found = ToolCall.checked(call.id or new_id(), call.name, call.arguments, call.changes)
    except ValueError as fault:
        raise AnswerFailed(_("The answer cannot be read: {fault}.").format(fault=fault)) from None
    mended = normalise_call(found, tools)
    return found if mended is found else replace(mended, changes=found.changes + mended.changes)
