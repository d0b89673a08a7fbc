"""The tools of a chat: they run in its own process, whatever endpoint answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Self

from runtime.chat.said import language_of
from runtime.chat.template import Message
from runtime.chat.tools.approval import Approval, Ask
from runtime.chat.tools.loop import Answers, EndT, Event, run_tools
from runtime.chat.tools.settings import ToolSettings
from runtime.chat.tools.toolbox import Toolbox, open_toolbox
from runtime.chat.tools.use import ToolUse


class ChatTools:
    """The tools that `settings` name, of which there may be none, while this context manager is entered.

    Entering returns at once; `open` waits until they are there. What is always allowed is so for the whole chat.
    `choice` is that of each answer's first turn, as `ToolUse.chosen` takes it.
    """

    def __init__(self, settings: ToolSettings | None = None, *, choice: str = "auto") -> None:
        self._settings = settings or ToolSettings()
        self._choice = choice
        self._stack = AsyncExitStack()
        self._opening: asyncio.Task[Toolbox] | None = None
        self._toolbox = Toolbox(())
        self._use = ToolUse()
        self._approval = Approval((), read_only_is_free=False)

    async def __aenter__(self) -> Self:
        self._opening = asyncio.create_task(self._stack.enter_async_context(open_toolbox(self._settings)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        await self._stack.aclose()

    async def open(self, ask: Ask | None = None) -> None:
        """Wait for the tools; `ask` decides on those that nobody has approved, and without it they are denied.

        Raises:
            ConfigurationInvalid, ToolServerFailed: they cannot be used.
            InvalidRequest: no model can be told of them, or the choice is none of them.
        """
        if self._opening is None:
            return
        self._toolbox = await asyncio.shield(self._opening)
        self._use = ToolUse.chosen(self._toolbox.tools, self._choice)
        settings = self._settings
        self._approval = Approval(settings.approve, read_only_is_free=settings.approve_read_only, ask=ask)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that models call."""
        return tuple(self._toolbox.offered)

    @property
    def num_unasked(self) -> int:
        """How many calls were denied because there is nobody to ask."""
        return self._approval.num_unasked

    async def answer(self, model: Answers[EndT], turns: list[Message]) -> AsyncGenerator[Event[EndT]]:
        """What `run_tools` tells of the answer to a conversation, which grows by it."""
        language = await asyncio.to_thread(language_of, turns) if self.names else None
        events = run_tools(model, turns, self._use, self._toolbox, self._approval, language=language)
        async with aclosing(events):
            async for event in events:
                yield event
