"""A model of this process as what answers a conversation with tools: one turn of it, or with the tools run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from typing import Any, Unpack

from runtime.answer import Answer
from runtime.card import ModelCard, Options
from runtime.chat.answer import AnswerReader, read_answer
from runtime.chat.prompt import ChatPrompt
from runtime.chat.reasoning import Piece
from runtime.chat.said import language_of, last_said
from runtime.chat.template import Message
from runtime.chat.tools.approval import Approval, Verdict
from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.given import GivenTool, tools_of
from runtime.chat.tools.loop import CallEnded, run_tools
from runtime.chat.tools.sources.base import OfferedTool
from runtime.chat.tools.sources.functions import FunctionTools
from runtime.chat.tools.toolbox import Toolbox
from runtime.chat.tools.use import ToolUse
from runtime.config import ToolRunConfig
from runtime.engine.awaiting import stream_async
from runtime.engine.messages import Finished, Generate
from runtime.errors import InvalidRequest
from runtime.language.codes import parse
from runtime.language.lock import AUTO
from runtime.model import Model


class ModelAnswers:
    """`runtime.chat.tools.loop.Answers` of a loaded model."""

    def __init__(self, model: Model, prompt_language: str | None = None, **options: Unpack[Options]) -> None:
        """`prompt_language` is that in which the model is told of tools; None where it is not known."""
        self._model = model
        self._prompt_language = prompt_language
        self._options = options

    async def answer(self, messages: Sequence[Message], tools: ToolUse) -> AsyncGenerator[Piece | ToolCall | Finished]:
        """See `Answers.answer`.

        Raises:
            InvalidRequest: the conversation or the tools cannot be honoured.
        """
        request, reader = tool_request(self._model.card, messages, tools, self._prompt_language, self._options)
        async with aclosing(stream_async(self._model.client, request)) as events:
            async for found in read_answer(events, reader):
                yield found


def tool_request(
    card: ModelCard,
    messages: Sequence[Message],
    tools: ToolUse,
    prompt_language: str | None,
    options: Options,
) -> tuple[Generate, AnswerReader]:
    """The engine's request for one turn of a conversation with tools, and what reads its answer.

    `prompt_language` is that in which the model is told of tools; None where it is not known.

    Raises:
        InvalidRequest: the conversation or the tools cannot be honoured.
    """
    prompt = ChatPrompt.render(card.template, messages, tools=tools, language=prompt_language)
    return card.prompt_request(prompt, last_said(messages), **options), prompt.reader()


def named_language(options: Options) -> str | None:
    """The language that the options of a request name; None where they leave that to what the user says.

    Raises:
        UnknownLanguage: it is none.
    """
    name = options.get("language", AUTO)
    return None if name == AUTO else str(parse(name, param="language"))


def prompt_language(messages: Sequence[Message], options: Options) -> str | None:
    """The language in which a model is told of tools: the one that is named, or else the user's where that is sure.

    Raises:
        UnknownLanguage: none of that name.
    """
    return named_language(options) or language_of(messages)


def given_request(
    card: ModelCard, messages: Sequence[Message], tools: Sequence[GivenTool], choice: str, options: Options
) -> tuple[Generate, AnswerReader]:
    """`tool_request` with tools as a Python program gives them. Raises as `Model.chat`."""
    use = ToolUse.chosen(tools_of(tools), choice)
    return tool_request(card, messages, use, prompt_language(messages, options), options)


def answer_with_functions(
    model: Model,
    messages: Sequence[Message],
    functions: Iterable[Callable[..., Any]],
    *,
    approve: Callable[[ToolCall], bool],
    choice: str,
    limits: ToolRunConfig | None,
    options: Options,
) -> Answer:
    """See `Model.chat_with_tools`."""
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        raise InvalidRequest(
            "An event loop runs in this thread, and the answer would hold it up.",
            remedy="Use asyncio.to_thread(model.chat_with_tools, ...).",
        )

    async def ask(_tool: OfferedTool, call: ToolCall) -> Verdict:
        return "once" if approve(call) else "deny"

    toolbox = Toolbox([FunctionTools(functions)], limits)
    use = ToolUse.chosen(toolbox.tools, choice)
    language = prompt_language(messages, options)
    approval = Approval((), read_only_is_free=False, ask=ask)
    turns = list(messages)
    said: list[Piece] = []
    ends: list[Finished] = []
    runs: list[CallEnded] = []

    async def run() -> None:
        answers = ModelAnswers(model, language, **options)
        async for event in run_tools(answers, turns, use, toolbox, approval, language=language):
            match event:
                case Piece():
                    said.append(event)
                case Finished():
                    ends.append(event)
                case CallEnded():
                    runs.append(event)

    asyncio.run(run())
    return Answer.of_turns(said, ends, tuple(turns[len(messages) :]), tool_runs=tuple(runs))
