"""The status line: what it shows, and what gives way where there is no room."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult

from tui.events import AnswerFinished, figure_forms
from tui.fitting import bar, fitted
from tui.seen import Seen
from tui.shapes import Model, ModelDetails, TextUsage
from tui.widgets.status import StatusLine
from tui.words import LANGUAGES, _, use

ENDED = AnswerFinished("stop", 120, 360, 0.42, 6.0, num_prompt_tokens=904)
USED = TextUsage(prompt_language="eng_Latn", answer_language="bul_Cyrl", context_left=7168)
SEEN = Seen.of(Model("m", ModelDetails(device="cuda", context_length=8192))).after([replace(ENDED, text=USED)], None)


@pytest.fixture(autouse=True)
def in_english() -> Iterator[None]:
    yield
    use("en")


class Shown(App[None]):
    CSS = "StatusLine { padding: 0 1; }"

    def compose(self) -> ComposeResult:
        yield StatusLine()


async def line(width: int, code: str = "en", /, **values: Any) -> str:
    """What is shown in `width` columns, padding and all: a row or two."""
    use(code)
    if "adapter" in values:
        forms = figure_forms([ENDED], 0)
        values = {"figures": forms[0], "forms": forms, **values}
    app = Shown()
    async with app.run_test(size=(width, 4)) as pilot:
        status = app.query_one(StatusLine)
        for name, value in values.items():
            setattr(status, name, value)
        await pilot.pause()
        rows = [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]
        assert not any(rows[2:]), "it takes two rows at most"
        return "\n".join(filter(None, rows))


FULL: dict[str, Any] = {
    "model_name": "qwen3-0.6b",
    "adapter": "recepti",
    "locked_to": "bul_Cyrl",
    "state": "ready",
    "seen": SEEN,
}


async def test_everything_is_there_in_140_columns() -> None:
    assert (await line(140, **FULL)).strip() == (
        "qwen3-0.6b · recepti · cuda · ready · 19.8 tokens/s, 56.1 characters/s, first after 0.42 s"
        " · ▰▱▱▱▱▱ 12% 1.7/13.7 pages · bul_Cyrl (locked)"
    )


@pytest.mark.parametrize("code", LANGUAGES)
async def test_it_is_whole_in_140_columns_in_every_language(code: str) -> None:
    shown = await line(140, code, **FULL)
    assert cell_len(shown) <= 140
    for part in ("qwen3-0.6b", "recepti", "cuda", "19.8", "56.1", "0.42", "12%", "13.7", "bul_Cyrl"):
        assert part in shown


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("state", ["ready", "answering", "asking"])
async def test_it_is_whole_in_80_columns_in_two_rows_in_every_language(code: str, state: str) -> None:
    shown = await line(80, code, **FULL | {"state": state, "model_name": "smollm2-135m-instruct"})
    first, second = shown.split("\n")
    assert max(cell_len(first), cell_len(second)) <= 80
    for part in ("smollm2-135m-instruct", "recepti", "cuda", "bul_Cyrl"):
        assert part in first
    for part in ("19.8", "56.1", "0.42", "▰▱▱▱", "12%", "13.7"):
        assert part in second


async def test_the_least_important_goes_first_in_each_row() -> None:
    for kept in (["cuda", "bul_Cyrl", "recepti"], ["pages", "▱", "0.42 s", "characters/s", "tokens/s"]):
        gone: list[str] = []
        for width in range(138, 14, -2):
            shown = await line(width, **FULL)
            gone += [part for part in kept if part not in shown and part not in gone]
            assert "ready" in shown
        assert gone == kept
        assert "12%" in shown


async def test_a_second_row_stays_until_there_is_room_or_another_conversation() -> None:
    app = Shown()
    async with app.run_test(size=(80, 4)) as pilot:
        status = app.query_one(StatusLine)
        status.model_name, status.state = "m", "ready"
        forms = figure_forms([ENDED], 0)
        heights = []
        for seen, figures in ((Seen(), ""), (SEEN, forms[0]), (SEEN, "")):
            status.seen, status.forms, status.figures = seen, forms, figures
            await pilot.pause()
            heights.append(status.size.height)
        status.figures = ""
        status.forget()
        await pilot.pause()
        assert [*heights, status.size.height] == [1, 2, 2, 1]


async def test_what_an_endpoint_does_not_tell_is_left_out() -> None:
    seen = Seen.of(Model("m")).after([replace(ENDED, num_prompt_tokens=0)], "eng_Latn")
    shown = await line(100, model_name="m", state="ready", seen=seen)
    assert shown.strip() == "m · ready · eng_Latn"


async def test_how_much_is_loaded_is_a_bar() -> None:
    assert (await line(80, model_name="m", share=0.5)).strip() == "m · loading … ▰▰▰▱▱▱ 50%"
    assert (await line(80, model_name="m", share=0.5, state="ready")).strip() == "m · ready"


def test_the_context_of_others_is_counted_on_this_side() -> None:
    seen = Seen.of(Model("m", max_model_len=4096)).after([ENDED], None)
    assert (seen.context_length, seen.num_used, seen.share_used) == (4096, 1024, 0.25)


def test_pages_are_counted_with_the_characters_of_this_conversation() -> None:
    turns = [replace(ENDED, num_tokens=100, num_characters=400), replace(ENDED, num_tokens=100, num_characters=200)]
    seen = Seen.of(Model("m", max_model_len=6000)).after([*turns], None)
    assert seen.characters_per_token == 3.0
    assert seen.pages == (1004 * 3 / 1800, 10.0)
    assert seen.after([], None) == Seen.of(Model("m", max_model_len=6000))


def test_a_bar_shows_little_and_all() -> None:
    assert [bar(share, 4) for share in (0, 0.01, 0.5, 1)] == ["▱▱▱▱", "▰▱▱▱", "▰▰▱▱", "▰▰▰▰"]


def test_wide_characters_count_as_two_and_the_first_part_is_cut_at_last() -> None:
    assert fitted([["模型模型"], ["ok"]], [], 13) == "模型模型 · ok"
    assert fitted([["模型模型"], ["ok"]], [], 12) == "模型模… · ok"
    assert _("ready") == "ready"
