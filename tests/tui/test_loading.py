"""The chat's own server tells how much of its model is loaded."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from tests.tui import foreign
from tests.tui.foreign import VLLM
from tui.events import Endpoint
from tui.loading import watch
from tui.server import PrivateServer


def listed(share: float | None) -> str:
    return json.dumps({"data": [{"id": "m", "demotic": {"status": "loading", "progress": share}}]})


async def test_what_is_loaded_is_told_each_time_that_it_has_grown() -> None:
    told: list[float] = []
    with foreign.running(replace(VLLM, models="", seen=[])) as server:
        watching = asyncio.create_task(watch(Endpoint(server.url, "k"), told.append))
        for share, num_told in ((None, 0), (0.25, 1), (0.25, 1), (0.75, 2), (None, 2)):
            num_seen = len(server.seen)
            server.models = listed(share)
            async with asyncio.timeout(20):
                # One question may have been on its way before.
                while len(server.seen) < num_seen + 3:
                    await asyncio.sleep(0.02)
            assert len(told) == num_told
        watching.cancel()
    assert told == [0.25, 0.75]


async def test_the_private_server_tells_how_far_it_is_and_keeps_that_out_of_the_notices() -> None:
    told: list[float] = []
    async with PrivateServer("gemma-3-270m") as server:
        server.on_share = told.append
        endpoint = await server.endpoint()
    assert told == sorted(told)
    assert told
    assert all(0 <= share <= 1 for share in told)
    assert not any("tells how far" in notice for notice in endpoint.notices)
