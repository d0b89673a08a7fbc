"""Answers that beam search finds, as events of choices like all others."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec
from fastapi import Request

from runtime.api.streaming import generate_all
from runtime.engine.client import EngineClient
from runtime.engine.messages import Delta, Finished, Generate


async def search_all(
    client: EngineClient, prompts: Sequence[Generate], num_choices: int, http: Request
) -> AsyncGenerator[tuple[int, Delta | Finished]]:
    """Events of the answers to each of `prompts`, at most `num_choices` to one, with the index of the choice.

    Raises:
        DemoticError: one of them failed.
    """
    found: dict[int, list[Delta]] = {}
    async with aclosing(generate_all(client, prompts, http)) as events:
        async for at, event in events:
            if isinstance(event, Delta):
                found.setdefault(at, []).append(event)
                continue
            for delta in found.pop(at, []):
                if delta.found is not None:
                    usage = msgspec.structs.replace(event.usage, completion_tokens=delta.found.num_tokens)
                    index = at * num_choices + delta.found.index
                    yield index, delta
                    yield index, msgspec.structs.replace(event, reason=delta.found.reason, usage=usage)
