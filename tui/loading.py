"""How far demotic's server is with loading its model, asked again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tui.client import ChatClient
from tui.events import AnswerFailed, Endpoint

_SECONDS = 0.15


async def watch(endpoint: Endpoint, tell: Callable[[float], None]) -> None:
    """Tell the share that is loaded, from 0 to 1, each time that it has grown; until this is cancelled."""
    told = -1.0
    async with ChatClient(endpoint) as client:
        while True:
            try:
                models = await client.models()
            except AnswerFailed:  # it does not answer yet
                models = []
            share = models[0].demotic.progress if models and models[0].demotic else None
            if share is not None and share > told:
                told = share
                tell(share)
            await asyncio.sleep(_SECONDS)
