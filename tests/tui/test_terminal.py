"""Cells as a terminal counts them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tui.terminal import STAND_IN, Terminal, restored

FAMILY = "👨\u200d👩\u200d👧"


@pytest.mark.parametrize("text", ["a", FAMILY, "र्\u200dया", "می\u200cخواهم", "ශ්\u200dරී👩🏽\u200d🚀"])
@pytest.mark.parametrize("terminal", [Terminal(), Terminal(joins_emoji=False), Terminal(joins_letters=True)])
def test_what_is_measured_is_as_long_as_the_text_and_gives_it_back(terminal: Terminal, text: str) -> None:
    measurable = terminal.measurable(text)
    assert len(measurable) == len(text)
    assert restored(measurable) == text
    assert "".join(terminal.pieces(measurable)) == text


def test_a_joiner_between_letters_is_measured_apart_and_one_between_emoji_where_it_does_not_join() -> None:
    assert Terminal().measurable(FAMILY) == FAMILY
    assert STAND_IN in Terminal().measurable("र्\u200dया")
    assert Terminal(joins_letters=True).measurable("र्\u200dया") == "र्\u200dया"
    assert Terminal(joins_emoji=False).pieces(Terminal(joins_emoji=False).measurable(FAMILY)) == [
        "👨\u200d",
        "👩\u200d",
        "👧",
    ]


def test_conjuncts_that_a_terminal_would_squeeze_into_a_cell_are_taken_apart() -> None:
    assert Terminal(joins_conjuncts=True).pieces("क्षक") == ["क्\u200cषक"]
    assert Terminal().pieces("क्षक") == ["क्षक"]


def test_marks_of_direction_are_not_given_to_the_terminal() -> None:
    assert Terminal().pieces("a\u200eb\u200f\u061c") == ["ab"]


@pytest.mark.parametrize(
    ("terminal", "cells"),
    [
        (Terminal(), [2, 2, 1, 2, 1, 2]),
        (Terminal(spaces_marks=True), [2, 2, 2, 2, 1, 2]),
        (Terminal(widens_emoji=False), [1, 2, 1, 2, 1, 2]),
        (Terminal(tints_emoji=False), [2, 4, 1, 2, 1, 2]),
    ],
)
def test_textual_counts_as_the_terminal_does(terminal: Terminal, cells: list[int]) -> None:
    texts = ["❤️", "👍🏽", "कि", "漢", "ที่", "กำ"]
    # In a process of its own, since it is for the whole process.
    code = (
        "from tui.terminal import Terminal\n"
        f"{terminal!r}.apply()\n"
        "from rich.cells import cell_len\nfrom textual._cells import cell_len as cells\n"
        f"print([cell_len(text) for text in {texts!r}], [cells(text) for text in {texts!r}])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == f"{cells} {cells}"
