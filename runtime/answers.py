"""A model of this process as what answers a conversation with tools."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Unpack

from runtime.card import Options
from runtime.chat.answer import read_answer
from runtime.chat.prompt import ChatPrompt
from runtime.chat.reasoning import Piece
from runtime.chat.said import last_said
from runtime.chat.template import Message
from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.use import ToolUse
from runtime.engine.awaiting import stream_async
from runtime.engine.messages import Finished
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
        card = self._model.card
        prompt = ChatPrompt.render(card.template, messages, tools=tools, language=self._prompt_language)
        request = card.prompt_request(prompt, last_said(messages), **self._options)
        async with aclosing(stream_async(self._model.client, request)) as events:
            async for found in read_answer(events, prompt.reader()):
                yield found
