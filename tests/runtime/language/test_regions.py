"""Where an answer is prose, and where it is code, reasoning or a call."""

from __future__ import annotations

import pytest

from runtime.language.regions import Regions, Span

THINK = Span("<think>", "</think>", is_first=True)
CALL = Span("<tool_call>", "</tool_call>")


def shown(text: str, *spans: Span) -> str:
    """`text`, with a dot for each character that is not in prose, judged before it."""
    regions, out = Regions(spans), ""
    for char in text:
        out += char if regions.is_prose or char == "\n" else "."
        regions.push(char)
    return out


@pytest.mark.parametrize(
    ("text", "prose"),
    [
        ("a\n```py\nx = 1\n```\nb", "a\n```..\n.....\n...\nb"),
        ("```\nx\n```  \nb", "```\n.\n...  \nb"),
        ("~~~\n```\n~~~\nb", "~~~\n...\n...\nb"),
        ("````\n```\n````\nb", "```.\n...\n....\nb"),
        ("   ```\nx\n   ```\nb", "   ```\n.\n......\nb"),
        ("    ```\nx", "    ```\nx"),
        ("```\nx\n``` y\nz\n```\nb", "```\n.\n... y\n.\n...\nb"),
        ("a ``` b\nc", "a ``` b\nc"),
        ("``` a ``` b\nc", "```....`` b\nc"),
        ("``\nx", "``\nx"),
        ("```\nx", "```\n."),
    ],
)
def test_code_fences_are_those_of_commonmark(text: str, prose: str) -> None:
    assert shown(text) == prose


def test_reasoning_is_what_stands_between_its_marks_at_the_beginning() -> None:
    assert shown("\n<think>why</think>so", THINK) == "\n<think>...........so"
    assert shown("so <think>why", THINK) == "so <think>why"
    assert shown("<thin>why", THINK) == "<thin>why"


def test_reasoning_that_the_prompt_began_ends_at_its_mark() -> None:
    is_open = Span("<think>", "</think>", is_first=True, is_open=True)
    assert shown("why</think>so<think>x", is_open) == "...........so<think>x"


def test_calls_may_come_anywhere_in_prose_and_not_in_code() -> None:
    assert shown("a<tool_call>{}</tool_call>b<tool_call>x", CALL) == "a<tool_call>..............b<tool_call>."
    assert shown("```\n<tool_call>\n```\nb", CALL) == "```\n...........\n...\nb"


def test_calls_without_an_end_mark_go_to_the_end_of_the_answer() -> None:
    assert shown('{"name"}\nx', Span("{", "", is_first=True)) == "{.......\n."
    assert shown('a {"name"}', Span("{", "", is_first=True)) == 'a {"name"}'


def test_the_marks_that_may_come_next_are_told_with_what_is_written_of_them() -> None:
    regions = Regions([THINK, CALL])
    assert [(mark.written, mark.left) for mark in regions.marks()] == [("", "<think>"), ("", "<tool_call>")]
    regions.push("<t")
    assert [(mark.written, mark.left) for mark in regions.marks()] == [("<t", "hink>"), ("<t", "ool_call>")]
    regions.push("o")
    assert [(mark.written, mark.left) for mark in regions.marks()] == [("<to", "ol_call>")]


def test_a_mark_that_begins_like_a_word_may_only_come_first() -> None:
    regions = Regions([Span("Action:", "\n")])
    assert [mark.left for mark in regions.marks()] == ["Action:"]
    regions.push("So ")
    assert regions.marks() == []
