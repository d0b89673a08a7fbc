"""A conversation that is answered: what was said is sent, and the answer written down while it comes."""

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
from tui.faults import OVERFLOW, next_step
from tui.history.records import Entry, State
from tui.talk import Talk
from tui.tools import ChatTools


class Dialogue:
    """Answers what is said in the conversation of `talk`; `fault` is why an answer could not be written down."""

    def __init__(self, tools: ChatTools, talk: Talk, config: RunConfig | None = None) -> None:
        self.talk = talk
        self.fault: HistoryUnusable | None = None
        self._tools = tools
        self._config = config or RunConfig()

    async def answer(
        self, client: ChatClient, said: Entry, cut: Entry | None = None
    ) -> AsyncGenerator[Event[AnswerFinished]]:
        """What `ChatTools.answer` tells of the answer to `said`, or of how one to it goes on that was `cut`.

        What came of one that is closed or fails is kept.

        Raises:
            AnswerFailed: it broke off. Where the conversation does not fit, it goes on from before `said`.
            HistoryUnusable: what was said cannot be read.
        """
        talk, self.fault = self.talk, None
        turns = await talk.turns_to(cut or said)
        kept = await (talk.go_on(cut, client.model) if cut else talk.answer(said, client.model))
        answers = HttpAnswers(client, self._config, talk.choices, goes_on=cut is not None)
        ending: State = "stopped"
        told, is_too_long = "", False
        try:
            async with aclosing(self._tools.answer(answers, turns)) as events:
                async for event in events:
                    await kept.take(event)
                    yield event
            ending = "complete"
        except AnswerFailed as fault:
            ending, told, is_too_long = "failed", f"{fault} {next_step(fault)}", fault.code == OVERFLOW
            raise
        finally:
            # An answer that is stopped is written down to its end.
            await asyncio.shield(kept.finish(ending, told))
            talk.last = said.parent if is_too_long else kept.last
            self.fault = kept.fault
