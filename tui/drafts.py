"""What is typed is remembered while it is typed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from runtime.errors import DemoticError
from tui.talk import Talk

# What another chat kept from being written is written a moment later.
_RETRY_SECONDS = 0.2


class Drafts:
    """Keeps what `typed` gives as the draft of a conversation, whenever that is another one."""

    def __init__(self, talk: Talk, typed: Callable[[], str]) -> None:
        self._talk = talk
        self._typed = typed
        self._has_changed = asyncio.Event()

    def change(self) -> None:
        """Something was typed, or sent."""
        self._has_changed.set()

    async def keep(self) -> None:
        """Write down what is typed, until this is cancelled."""
        while True:
            await self._has_changed.wait()
            self._has_changed.clear()
            try:
                if await self._talk.keep_draft(self._typed()):
                    continue
            except DemoticError:
                pass  # a disk that is full is told of with the next answer
            await asyncio.sleep(_RETRY_SECONDS)
            self._has_changed.set()
