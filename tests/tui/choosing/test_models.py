"""The model picker: what is here and what is not, with the real commands in child processes and a hub on this machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.widgets import ProgressBar

from runtime.errors import DemoticError
from tests.fakes.hub import FakeHub
from tests.tui.endpoint import FakeEndpoint
from tests.tui.test_app import say, screen, until
from tui.app import ChatApp
from tui.bidi import displayed
from tui.choosing import offers
from tui.events import Endpoint
from tui.front_door import output_of
from tui.screens.models import ModelPicker
from tui.words import _, use

LISTED = {
    "default": "small",
    "models": [
        {"name": "small", "license": "Apache-2.0", "languages": ["eng_Latn"], "size_bytes": 98_000_000, "task": "chat",
         "fit": {"fits": True}},
    ],
    "available": [
        {"name": "bulgarian", "license": "Gemma", "languages": ["bul_Cyrl", "eng_Latn"], "size_bytes": 1_700_000_000,
         "task": "chat", "fit": {"fits": True, "is_estimate": True}},
        {"name": "huge", "license": None, "size_bytes": 90_000_000_000, "task": "chat",
         "fit": {"fits": False, "is_estimate": True, "reason": "Too large."}},
        {"name": "vectors", "license": "MIT", "task": "embedding", "fit": {"fits": True}},
    ],
}  # fmt: skip


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list without a child process."""

    async def output(*arguments: str, on_line: Callable[[str], None] | None = None) -> bytes:
        assert arguments == ("list", "--fit", "--json")
        return json.dumps(LISTED).encode()

    monkeypatch.setattr(offers, "output_of", output)


def switching(fake: FakeEndpoint, asked: list[str]) -> Callable[[str], Awaitable[Endpoint]]:
    async def switch(model: str) -> Endpoint:
        asked.append(model)
        if model == "broken":
            raise DemoticError("The model 'broken' is damaged.")
        fake.models = [{"id": model.rpartition("/")[2], "object": "model"}]
        return Endpoint(fake.url, "the-key", (f"{model} is licensed.",))

    return switch


@pytest.mark.usefixtures("canned")
async def test_the_picker_shows_size_languages_licence_and_whether_it_fits(fake: FakeEndpoint) -> None:
    app = ChatApp(fake.connect, switch=switching(fake, []))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, "ready")
        await say(pilot, "/model")
        shown = await until(
            app,
            "small · here · 98 MB · fits",
            "Apache-2.0 · English",
            "bulgarian · to download · 1.70 GB · probably fits",
            "Gemma · Bulgarian · English",
            "huge · to download · 90.00 GB · probably does not fit",
            "licence not known",
        )
        assert "vectors" not in shown


@pytest.mark.usefixtures("canned")
async def test_it_is_searched_by_name_licence_and_language_in_any_script(fake: FakeEndpoint) -> None:
    use("ar")
    app = ChatApp(fake.connect, switch=switching(fake, []))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, "fake-model")
        await say(pilot, "/model")
        await until(app, displayed(_("Choose a model")), "huge")
        for typed in ("البلغارية", "gemma", "BULG", "gemma bulg"):
            app.screen.query_one("Field").value = typed  # type: ignore[attr-defined]  # it is a Field
            async with asyncio.timeout(10):
                while "small" in screen(app) or "huge" in screen(app):
                    await asyncio.sleep(0.02)
            assert "bulgarian" in screen(app)


@pytest.mark.usefixtures("canned")
async def test_choosing_one_that_is_here_switches_and_messages_wait(fake: FakeEndpoint) -> None:
    fake.script = [["Before"], ["After."]]
    asked: list[str] = []
    app = ChatApp(fake.connect, switch=switching(fake, asked))
    async with app.run_test(size=(80, 24)) as pilot:
        await say(pilot, "One")
        await until(app, "Before", "ready")
        await say(pilot, "/model")
        await until(app, "small · here")
        await pilot.press("enter")
        await until(app, "small is licensed.", "small · ready")
        await say(pilot, "Two")
        await until(app, "After.")
    assert asked == ["small"]
    assert [request["model"] for request in fake.requests] == ["fake-model", "small"]
    assert fake.messages(1) == ["One", "Before", "Two"]


@pytest.mark.usefixtures("canned")
async def test_a_model_that_does_not_start_leaves_the_one_before(fake: FakeEndpoint) -> None:
    fake.script = [["Still here."]]
    app = ChatApp(fake.connect, switch=switching(fake, []))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, "fake-model · ready")
        await app.switch_model("broken")
        await until(app, "The model 'broken' is damaged.", "fake-model · ready")
        await say(pilot, "One")
        await until(app, "Still here.")


async def test_a_reference_of_the_hub_is_looked_up_asked_about_and_downloaded(
    hub: FakeHub, fake: FakeEndpoint, tmp_path: Path
) -> None:
    asked: list[str] = []
    app = ChatApp(fake.connect, switch=switching(fake, asked))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, "ready")
        await say(pilot, "/model")
        await until(app, "qwen3-0.6b", seconds=30)
        await pilot.press(*"a/b")
        await until(app, "hf:a/b", "look for it")
        await pilot.press("enter")
        shown = await until(app, "Download m?", "Licence: apache-2.0", "Size: 0 MB", "From: hf:a/b", seconds=30)
        assert "This machine: probably fits" in shown
        assert hub.downloads() == []
        await pilot.press("enter")
        await until(app, "m is licensed.", seconds=30)
    assert asked == ["m"]
    assert list((tmp_path / "cache").rglob("m.gguf"))


async def test_escape_cancels_a_download_keeps_the_part_and_the_next_one_goes_on(
    hub: FakeHub, fake: FakeEndpoint, tmp_path: Path
) -> None:
    hub.cut_after, hub.num_cuts = 4000, 1  # then the command waits a second before it goes on
    app = ChatApp(fake.connect, switch=switching(fake, []))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, "ready")
        await say(pilot, "/model hf:a/b")
        await until(app, "Download m?", seconds=30)
        await pilot.press("enter")
        async with asyncio.timeout(30):
            while not (parts := list((tmp_path / "cache").rglob("*.partial"))) or parts[0].stat().st_size < 4000:
                await asyncio.sleep(0.02)
        assert app.screen.query_one(ProgressBar).display
        await pilot.press("escape")
        await pilot.pause()
        assert screen(app).count("Download m?") == 0
        await say(pilot, "/model hf:a/b")
        await until(app, "Download m?", "Here already: 0 MB", seconds=30)
        await pilot.press("enter")
        await until(app, "m is licensed.", seconds=30)
    assert [request.range for request in hub.downloads()] == [None, "bytes=4000-"]


async def test_what_is_not_there_is_told_in_the_picker_and_in_the_conversation(
    hub: FakeHub, fake: FakeEndpoint
) -> None:
    app = ChatApp(fake.connect, switch=switching(fake, []))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, "ready")
        await say(pilot, "/model")
        await until(app, "qwen3-0.6b", seconds=30)
        await pilot.press(*"a/none", "enter")
        await until(app, "There is no model", seconds=30)
        assert isinstance(app.screen, ModelPicker)
        await pilot.press("escape")
        await say(pilot, "/model nonsense")
        await until(app, "There is no model", seconds=30)


async def test_a_command_that_fails_gives_its_own_sentence() -> None:
    with pytest.raises(DemoticError, match=r"There is no model named 'x\.y'"):
        await output_of("show", "--json", "x.y")
