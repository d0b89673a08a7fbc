"""`/v1/chat/completions` with `x-demotic-run-tools`: the server runs the tools that its operator approved.

There is nobody to ask, so a model is offered no others.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from runtime.api.defaults import filled
from runtime.api.language import text_usage, user_language
from runtime.api.routing import route
from runtime.api.schemas.chat import (
    ChatChoice,
    ChatChunkChoice,
    ChatCompletionChunk,
    ChatCompletionRequest,
    ChatDelta,
)
from runtime.api.schemas.common import FinishReasonBody, UsageBody
from runtime.api.schemas.tool_runs import ToolRun, ToolRunChunk, ToolRunCompletion, ToolRuns
from runtime.api.streaming import generate, sse_response
from runtime.chat.answer import read_answer
from runtime.chat.prompt import ChatPrompt
from runtime.chat.reasoning import Piece
from runtime.chat.said import last_said, said_by_user
from runtime.chat.template import Message
from runtime.chat.tools.approval import Approval
from runtime.chat.tools.call import Tool, ToolCall
from runtime.chat.tools.loop import CallAsked, CallEnded, run_tools
from runtime.chat.tools.toolbox import Toolbox
from runtime.chat.tools.use import ToolUse
from runtime.engine.messages import Delta, Finished
from runtime.engine.pool import ModelPool
from runtime.errors import Cancelled, InferenceFailed, InvalidRequest

HEADER = "x-demotic-run-tools"


@dataclass(frozen=True)
class ServerTools:
    """What a server may run for its clients."""

    toolbox: Toolbox
    approval: Approval

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The tools that run unasked."""
        return tuple(offered.tool for offered in self.toolbox.offered.values() if self.approval.is_free(offered))


def wants_tool_runs(http: Request) -> bool:
    """Whether a request asks for its tools to be run here.

    Raises:
        InvalidRequest: it does not say so in words that are known.
    """
    match http.headers.get(HEADER, "false").lower():
        case "true" | "1":
            return True
        case "false" | "0":
            return False
        case other:
            raise InvalidRequest(f"The header {HEADER} is 'true' or 'false', not '{other[:32]}'.")


async def respond_with_tools(body: ChatCompletionRequest, http: Request) -> Response:
    """Answer a conversation with what the server's tools say, streamed if that is asked for.

    Raises:
        InvalidRequest: there are no tools here, or a field that does not go with them.
        DemoticError: the answer failed before its first event.
    """
    served: ServerTools | None = http.app.state.tools
    if served is None:
        raise InvalidRequest("This server runs no tools.", remedy="Start it with --tools, or leave the header out.")
    for name, is_sent in (("tools", body.tools), ("n", body.num_choices > 1), ("logprobs", body.logprobs)):
        if is_sent:
            raise InvalidRequest(f"'{name}' does not go with the header {HEADER}.", param=name)
    messages = body.conversation()
    routed = await route(body.model, body, said_by_user(messages), http)
    chunks = _chunks(body, messages, routed.model, http, served)
    headers = body.response_headers | routed.headers
    if body.stream:
        return await sse_response(chunks, wants_usage=body.wants_usage, headers=headers)
    answer = await _fold(chunks)
    return JSONResponse(answer.model_dump(mode="json"), headers=headers)


@dataclass
class _Answers:
    """`runtime.chat.tools.loop.Answers` of the model that a request names, which is held for one turn at a time.

    `text` is all that it wrote, its calls among it.
    """

    id: str
    model: str | None
    body: ChatCompletionRequest
    http: Request
    language: str | None
    num_turns: int = 0
    context_length: int = 0
    text: str = ""

    async def answer(self, messages: Sequence[Message], tools: ToolUse) -> AsyncGenerator[Piece | ToolCall | Finished]:
        """See `Answers.answer`."""
        pool: ModelPool = self.http.app.state.pool
        async with pool.hold(self.model, self.body.adapter) as (model, adapter):
            body = filled(self.body, model.card)
            self.num_turns += 1
            self.context_length = model.client.context_length
            template = model.card.template
            variables = body.template_variables(template)
            opening = body.opening if self.num_turns == 1 else "answer"
            prompt = ChatPrompt.render(template, messages, variables, tools, self.language, opening=opening)
            request = prompt.to_request(
                f"{self.id}-{self.num_turns}",
                body.sampling(),
                body.max_completion_tokens or body.max_tokens,
                stop=body.stops,
                adapter=adapter,
                constraint=body.constraint(),
                lock=body.lock(last_said(messages), prompt.exempt),
                max_characters=body.max_characters,
            )
            async with aclosing(generate(model.client, request, self.http)) as events:
                async for found in read_answer(self._noted(events), prompt.reader()):
                    if isinstance(found, Finished) and found.reason == "cancelled":
                        raise Cancelled("The client has gone.")
                    yield found

    async def _noted(self, events: AsyncIterator[Delta | Finished]) -> AsyncIterator[Delta | Finished]:
        async for event in events:
            if isinstance(event, Delta):
                self.text += event.text
            yield event


class _WatchedToolbox(Toolbox):
    """Gives a call up as soon as the client has gone."""

    def __init__(self, toolbox: Toolbox, http: Request) -> None:
        super().__init__(toolbox.sources, toolbox.limits)
        self._http = http

    async def run(self, call: ToolCall) -> str:
        running = asyncio.create_task(super().run(call))
        gone = asyncio.create_task(self._gone())
        try:
            await asyncio.wait({running, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                raise Cancelled("The client has gone.")
            return running.result()
        finally:
            running.cancel()
            gone.cancel()

    async def _gone(self) -> None:
        # The body has been read already, so that nothing else is to come.
        while (await self._http.receive())["type"] != "http.disconnect":
            pass


@dataclass(frozen=True)
class _Shape:
    """How the answer looks in OpenAI's shapes."""

    id: str
    created: int
    model: str

    def say(self, delta: ChatDelta, reason: FinishReasonBody | None = None) -> ChatCompletionChunk:
        """A chunk of the answer."""
        choice = ChatChunkChoice(delta=delta, finish_reason=reason)
        return ChatCompletionChunk(id=self.id, created=self.created, model=self.model, choices=[choice])

    def tell(self, event: CallAsked | CallEnded) -> ToolRunChunk:
        """A chunk that tells of a call. It has a choice, since clients look for one."""
        told = ToolRuns(tool_runs=[ToolRun(**event.to_json())])
        nothing = ChatChunkChoice(delta=ChatDelta())
        return ToolRunChunk(id=self.id, created=self.created, model=self.model, choices=[nothing], demotic=told)

    def count(self, usage: UsageBody) -> ChatCompletionChunk:
        """The last chunk: the tokens of all turns."""
        return ChatCompletionChunk(id=self.id, created=self.created, model=self.model, choices=[], usage=usage)


async def _chunks(
    body: ChatCompletionRequest, messages: Sequence[Message], model: str | None, http: Request, served: ServerTools
) -> AsyncGenerator[ChatCompletionChunk]:
    """The answer as OpenAI's chunks, those of calls among them, and last the token counts."""
    pool: ModelPool = http.app.state.pool
    shape = _Shape(f"chatcmpl-{uuid.uuid4().hex}", int(time.time()), model or pool.names[0])
    said = last_said(messages)
    language = await user_language(body, said)
    answers = _Answers(shape.id, model, body, http, language)
    events = run_tools(
        answers,
        list(messages),
        body.tool_use(served.tools).normalising(body.normalize),
        _WatchedToolbox(served.toolbox, http),
        served.approval,
        language=language,
    )
    turns: list[Finished] = []
    content = ""
    is_begun = False
    async with aclosing(events):
        async for event in events:
            if not is_begun:
                is_begun = True
                yield shape.say(ChatDelta(role="assistant", content=""))
            match event:
                case Piece(kind="reasoning", text=text):
                    yield shape.say(ChatDelta(reasoning_content=text))
                case Piece(text=text):
                    content += text
                    yield shape.say(ChatDelta(content=text))
                case CallAsked() | CallEnded():
                    yield shape.tell(event)
                case Finished():
                    turns.append(event)
    reason = turns[-1].reason
    assert reason != "cancelled"  # noqa: S101  # that was raised
    yield shape.say(ChatDelta(), reason)
    usage = UsageBody.from_finished(turns, 1)
    if body.wants_usage or not body.stream:
        usage.demotic = await text_usage(said, [(answers.text, content)], turns, answers.context_length)
    yield shape.count(usage)


async def _fold(chunks: AsyncIterator[ChatCompletionChunk]) -> ToolRunCompletion:
    """The whole answer, from the very chunks that a streaming client gets."""
    runs: list[ToolRun] = []
    pieces: list[ChatChunkChoice] = []
    async for chunk in chunks:
        pieces += chunk.choices
        if isinstance(chunk, ToolRunChunk):
            runs += [run for run in chunk.demotic.tool_runs if run.outcome != "running"]
    if chunk.usage is None:
        raise InferenceFailed("The answer was cut off before its end.")
    return ToolRunCompletion(
        id=chunk.id,
        created=chunk.created,
        model=chunk.model,
        choices=[ChatChoice.from_pieces(pieces)],
        usage=chunk.usage,
        demotic=ToolRuns(tool_runs=runs),
    )
