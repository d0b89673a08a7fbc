"""The lab on the screen: what a person does in it, and what it shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from runtime.errors import DemoticError
from tests.tui.choosing.test_models import LISTED
from tests.tui.endpoint import KEY, WAIT, FakeEndpoint
from tests.tui.test_app import screen, until, until_so
from tui.app import ChatApp
from tui.bidi import displayed
from tui.choosing import offers
from tui.events import Endpoint
from tui.lab import saving
from tui.lab.card import read_card
from tui.lab.screen import LabScreen
from tui.lab.view import ColumnView
from tui.widgets.prompt import Prompt
from tui.words import LANGUAGES, _, use

WIDE, NARROW = (140, 45), (80, 24)
DETAILS: dict[str, Any] = {"capabilities": ["chat"], "adapters": ["law", "mk"]}


@pytest.fixture(autouse=True)
def _own_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is known at once."""

    async def told() -> dict[str, Any]:
        return {"cpu": "A processor", "usable_cpus": 2, "memory_bytes": 8 * 10**9}

    monkeypatch.setattr(saving, "fingerprint", told)


async def say(pilot: Pilot[None], text: str) -> None:
    """Write in the prompt of the screen that is on top."""
    pilot.app.screen.query_one(Prompt).insert_text_at_cursor(text)
    await pilot.press("enter")


async def opened(app: ChatApp, pilot: Pilot[None]) -> LabScreen:
    await until_so(lambda: app.conversation.state == "ready")
    await say(pilot, "/lab")
    await until(app, "1 · small", "2 · small")
    assert isinstance(app.screen, LabScreen)
    return app.screen


async def test_columns_stream_side_by_side_and_show_their_figures_and_fidelity(fake: FakeEndpoint) -> None:
    fake.script = [["Столицата на България ", "е **София**.", WAIT], ["The capital ", "is Sofia."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=WIDE) as pilot:
        lab = await opened(app, pilot)
        shown = screen(app)
        assert "Language lab: one after the other, so that figures can be compared" in shown
        assert re.search(r"1 · small +× .*2 · small +×", shown)
        assert re.search(r"Lock: none .*Lock: the language of the message, hard", shown)
        await say(pilot, "Коя е столицата на България?")
        shown = await until(app, "Столицата на България е София.", "answering", "waits for its turn")
        assert "capital" not in shown
        fake.go_on.set()
        shown = await until(app, "100% in Bulgarian", "0% in Bulgarian · mostly in English · 17")
        assert re.search(r"Столицата на България е София\. .*The capital is Sofia\.", shown)
        assert re.search(r"3 tokens · 34 characters · 34 graphemes .*2 tokens · 21 characters", shown)
        assert len(re.findall(r"[\d.]+ tokens/s, [\d.]+ characters/s", shown)) == 2
        assert len(re.findall(r"first after [\d.]+ s", shown)) == 2
        assert not lab.lab.is_running


async def test_an_answer_longer_than_its_column_is_followed_and_scrolled_by_keys(fake: FakeEndpoint) -> None:
    fake.script = [["\n\n".join(f"Line {number}" for number in range(60)), WAIT, "\n\nEnd."], ["Short."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=NARROW) as pilot:
        await opened(app, pilot)
        await say(pilot, "Hi")
        assert "Line 20 " not in await until(app, "Line 59")
        for _press in range(20):
            await pilot.press("pageup")
        await until(app, "Line 0 ")
        fake.go_on.set()
        assert "Line 0 " in await until(app, "Short."), "what comes does not scroll on"


async def test_models_languages_locks_and_adapters_are_chosen_by_keys_commands_and_mouse(fake: FakeEndpoint) -> None:
    fake.models = [
        {"id": "small", "demotic": DETAILS},
        {"id": "small:law", "parent": "small", "demotic": DETAILS},
        {"id": "large"},
    ]
    fake.script = [["warm"], ["One."], ["Two."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=WIDE) as pilot:
        lab = await opened(app, pilot)
        await until(app, "Adapter: no adapter")
        await pilot.press("f4")
        await until(app, "Ask for answers in a language", "as the prompt has it · in use")
        await pilot.press(*"bulg", "enter")
        await until(app, "Language: Bulgarian · български")
        await pilot.press("f6")
        await until(app, "Choose an adapter of small")
        await pilot.press("down", "enter")
        await until(app, "Adapter: law")
        await pilot.press("alt+right", "f3")
        await until(app, "Choose a model of the server", "small · in use")
        await pilot.press(*"large", "enter")
        await until(app, "2 · large")
        await pilot.click([*lab.query(".lock")][1])
        await until(app, "Keep answers in the script of a language", "the language of the message · in use")
        await pilot.press(*"off", "enter")
        await until_so(lambda: lab.lab.columns[1].lock is None)
        await say(pilot, "/lock jpn soft")
        await until(app, "Lock: Japanese · 日本語, soft")
        await say(pilot, "/sampling temperature 0")
        await until(app, "Sampling: temperature 0")
        await say(pilot, "Hi")
        await until(app, "One.", "Two.")
    assert fake.loaded == ["small:law"]
    _warm, first, second = fake.requests
    assert (first["model"], first["messages"][0]["content"]) == ("small:law", "Отговаряй само на български език.")
    assert (second["model"], second["language"], second["mode"]) == ("large", "jpn_Jpan", "soft")
    assert first["temperature"] == second["temperature"] == 0


async def test_columns_are_added_and_taken_away(fake: FakeEndpoint) -> None:
    app = ChatApp(fake.connect)
    async with app.run_test(size=WIDE) as pilot:
        lab = await opened(app, pilot)
        await pilot.press("ctrl+t")
        await until(app, "3 · small")
        await pilot.click(next(iter(lab.query("Bar Horizontal Link"))))
        await until(app, "4 · small")
        await pilot.press("ctrl+t")
        await until(app, "There are at most 4 columns.")
        await pilot.click(next(iter(lab.query(".remove"))))
        await until_so(lambda: len(lab.query(ColumnView)) == 3)
        assert "4 · small" not in screen(app)
        await pilot.press("ctrl+r")
        await until_so(lambda: len(lab.query(ColumnView)) == 2)
        await pilot.press("ctrl+r")
        await until(app, "There are at least 2 columns.")


async def test_escape_stops_a_column_then_all_then_leaves_and_all_is_there_again(fake: FakeEndpoint) -> None:
    fake.script = [["One ", WAIT, "never"], ["Two ", WAIT, "never"]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=WIDE) as pilot:
        lab = await opened(app, pilot)
        await say(pilot, "/add")
        await until(app, "3 · small")
        await pilot.press("alt+left")
        await say(pilot, "Hi")
        await until(app, "One")
        await pilot.press("ctrl+t")
        await until(app, "The columns are answering. Esc stops an answer.")
        await pilot.press("escape")
        await until(app, "stopped", "Two")
        await pilot.press("escape")
        await until_so(lambda: not lab.lab.is_running)
        assert [trial and trial.state for trial in lab.lab.trials] == ["stopped"] * 3
        await pilot.press("escape")
        await until(app, "small · ready")
        await say(pilot, "/lab")
        shown = await until(app, "3 · small", "One", "Two")
        assert shown.count("stopped") == 3


async def test_a_column_that_fails_says_why_and_what_to_do_and_the_next_one_answers(fake: FakeEndpoint) -> None:
    fake.script = [{"message": "The model is broken."}, ["Two."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=WIDE) as pilot:
        await opened(app, pilot)
        await say(pilot, "Hi")
        shown = await until(app, "The model is broken.", "Two.", "failed")
        assert "Choose otherwise" in shown


async def test_a_narrow_terminal_shows_one_column_at_a_time_behind_tabs(fake: FakeEndpoint) -> None:
    fake.script = [["One."], ["Two."], ["Three."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=NARROW) as pilot:
        lab = await opened(app, pilot)
        assert re.search(r"1 · small +× .*2 · small", screen(app))  # two have room
        await pilot.press("ctrl+t")
        await until(app, "2 small", "3 small")
        await say(pilot, "Hi")
        shown = await until(app, "1 small ✓", "2 small ✓", "3 small ✓", "Two.")
        assert "One." not in shown
        await pilot.press("alt+right")
        assert "Two." not in await until(app, "Three.")
        await pilot.click(next(iter(lab.query("#tabs Link"))))
        await until(app, "One.", "1 · small")
        await pilot.resize_terminal(*WIDE)
        await until(app, "One.", "Two.", "Three.")


async def test_a_right_to_left_answer_stands_at_the_right_of_its_column(fake: FakeEndpoint) -> None:
    fake.script = [["عاصمة بلغاريا هي صوفيا.\n\n`x = 1`"], ["日本の首都は東京です。"]]
    use("ar")
    app = ChatApp(fake.connect)
    async with app.run_test(size=NARROW) as pilot:
        await opened(app, pilot)
        await say(pilot, "/language ara")
        await say(pilot, "ما عاصمة بلغاريا؟")
        # Its own row is in order and at the right end of the first column, next to the left edge of the second.
        shown = await until(app, displayed("عاصمة بلغاريا هي صوفيا."), "日本の首都は東京です。")
        (row,) = [line for line in shown.splitlines() if displayed("صوفيا.") in line]
        assert re.search(rf"▌ {{6,}}{re.escape(displayed('عاصمة بلغاريا هي صوفيا.'))} +▌", row)
        await until(app, "95%")  # the letter in the code is none of Arabic


async def test_the_card_is_written_where_the_panel_says_and_over_another_only_if_asked(
    fake: FakeEndpoint, tmp_path: Path
) -> None:
    fake.script = [["Столицата ", "е София."], ["It is Sofia."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=WIDE) as pilot:
        lab = await opened(app, pilot)
        await pilot.press("f9")
        await until(app, "There are no answers to save yet.")
        await say(pilot, "Коя е столицата на България?")
        await until_so(lambda: bool(lab.lab.prompt) and not lab.lab.is_running and lab.lab.trials[1] is not None)
        await say(pilot, f"/save {tmp_path}/card.md")
        await until(app, "Save the card as Markdown and JSON", "card.md")
        await pilot.press("enter")
        await until(app, f"Written to {tmp_path}/card.md")
        card = read_card(tmp_path / "card.json")
        assert (card.prompt, card.order, card.server, card.machine and card.machine["cpu"]) == (
            *("Коя е столицата на България?", "in_turn", "here"),
            "A processor",
        )
        assert [column.answer for column in card.columns] == ["Столицата е София.", "It is Sofia."]
        page = (tmp_path / "card.md").read_text(encoding="utf-8")
        assert "| language fidelity | 100% bul_Cyrl | 0% bul_Cyrl |" in page
        (tmp_path / "card.json").write_text("mine", encoding="utf-8")
        await say(pilot, f"/save {tmp_path}/card.md")
        await until(app, "Save the card")
        await pilot.press("enter")
        await until(app, "over it.")  # Enter once more writes …
        assert (tmp_path / "card.json").read_text(encoding="utf-8") == "mine"
        await pilot.press("enter")
        await until_so(lambda: (tmp_path / "card.json").read_text(encoding="utf-8") != "mine")
        await pilot.press("f9")
        await until(app, f"{tmp_path}/data/lab/20")


async def test_the_chat_s_own_server_is_started_with_one_more_model(
    fake: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def output(*_arguments: str, on_line: Callable[[str], None] | None = None) -> bytes:
        import json

        here = [{"name": name, "task": "chat", "fit": {"fits": True}} for name in ("bulgarian", "broken")]
        return json.dumps(LISTED | {"models": here}).encode()

    asked: list[tuple[str, str]] = []

    async def add(model: str, current: str) -> Endpoint:
        asked.append((model, current))
        if model == "broken":
            raise DemoticError("The model 'broken' is damaged.")
        fake.models = [*fake.models, {"id": model}]
        return Endpoint(fake.url, KEY)

    async def switch(_model: str) -> Endpoint:
        raise AssertionError

    monkeypatch.setattr(offers, "output_of", output)
    fake.script = [["One."], ["Two."]]
    app = ChatApp(fake.connect, switch=switch, add=add)
    async with app.run_test(size=WIDE) as pilot:
        await opened(app, pilot)
        for name in ("broken", "bulgarian"):
            await pilot.press("f3")
            await until(app, f"{name} · here")
            await pilot.press(*name, "enter")
            await until(app, "damaged" if name == "broken" else "1 · bulgarian")
            await until_so(lambda: app.client is not None)
        await say(pilot, "Hi")
        await until(app, "One.", "Two.")
    assert asked == [("broken", "small"), ("bulgarian", "small")]
    assert [request["model"] for request in fake.requests] == ["bulgarian", "small"]


async def test_commands_are_told_completed_and_found_by_the_palette(fake: FakeEndpoint) -> None:
    app = ChatApp(fake.connect, opens_lab=True)
    async with app.run_test(size=WIDE) as pilot:
        await until(app, "1 · small")  # at once
        await say(pilot, "/help")
        await until(app, "/add: add a column like the selected one", "/save FILE: write prompt")
        await say(pilot, "/oder")
        await until(app, "There is no command /oder. Did you mean /order?")
        app.screen.query_one(Prompt).value = ""
        await pilot.press(*"/or")
        await until(app, "/order")
        await pilot.press("tab", "enter")
        await until(app, "Language lab: all at once, so they slow each other down")
        await pilot.press("ctrl+p")
        await until(app, "What is to be done?", "/remove · take the selected column away")
        await pilot.press(*"another after", "escape")
        await pilot.press("f1")
        await until(app, "In the language lab", "F9: write prompt, answers and figures as a card")
        await pilot.press("escape")
        await say(pilot, "/leave")
        await until(app, "small · ready")


async def test_the_lab_fits_80_columns_in_every_language(fake: FakeEndpoint) -> None:
    app = ChatApp(fake.connect, opens_lab=True)
    async with app.run_test(size=NARROW):
        await until(app, "1 · small")
        for language in LANGUAGES:
            app.show_in(language)
            keys = [displayed(_(text)) for text in ("Stop", "Model", "Answer in", "Lock", "Quit", "Language")]
            await until_so(lambda keys=keys: all(text in screen(app).splitlines()[-1] for text in keys))  # type: ignore[misc]  # mypy infers no default
            bar = screen(app).splitlines()[1]
            for text in ("column", "sampling", "save", "leave"):
                assert displayed(_(text)) in bar, text
