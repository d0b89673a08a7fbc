"""What is typed is remembered while it is typed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from runtime.errors import DemoticError
from tui.commands import registry
from tui.history.drafts import Draft
from tui.talk import Talk
from tui.widgets.message import Said
from tui.widgets.prompt import Prompt
from tui.widgets.turn import Turn

# What another chat kept from being written is written a moment later.
_RETRY_SECONDS = 0.2


def draft_in(prompt: Prompt, sent: Iterable[Said | None], edited: Turn | None) -> Draft:
    """What is typed, before it what is `sent` and not in the conversation yet; commands are left out."""
    waiting = [said.text for said in sent if said is not None and said.entry is None]
    typed = [text for text in (prompt.unsaid, prompt.value) if text and registry.called(text) is None]
    replaced = edited.entry.id if edited is not None and edited.entry is not None else None
    return Draft("\n\n".join([*waiting, *typed]), replaced, prompt.attached)


class Drafts:
    """Keeps what `typed` gives as the draft of a conversation, whenever that is another one.

    `lock` is held while another conversation is opened: what is typed is the one's until then, and the other's after.
    """

    def __init__(self, talk: Talk, typed: Callable[[], Draft]) -> None:
        self.lock = asyncio.Lock()
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
                async with self.lock:
                    if await self._talk.keep_draft(self._typed()):
                        continue
            except DemoticError:
                pass  # a disk that is full is told of with the next answer
            await asyncio.sleep(_RETRY_SECONDS)
            self._has_changed.set()
