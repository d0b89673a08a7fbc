"""A conversation without a screen: what was said so far, and how the next answer comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from runtime.chat.template import Message
from runtime.chat.tools.loop import Event
from runtime.config import RunConfig
from tui.answers import HttpAnswers
from tui.client import ChatClient
from tui.events import AnswerFailed, AnswerFinished
from tui.faults import OVERFLOW
from tui.tools import ChatTools


class Dialogue:
    """The turns of a conversation, which grow by each answer."""

    def __init__(self, tools: ChatTools, config: RunConfig | None = None) -> None:
        self._tools = tools
        self._config = config or RunConfig()
        self._turns: list[Message] = []

    def forget(self) -> None:
        """Begin anew."""
        self._turns = []

    async def answer(self, client: ChatClient, text: str) -> AsyncGenerator[Event[AnswerFinished]]:
        """What `ChatTools.answer` tells of the answer to `text`. What came of one that is closed or fails is kept.

        Raises:
            AnswerFailed: it broke off. Where the conversation does not fit, nothing of it is kept.
        """
        turns = [*self._turns, Message("user", text)]
        num_before = len(turns)
        try:
            async with aclosing(self._tools.answer(HttpAnswers(client, self._config), turns)) as events:
                async for event in events:
                    yield event
        except AnswerFailed as fault:
            if fault.code == OVERFLOW:
                del turns[num_before:]
            raise
        finally:
            # A question without any answer is not kept: many templates refuse two questions in a row.
            if len(turns) > num_before:
                self._turns = turns
