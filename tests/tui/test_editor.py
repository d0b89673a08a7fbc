"""The editor: where its cursor stands in every script, what its keys move over, and what is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual import events
from textual._xterm_parser import XTermParser
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from tui.terminal import Terminal
from tui.widgets.completions import Completions
from tui.widgets.prompt import Prompt

FAMILY = "👨\u200d👩\u200d👧"
# What kind of terminal; text; the cells that such a terminal takes for it.
WIDTHS = [
    (Terminal(), "abc", 3),
    (Terminal(), "漢字かな", 8),
    (Terminal(), "สวัสดี", 4),
    (Terminal(), "กำลัง", 4),
    (Terminal(), "é", 1),
    (Terminal(), "क्षत्रिय", 5),
    (Terminal(), "र्\u200dया", 2),
    (Terminal(), "ශ්\u200dරී", 2),
    (Terminal(), FAMILY, 2),
    (Terminal(), "🇳🇱👍🏽❤️", 6),
    (Terminal(joins_emoji=False), FAMILY, 6),
    (Terminal(joins_letters=True), "र्\u200dया", 1),
]


class Writing(App[None]):
    """A prompt, and what was sent from it."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self.terminal = terminal
        self.sent: list[str] = []

    def compose(self) -> ComposeResult:
        yield Prompt(Completions(lambda _text: ()))

    def on_prompt_submitted(self, event: Prompt.Submitted) -> None:
        self.sent.append(event.text)


@asynccontextmanager
async def writing(terminal: Terminal | None = None) -> AsyncIterator[tuple[Pilot[None], Prompt]]:
    app = Writing(terminal or Terminal())
    async with app.run_test(size=(30, 12)) as pilot:
        prompt = app.query_one(Prompt)
        prompt.focus()
        await pilot.pause()
        yield pilot, prompt


def sent(pilot: Pilot[None]) -> list[str]:
    assert isinstance(pilot.app, Writing)
    return pilot.app.sent


async def type_in(pilot: Pilot[None], text: str) -> None:
    """Send characters as a terminal does."""
    for event in XTermParser().feed(text):
        assert isinstance(event, events.Key)
        pilot.app.post_message(event)
    await pilot.pause()


def cell(prompt: Prompt) -> int:
    """The cell of its row where the terminal's cursor stands."""
    return prompt.cursor_screen_offset.x - prompt.content_region.x


@pytest.mark.parametrize(("terminal", "text", "cells"), WIDTHS)
async def test_the_cursor_stands_behind_as_many_cells_as_the_terminal_shows(
    terminal: Terminal, text: str, cells: int
) -> None:
    async with writing(terminal) as (pilot, prompt):
        await type_in(pilot, text)
        assert prompt.value == text
        assert cell(prompt) == cells
        shown = prompt.render_line(0)
        assert shown.cell_length == prompt.content_region.width
        assert "".join(segment.text for segment in shown).startswith(text)


@pytest.mark.parametrize("text", ["e\u0301", "क्षि", "ที่", FAMILY, "🇳🇱", "र्\u200dया", "👍🏽"])
async def test_a_key_moves_over_a_whole_cluster_and_deletes_one(text: str) -> None:
    async with writing() as (pilot, prompt):
        prompt.value = f"a{text}b"
        await pilot.press("left", "left")
        assert prompt.cursor_location == (0, 1)
        await pilot.press("right")
        assert prompt.cursor_location == (0, 1 + len(text))
        await pilot.press("backspace")
        assert prompt.value == "ab"
        prompt.value = f"a{text}b"
        await pilot.press("home", "right", "delete")
        assert prompt.value == "ab"


async def test_the_cursor_never_comes_to_stand_within_a_cluster() -> None:
    async with writing() as (pilot, prompt):
        prompt.value = f"abcd\n{FAMILY}{FAMILY}"
        prompt.move_cursor((1, 3))
        assert prompt.cursor_location == (1, len(FAMILY))
        prompt.move_cursor((0, 1))
        await pilot.press("down")
        assert prompt.cursor_location[1] in {0, len(FAMILY)}


async def test_a_joiner_that_is_typed_last_joins_what_is_typed_next() -> None:
    async with writing() as (pilot, prompt):
        for part in ("👨", "\u200d", "👩", "\u200d", "👧"):
            await type_in(pilot, part)
        assert (prompt.value, cell(prompt)) == (FAMILY, 2)


async def test_joiners_of_persian_can_be_typed() -> None:
    async with writing() as (pilot, prompt):
        await type_in(pilot, "می\u200cخواهم")
        assert prompt.value == "می\u200cخواهم"
        assert cell(prompt) == prompt.content_region.width - 8


async def test_a_right_to_left_line_is_in_order_with_its_cursor_and_its_keys() -> None:
    async with writing() as (pilot, prompt):
        await type_in(pilot, "שלום abc")
        width = prompt.content_region.width
        assert prompt.render_line(0).text == " " * (width - 9) + " abc םולש"
        # The next letter comes at the left of the paragraph.
        assert cell(prompt) == width - 9
        await pilot.press("right")
        assert prompt.cursor_location == (0, 7)
        assert cell(prompt) == width - 6
        await pilot.press("home")
        assert cell(prompt) == width - 1
        await pilot.press("left")
        assert (prompt.cursor_location, cell(prompt)) == ((0, 1), width - 2)
        await pilot.press("backspace")
        assert prompt.value == "לום abc"


async def test_the_mouse_finds_the_letter_that_is_seen() -> None:
    async with writing() as (pilot, prompt):
        prompt.value = "שלום abc"
        await pilot.pause()
        left = prompt.content_region.x - prompt.region.x
        top = prompt.content_region.y - prompt.region.y
        for column in range(8):
            prompt.move_cursor((0, column))
            seen = cell(prompt)
            prompt.move_cursor((0, 8))
            await pilot.click(prompt, offset=(left + seen, top))
            assert prompt.cursor_location == (0, column)


async def test_enter_sends_and_other_keys_begin_a_line() -> None:
    async with writing() as (pilot, prompt):
        await type_in(pilot, "one")
        await pilot.press("ctrl+j")
        await type_in(pilot, "two")
        await pilot.press("shift+enter")
        await type_in(pilot, "three")
        assert sent(pilot) == []
        await pilot.press("enter")
        await pilot.pause()
        assert sent(pilot) == ["one\ntwo\nthree"]
        assert prompt.value == ""
        await pilot.press("space", "enter")
        await pilot.pause()
        assert len(sent(pilot)) == 1


async def test_what_is_pasted_keeps_its_lines() -> None:
    async with writing() as (pilot, prompt):
        prompt.post_message(events.Paste("one\r\ntwo\rthree\nfour\tfive"))
        await pilot.pause()
        assert prompt.value == "one\ntwo\nthree\nfour\tfive"
        assert sent(pilot) == []


async def test_the_arrows_bring_back_what_was_said_and_then_the_draft() -> None:
    async with writing() as (pilot, prompt):
        for text in ("first", "second\nline", "second\nline"):
            prompt.value = text
            await pilot.press("enter")
        prompt.value = "draft"
        await pilot.press("up")
        assert (prompt.value, prompt.cursor_location) == ("second\nline", (1, 4))
        await pilot.press("up")
        assert prompt.cursor_location[0] == 0
        await pilot.press("up")
        assert prompt.value == "first"
        await pilot.press("up")
        assert prompt.value == "first"
        await pilot.press("down", "down", "down", "down")
        assert prompt.value == "draft"


async def test_what_is_marked_is_copied_with_its_joiners() -> None:
    async with writing() as (pilot, prompt):
        prompt.value = "क र्\u200dया"
        await pilot.press("shift+home")
        assert prompt.selected_text == "क र्\u200dया"


async def test_every_letter_of_a_wrapped_right_to_left_text_has_a_cell_of_its_own() -> None:
    text = "هذه جملة طويلة فيها Python 3.11 وكلمات أخرى (كثيرة) حتى ينكسر السطر"
    async with writing() as (pilot, prompt):
        prompt.value = text
        await pilot.pause()
        shown = [prompt.render_line(y).text for y in range(prompt.wrapped_document.height)]
        assert len(shown) > 2
        cells = {}
        for column, letter in enumerate(text):
            prompt.move_cursor((0, column))
            row = prompt.cursor_screen_offset.y - prompt.content_region.y
            cells[row, cell(prompt)] = letter
        assert len(cells) == len(text)
        mirrored = {"(": ")", ")": "("}
        for (row, at), letter in cells.items():
            assert shown[row][at] in {letter, mirrored.get(letter)}
