"""A conversation without a screen: what is said is remembered, answered, and the answer written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from runtime.chat.tools.loop import Event
from runtime.config import RunConfig
from runtime.errors import HistoryUnusable
from tui.answers import HttpAnswers
from tui.client import ChatClient
from tui.events import AnswerFailed, AnswerFinished
from tui.faults import OVERFLOW
from tui.history.records import State
from tui.talk import Talk
from tui.tools import ChatTools


class Dialogue:
    """Answers what is said in the conversation of `talk`; `fault` is why an answer could not be written down."""

    def __init__(self, tools: ChatTools, talk: Talk, config: RunConfig | None = None) -> None:
        self.talk = talk
        self.fault: HistoryUnusable | None = None
        self._tools = tools
        self._config = config or RunConfig()

    async def answer(self, client: ChatClient, text: str) -> AsyncGenerator[Event[AnswerFinished]]:
        """What `ChatTools.answer` tells of the answer to `text`. What came of one that is closed or fails is kept.

        Raises:
            AnswerFailed: it broke off. Where the conversation does not fit, it goes on from before `text`.
            HistoryUnusable: what was said cannot be remembered.
        """
        said = await self.talk.say(text)
        turns = await self.talk.turns_to(said)
        kept = await self.talk.answer(said, client.model)
        ending: State = "stopped"
        told, is_too_long = "", False
        try:
            async with aclosing(
                self._tools.answer(HttpAnswers(client, self._config, self.talk.choices), turns)
            ) as events:
                async for event in events:
                    await kept.take(event)
                    yield event
            ending = "complete"
        except AnswerFailed as fault:
            ending, told, is_too_long = "failed", str(fault), fault.code == OVERFLOW
            raise
        finally:
            # An answer that is stopped is written down to its end.
            await asyncio.shield(kept.finish(ending, told))
            self.talk.last = said.parent if is_too_long else kept.last
            self.fault = kept.fault
