"""What a server that the chat has joined offers: its models and their adapters; the lock and sampling on any."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tui.endpoint import FakeEndpoint
from tests.tui.test_app import say, screen, until, until_so
from tui.app import ChatApp
from tui.bidi import displayed
from tui.screens.lock import LockPicker
from tui.screens.sampling import SamplingPanel
from tui.words import _, use

DETAILS: dict[str, Any] = {"capabilities": ["chat"], "languages": ["bul_Cyrl"], "license": "Gemma", "size_bytes": 10**9}
MODELS: list[dict[str, Any]] = [
    {"id": "gemma", "demotic": DETAILS | {"adapters": ["mk", "law"]}},
    {"id": "gemma:mk", "parent": "gemma", "demotic": DETAILS},
    {"id": "gemma:law", "parent": "gemma", "demotic": DETAILS},
    {"id": "vectors", "demotic": {"capabilities": ["embedding"]}},
    {"id": "foreign"},
]


@pytest.fixture
def served(fake: FakeEndpoint) -> FakeEndpoint:
    fake.models = MODELS
    fake.script = [["One."], ["Two."], ["Three."]]
    return fake


async def test_a_joined_server_offers_its_own_models_alone(served: FakeEndpoint) -> None:
    app = ChatApp(served.connect)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, "gemma · ready")
        await say(pilot, "/model")
        shown = await until(app, "gemma · in use · 1.00 GB", "Gemma · Bulgarian", "foreign")
        assert "vectors" not in shown
        assert "gemma:mk" not in shown
        await pilot.press(*"fore", "enter")
        await until(app, "foreign · ready")
        await say(pilot, "Hi")
        await until(app, "One.")
        await say(pilot, "/model nothing")
        await until(app, "The server has no model 'nothing'. It has gemma, gemma:mk")
    assert served.requests[0]["model"] == "foreign"


async def test_an_adapter_of_the_model_is_chosen_and_put_away(served: FakeEndpoint) -> None:
    app = ChatApp(served.connect)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, "gemma · ready")
        await say(pilot, "/adapter")
        await until(app, "Choose an adapter of gemma", "no adapter · in use", "mk", "law")
        await pilot.press("down", "enter")
        await until(app, "gemma · mk · ready")
        await say(pilot, "Hi")
        await until(app, "One.", "ready")
        await say(pilot, "/adapter law")
        await until(app, "gemma · law · ready")
        await say(pilot, "Hi")
        await until(app, "Two.", "ready")
        await say(pilot, "/adapter none")
        await until(app, "gemma · ready")
        await say(pilot, "/adapter nothing")
        await until(app, "There is no adapter 'nothing'. There are mk, law.")
        await say(pilot, "/model foreign")
        await until(app, "foreign · ready")
        await say(pilot, "/adapter")
        await until(app, "foreign has no adapters here.")
    assert [request["model"] for request in served.requests] == ["gemma:mk", "gemma:law"]


async def test_names_of_models_and_adapters_are_completed(served: FakeEndpoint) -> None:
    app = ChatApp(served.connect)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, "gemma · ready")
        app.conversation.prompt.value = "/adapter "
        await until(app, "none", "law")
        app.conversation.prompt.value = "/model f"
        await until(app, " foreign")
        await pilot.press("tab")
        assert app.conversation.prompt.value == "/model foreign"
        app.conversation.prompt.value = "/sampling rep"
        await until(app, " repetition_penalty")
        app.conversation.prompt.value = "/lock bul"
        await until(app, " bul_Cyrl")


async def test_the_lock_is_chosen_by_a_language_s_name_in_the_interface_s_language(served: FakeEndpoint) -> None:
    use("ar")
    app = ChatApp(served.connect)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, "gemma")
        await say(pilot, "/lock")
        await until(app, displayed(_("off") + " · " + _("in use")))
        app.screen.query_one("Field").value = "البلغارية"  # type: ignore[attr-defined]  # it is a Field
        await until(app, "български")
        await pilot.press("tab")
        assert isinstance(app.screen, LockPicker)
        assert app.screen.mode == "hard"
        await pilot.press("enter")
        await until(app, *displayed("البلغارية").split())
        await say(pilot, "Hi")
        await until(app, "One.", displayed(_("ready")))
        await say(pilot, "/lock soft")
        await say(pilot, "/lock auto")
        await say(pilot, "Hi")
        await until(app, "Two.", displayed(_("ready")))
        await say(pilot, "/lock off")
        await say(pilot, "Hi")
        await until(app, "Three.")
    said = [{key: request[key] for key in ("language", "mode") if key in request} for request in served.requests]
    assert said == [{"language": "bul_Cyrl", "mode": "hard"}, {"language": "auto", "mode": "soft"}, {}]


async def test_what_answers_are_locked_to_stands_in_the_status_line(served: FakeEndpoint) -> None:
    app = ChatApp(served.connect)
    async with app.run_test(size=(140, 24)) as pilot:
        await until(app, "ready")
        await say(pilot, "/lock bul hard")
        await until(app, "bul_Cyrl (locked)")
        await say(pilot, "/lock off")
        await until_so(lambda: "(locked)" not in screen(app))


async def test_a_language_that_is_not_in_the_list_is_found_by_its_code(served: FakeEndpoint) -> None:
    app = ChatApp(served.connect)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, "ready")
        await say(pilot, "/lock")
        await until(app, "Afrikaans")
        await pilot.press(*"srp_Latn")
        await until(app, "srp_Latn")
        await pilot.press("enter")
        await until(app, "Answers stay in the script of Serbian (Latin)")
        await say(pilot, "/lock tlhx hard")
        await until(app, "There is no language 'tlhx'.")
    assert app.conversation.choices.lock is not None
    assert app.conversation.choices.lock.language == "srp_Latn"


async def test_sampling_is_checked_as_it_is_typed_and_sent_once_it_is_kept(served: FakeEndpoint) -> None:
    app = ChatApp(served.connect)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, "ready")
        await say(pilot, "/sampling")
        await until(app, "temperature", "0 always takes the likeliest token")
        await pilot.press(*"3", "enter")
        await until(app, "'3' does not fit temperature: a number from 0 to 2.")
        assert isinstance(app.screen, SamplingPanel)
        await pilot.press("backspace", *"0,5", "down", "down", *"40", "up", "shift+tab", "tab", *"0.9", "enter")
        await until(app, "Sampling: temperature 0.5, top_p 0.9, top_k 40.")
        await say(pilot, "Hi")
        await until(app, "One.", "ready")
        await say(pilot, "/sampling seed 7")
        await say(pilot, "/sampling temperature")
        await until(app, "Sampling: top_p 0.9, top_k 40, seed 7.")
        await say(pilot, "Hi")
        await until(app, "Two.", "ready")
        await say(pilot, "/sampling reset")
        await until(app, "Sampling: all by default.")
        await say(pilot, "/sampling top_k x")
        await until(app, "'x' does not fit top_k: a whole number from 0.")
    first, second = served.requests
    assert (first["temperature"], first["top_p"], first["top_k"]) == (0.5, 0.9, 40)
    assert (second["temperature"], second["top_p"], second["top_k"], second["seed"]) == (0.7, 0.9, 40, 7)


@pytest.mark.parametrize("code", ["en", "ar", "ja", "bg"])
async def test_every_panel_fits_80_columns_in_the_interface_s_language(served: FakeEndpoint, code: str) -> None:
    use(code)
    app = ChatApp(served.connect)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, "gemma")
        for command in ("/model", "/adapter", "/lock", "/sampling", "/theme", "/keys", "/palette"):
            await say(pilot, command)
            while app.screen is app.conversation:
                await pilot.pause(0.02)
            await pilot.pause()
            rows = screen(app).splitlines()
            assert any(row.startswith("╰") and row.endswith("╯") for row in rows), command
            await pilot.press("escape")
            await pilot.pause()
