"""The first chat: what it will use is shown before anything is fetched, with the real commands and a hub on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.errors import DemoticError
from tests.fakes.hub import FakeHub
from tests.tui.endpoint import KEY, FakeEndpoint
from tests.tui.test_app import say, until
from tui.app import ChatApp
from tui.choosing.facts import facts_of
from tui.choosing.offers import Fit, Offer
from tui.events import Endpoint
from tui.plain.starting import endpoint_of
from tui.switching import SwitchedServer

ROOT = Path(__file__).parents[2]
MISSING = DemoticError("The model 'hf:a/b' is not on this machine.")


@pytest.fixture
def hub(hub: FakeHub, tmp_path: Path) -> FakeHub:
    """The hub, whose model is the default one."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text('default_model = "hf:a/b"\n')
    return hub


def chat(fake: FakeEndpoint, asked: list[str]) -> ChatApp:
    """A chat whose own server does not start before its model is here."""

    async def connect() -> Endpoint:
        raise MISSING

    async def switch(model: str) -> Endpoint:
        asked.append(model)
        return Endpoint(fake.url, KEY)

    return ChatApp(connect, switch=switch)


async def test_the_first_chat_shows_what_it_will_use_and_downloads_it_when_that_is_wanted(
    hub: FakeHub, fake: FakeEndpoint, tmp_path: Path
) -> None:
    fake.script = [["Hello."]]
    asked: list[str] = []
    app = chat(fake, asked)
    async with app.run_test(size=(120, 30)) as pilot:
        await say(pilot, "Hi")
        await until(app, "Download m?", "Licence: apache-2.0", "Size: 0 MB", "From: hf:a/b", seconds=30)
        await until(app, "To:", "cache/models/hub", "This machine: probably fits", "Enter downloads · Esc cancels")
        assert hub.downloads() == []
        await pilot.press("enter")
        await until(app, "Hello.", "fake-model · ready", seconds=30)
    assert asked == ["m"]
    assert app.start_fault is None
    assert list((tmp_path / "cache").rglob("m.gguf"))


async def test_whoever_does_not_want_it_has_nothing_downloaded_and_may_choose_another(
    hub: FakeHub, fake: FakeEndpoint
) -> None:
    asked: list[str] = []
    app = chat(fake, asked)
    async with app.run_test(size=(120, 30)) as pilot:
        await until(app, "Download m?", seconds=30)
        await pilot.press("escape")
        await until(app, "Nothing was downloaded. /model chooses another model; Ctrl-Q quits.", "not started")
        app.conversation.prompt.value = "draft"
        assert "draft" in await until(app, "draft")
        assert await app.switch_model("other")
        await until(app, "fake-model · ready")
    assert hub.downloads() == []
    assert asked == ["other"]


async def test_a_hub_that_has_no_such_model_is_told(hub: FakeHub, fake: FakeEndpoint) -> None:
    del hub.repositories["a/b"]
    app = chat(fake, [])
    async with app.run_test(size=(120, 30)):
        shown = await until(app, "a/b", "Ctrl-Q quits.", "not started", seconds=30)
        assert "Download" not in shown
    assert app.start_fault is not None


class Lines:
    """A person at a terminal who says these lines."""

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)
        self.told: list[str] = []

    async def read(self) -> bytes | None:
        return self.lines.pop(0).encode() if self.lines else None


class Unstarted(SwitchedServer):
    """The chat's own server, whose model is not here."""

    def __init__(self, fake: FakeEndpoint) -> None:
        super().__init__(None)
        self.fake = fake
        self.asked: list[str] = []

    async def endpoint(self) -> Endpoint:
        raise MISSING

    async def switch(self, model: str) -> Endpoint:
        self.asked.append(model)
        return Endpoint(self.fake.url, KEY)


async def test_without_a_screen_the_question_is_a_line(hub: FakeHub, fake: FakeEndpoint) -> None:
    server = Unstarted(fake)
    person = Lines("what?", "no")
    with pytest.raises(DemoticError, match=r"Nothing was downloaded\. Name another model"):
        await endpoint_of(server, person.told.append, person.read)
    assert person.told[0] == "Download m?"
    assert "Licence: apache-2.0" in person.told
    assert person.told.count("y/1 yes · n/2 no") == 2, "what is neither is asked again"
    assert (hub.downloads(), server.asked) == ([], [])
    person = Lines("y")
    assert (await endpoint_of(server, person.told.append, person.read)).url == fake.url
    assert server.asked == ["m"]
    assert any(" of " in line for line in person.told), "how far it is"
    with pytest.raises(DemoticError, match="not on this machine"):
        await endpoint_of(server, person.told.append, None)


def test_a_pipe_is_told_what_to_do(hub: FakeHub) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demotic", "chat", "hf:a/b", "Hi there"],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "not on this machine. Run `demotic pull hf:a/b`." in done.stderr
    assert hub.downloads() == []


def test_all_that_is_known_is_told() -> None:
    offer = Offer(
        "gemma",
        title="Gemma 3",
        source="hf:g/g",
        license="Gemma",
        license_url="https://x",
        languages=["bul_Cyrl"],
        size_bytes=2 * 10**9,
        task="completion",
        gated=True,
        notes="Old.",
        fit=Fit(False, reason="Too large."),
        partial_bytes=10**6,
        destination="/m/g.gguf",
    )
    assert facts_of(offer) == [
        "What it is: Gemma 3, a base model, which continues texts",
        "Licence: Gemma (https://x)",
        "Size: 2.00 GB",
        "From: hf:g/g",
        "To: /m/g.gguf",
        "Here already: 1 MB",
        "Languages: Bulgarian",
        "This machine: does not fit: Too large.",
        "The hub wants its licence accepted first, with an account.",
        "Old.",
    ]
    unknown = facts_of(Offer("m", title="m"))
    assert unknown[:2] == ["Licence: not known: read it at its source before you use the model", "Size: not known"]
