"""/stats: what each answer took, and the times between its pieces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from textual.app import App
from textual.widgets import DataTable, Sparkline

from tests.tui.endpoint import FakeEndpoint
from tests.tui.test_app import say, screen, until
from tui.app import ChatApp
from tui.bidi import displayed
from tui.events import AnswerFinished
from tui.history.answers import figures_of
from tui.history.records import Figures
from tui.screens.stats import StatsScreen
from tui.shapes import TextUsage
from tui.stats import HEADS, told
from tui.words import LANGUAGES, _, use

TEXT = TextUsage(answer_language="bul_Cyrl", blocked_tokens=3)
TIMES = [0.0, 0.02, 0.04, 0.10]
FIRST = figures_of(AnswerFinished("stop", 40, 120, 0.5, 2.0, text=TEXT), TIMES)
SECOND = figures_of(AnswerFinished("length", 10, 30, 0.1, 1.0), [0.0, 0.3])


@pytest.fixture(autouse=True)
def in_english() -> Iterator[None]:
    yield
    use("en")


async def shown(app: App[None], figures: list[Figures]) -> StatsScreen:
    stats = StatsScreen(figures)
    await app.push_screen(stats)
    return stats


async def test_each_answer_is_a_row_and_the_plot_follows_the_selection() -> None:
    app: App[None] = App()
    async with app.run_test(size=(120, 30)) as pilot:
        stats = await shown(app, [FIRST, SECOND])
        await pilot.pause()
        table = stats.query_one(DataTable)
        assert [table.get_row_at(row) for row in range(2)] == [
            ["1", "40", "120", "19.5", "48.0", "0.50 s", "20 ms", "60 ms", "bul_Cyrl", "3"],
            ["2", "10", "30", "9.0", "27.3", "0.10 s", "300 ms", "300 ms", "–", "–"],
        ]
        assert stats.query_one(Sparkline).data == [300]
        await pilot.press("up")
        await pilot.pause()
        assert stats.query_one(Sparkline).data == [20, 20, 60]
        await pilot.press("escape")
        await pilot.pause()
        assert not isinstance(app.screen, StatsScreen)


@pytest.mark.parametrize("code", LANGUAGES)
async def test_it_fits_100_columns_in_every_language(code: str) -> None:
    use(code)
    app: App[None] = App()
    async with app.run_test(size=(100, 24)) as pilot:
        stats = await shown(app, [FIRST, SECOND])
        await pilot.pause()
        assert stats.query_one(DataTable).virtual_size.width <= 100
        lines = "\n".join(strip.text for strip in app.screen._compositor.render_strips())
        for head in HEADS:
            assert displayed(_(head)) in lines


async def test_the_command_shows_the_figures_of_the_conversation(fake: FakeEndpoint) -> None:
    fake.script = [["Eins ", "zwei ", "drei."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=(110, 30)) as pilot:
        await until(app, "fake-model · ready")
        await say(pilot, "/stats")
        await until(app, "There is no answer yet.")
        await say(pilot, "Zähle")
        await until(app, "Eins zwei drei.", "ready · 3 tokens")
        await say(pilot, "/stats")
        await until(app, "ITL p95", "Time between the pieces of answer 1")
        await pilot.press("escape")
        await until(app, "Eins zwei drei.")
        assert "ITL p95" not in screen(app)


def test_without_a_screen_each_figure_is_named() -> None:
    assert told([FIRST]) == (
        "1. tokens 40, characters 120, tokens/s 19.5, characters/s 48.0, first 0.50 s, ITL p50 20 ms, ITL p95 60 ms, "
        "language bul_Cyrl, blocked 3"
    )
    assert told([]) == "There is no answer yet."


def test_of_many_times_the_longest_of_each_stretch_is_kept() -> None:
    times = [number * 0.01 for number in range(1001)]
    times[700:] = [time + 0.5 for time in times[700:]]
    gaps = figures_of(AnswerFinished("stop", 1, 1, 0.1, 1.0), times).gaps_ms
    assert len(gaps) == 200
    assert sorted(set(gaps)) == [10, 510]
    assert gaps.count(510) == 1
