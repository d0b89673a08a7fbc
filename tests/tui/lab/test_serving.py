"""The chat's own server with more than one model: started anew with one more, and back to what it was on a fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

import tui.switching
from runtime.errors import DemoticError
from tests.tiny.gguf import write_tiny_gguf, write_tiny_lora
from tui.client import ChatClient
from tui.events import Endpoint
from tui.switching import SwitchedServer


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str | None, ...]]:
    """The models of each server that was started, in the place of starting one; one called broken does not start."""
    found: list[tuple[str | None, ...]] = []

    class Started:
        on_share: Callable[[float], None]

        def __init__(self, *models: str | None, adapter_dir: Path | None = None) -> None:
            self._models = models

        async def __aenter__(self) -> Self:
            found.append(self._models)
            return self

        async def __aexit__(
            self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
        ) -> None:
            pass

        async def endpoint(self) -> Endpoint:
            if "broken" in self._models:
                raise DemoticError("It is damaged.")
            return Endpoint(f"http://{len(found)}", "")

    monkeypatch.setattr(tui.switching, "PrivateServer", Started)
    return found


async def test_one_more_model_stands_behind_those_that_are_there(started: list[tuple[str | None, ...]]) -> None:
    async with SwitchedServer(None) as server:
        await server.endpoint()
        assert (await server.add("second", "default")).url == "http://2"
        assert (await server.add("third", "default")).url == "http://3"
        await server.switch("other")
    assert started == [(None,), ("default", "second"), ("default", "second", "third"), ("other",)]


async def test_what_does_not_start_leaves_those_before(started: list[tuple[str | None, ...]]) -> None:
    async with SwitchedServer("first") as server:
        with pytest.raises(DemoticError, match="damaged"):
            await server.add("broken", "first")
        assert (await server.endpoint()).url == "http://3"
    assert started == [("first",), ("first", "broken"), ("first",)]


async def test_adapters_of_a_folder_can_be_chosen_also_after_a_switch(tmp_path: Path) -> None:
    for name in ("tiny", "other"):
        write_tiny_gguf(tmp_path / f"{name}.gguf")
    (tmp_path / "adapters").mkdir()
    write_tiny_lora(tmp_path / "adapters" / "north.gguf", tmp_path / "tiny.gguf", seed=1)
    async with SwitchedServer(str(tmp_path / "tiny.gguf"), adapter_dir=tmp_path / "adapters") as server:
        assert await _adapters(await server.endpoint()) == ["tiny:north"]
        assert await _adapters(await server.switch(str(tmp_path / "other.gguf"))) == ["other:north"]


async def _adapters(endpoint: Endpoint) -> list[str]:
    async with ChatClient(endpoint) as client:
        return [model.id for model in await client.models() if model.parent is not None]
