"""Reasoning and answer come apart the same way, however the text is cut into pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.chat.reasoning import Piece, ReasoningSplit, marks_of


def split(pieces: list[str], *, is_begun: bool = False) -> tuple[str, str]:
    machine = ReasoningSplit("<think>", "</think>", is_begun=is_begun)
    out = [piece for text in pieces for piece in machine.push(text)] + machine.finish()
    assert all(piece.text for piece in out)
    kinds = [piece.kind for piece in out]
    assert kinds == sorted(kinds, key=["reasoning", "content"].index)
    return tuple("".join(p.text for p in out if p.kind == kind) for kind in ("reasoning", "content"))  # type: ignore[return-value]  # of two


@pytest.mark.parametrize(
    ("text", "is_begun", "expected"),
    [
        ("<think>\nHm, 2 < 3.\n</think>\n\nYes.", False, ("Hm, 2 < 3.", "Yes.")),
        ("Hm.\n</think>\n\nYes.", True, ("Hm.", "Yes.")),
        ("Yes.", False, ("", "Yes.")),
        ("  Yes <think>no</think>", False, ("", "  Yes <think>no</think>")),
        ("<think></think>Да", False, ("", "Да")),
        ("<think>cut in the mid", False, ("cut in the mid", "")),
        ("<think>cut in the mark </thi", False, ("cut in the mark </thi", "")),
        ("<thin", False, ("", "<thin")),
        ("<think>a</think>b</think>c", False, ("a", "b</think>c")),
        ("", False, ("", "")),
        (" \n", False, ("", " \n")),
    ],
)
def test_text_is_split_at_the_marks(text: str, is_begun: bool, expected: tuple[str, str]) -> None:
    assert split([text], is_begun=is_begun) == expected
    assert split(list(text), is_begun=is_begun) == expected


@given(
    text=st.text("<think>/ \na", max_size=40),
    prefix=st.sampled_from(["", "<think>", "<think>a</think>"]),
    is_begun=st.booleans(),
    data=st.data(),
)
def test_the_split_does_not_depend_on_the_pieces(text: str, prefix: str, is_begun: bool, data: st.DataObject) -> None:
    whole = prefix + text
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert split(pieces, is_begun=is_begun) == split([whole], is_begun=is_begun)


def test_reasoning_streams_before_its_end_is_there() -> None:
    machine = ReasoningSplit("<think>", "</think>", is_begun=False)
    assert machine.push("<think>First ") == [Piece("reasoning", "First")]
    assert machine.push("second<") == [Piece("reasoning", " second")]
    assert machine.push("/think>") == []
    assert machine.push("\nAnswer") == [Piece("content", "Answer")]


def test_marks_are_those_of_the_template() -> None:
    assert marks_of("{% if '</think>' in content %}") == ("<think>", "</think>")
    assert marks_of("plain") is None
    assert marks_of(None) is None
