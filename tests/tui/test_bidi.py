"""The Unicode bidirectional algorithm: levels of the library, and what is done here with them."""

from __future__ import annotations

import pytest
from bidi import get_display  # type: ignore[import-untyped]  # it has no types
from bidi.mirror import MIRRORED  # type: ignore[import-untyped]  # it has no types
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tui.bidi import direction_of, displayed, in_visual_order, levels_of, visible_controls

# Of every class that the algorithm tells apart, but for ends of paragraphs, and for controls, which are written out.
CHARACTERS = "abאבبجٱ12٣٤,.:+-%$#()[]{}<>«»!؟ ־ـ\t\u200e\u200f\u061c"


@settings(max_examples=300, deadline=None)
@given(st.text(CHARACTERS, max_size=30))
@example("٣%]٣ +%a٤٣,],")
def test_a_line_has_the_order_that_the_library_gives_it(text: str) -> None:
    direction = direction_of(text)
    levels = levels_of(text, direction)
    assert len(levels) == len(text)
    shown = in_visual_order(text, levels, direction, 0, len(text))
    expected: str = get_display(text, base_dir="R" if direction == "rtl" else "L")
    assert "".join(text[cluster.start : cluster.end] for cluster in shown) == expected
    for cluster in shown:
        logical = text[cluster.start : cluster.end]
        assert cluster.text in {logical, MIRRORED.get(logical, logical)}


@pytest.mark.parametrize(
    ("logical", "visual"),
    [
        ("Hello", "Hello"),
        ("שלום", "םולש"),
        ("قلت Hello مرتين", "نيترم Hello تلق"),
        ("قال (نعم)", "(معن) لاق"),
        ("العدد 123.5 هنا", "انه 123.5 ددعلا"),
        ("العدد ١٢٣ هنا", "انه ١٢٣ ددعلا"),
        ("I said שלום.", "I said םולש."),
        ("<א>", "<א>"),
        ("א < ב", "ב > א"),
    ],
)
def test_a_line_is_shown_as_it_is_read(logical: str, visual: str) -> None:
    assert displayed(logical) == visual


def test_marks_stay_behind_their_letters_and_clusters_whole() -> None:
    assert displayed("מֶלֶךְ") == "ךְלֶמֶ"
    assert displayed("א👨\u200d👩\u200d👧ב🇫🇷") == "🇫🇷ב👨\u200d👩\u200d👧א"


@pytest.mark.parametrize(
    ("text", "direction"),
    [("Python هي لغة", "ltr"), ("هي Python", "rtl"), ("12 (שלום)", "rtl"), ("123 ...", "ltr"), ("", "ltr")],
)
def test_the_first_letter_gives_a_paragraph_its_direction(text: str, direction: str) -> None:
    assert direction_of(text) == direction


def test_an_isolate_neither_gives_a_direction_nor_loses_its_own_order() -> None:
    text = "ls -l هو أمر"
    assert direction_of(text, [(0, 5)]) == "rtl"
    assert direction_of("12", fallback="rtl") == "rtl"
    text = 'to: ["אב", "גד"]'
    for isolates, visual in (((), 'to: ["דג" ,"בא"]'), (((5, 9), (11, 15)), 'to: ["בא", "דג"]')):
        shown = in_visual_order(text, levels_of(text, "ltr", isolates), "ltr", 0, len(text))
        assert "".join(cluster.text for cluster in shown) == visual


def test_white_space_at_the_end_of_a_line_stands_at_its_end() -> None:
    text = "abc שלום  עולם"
    levels = levels_of(text, "ltr")
    first = in_visual_order(text, levels, "ltr", 0, 10)
    assert "".join(cluster.text for cluster in first) == "abc םולש  "


def test_characters_that_could_hide_an_order_are_written_out() -> None:
    trojan = "access\u202e\u2066// only for admins\u2069\u2066"
    assert visible_controls(trojan) == "access<U+202E><U+2066>// only for admins<U+2069><U+2066>"
    marks = "א\u200f\u200eb\u061c"
    assert visible_controls(marks) == marks
