"""Long answers: what is finished stays as it is, and what is far from the screen is there when it is scrolled to."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widget import Widget
from textual.widgets import Markdown
from textual.widgets._markdown import MarkdownBlock, MarkdownBullet

from tests.tui.endpoint import WAIT, FakeEndpoint
from tests.tui.test_app import SIZE, say, screen, until, until_so
from tui.app import ChatApp
from tui.widgets.answer import Answer, _parser

PART = "## Part {0}\n\nOne of **{0}**.\n\nTwo of {0}.\n\n- a {0}\n- b {0}\n\n```python\nx = {0}\n```\n\n"
LONG = "".join(PART.format(number) for number in range(1, 41))


def laid_out(app: ChatApp) -> set[Widget]:
    return set(app.screen._compositor.full_map)


async def test_what_is_finished_of_an_answer_stays_as_it_is(fake: FakeEndpoint) -> None:
    fake.script = [["# Title\n\nFirst.\n\n- one\n- tw", WAIT, "o\n- three\n\nLa", "st."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, "Tell")
        await until(app, "• tw")
        before = list(app.query_one(Answer).query(MarkdownBlock))
        fake.go_on.set()
        await until(app, "• two", "• three", "Last.", "ready")
        after = list(app.query_one(Answer).query(MarkdownBlock))
    assert after[: len(before)] == before


async def test_an_ordered_list_widens_all_its_numbers_with_the_tenth(fake: FakeEndpoint) -> None:
    numbers = "".join(f"{number}. line\n" for number in range(1, 10))
    fake.script = [[numbers, WAIT, "10. line\n\n   - below\n"]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, "Tell")
        await until(app, " 9. line")
        fake.go_on.set()
        await until(app, " 10. line", "  9. line", "below", "ready")
        bullets = [bullet.symbol for bullet in app.query(MarkdownBullet)]
    assert bullets == [*(f"  {number}. " for number in range(1, 10)), " 10. ", bullets[-1]]


async def test_rows_between_blocks_are_those_of_plain_markdown() -> None:
    text = PART.format(1) + "".join(f"Line {number}.\n\n" for number in range(6)) + PART.format(2) + "> quoted\n\nEnd"

    plain, answer = [await _rows_of(widget) for widget in (Markdown(text, parser_factory=_parser), Answer(text))]
    assert [row.split() for row in answer] == [row.split() for row in plain]
    assert any("End" in row for row in plain)


async def _rows_of(widget: Widget) -> list[str]:
    class Alone(App[None]):
        def compose(self) -> ComposeResult:
            yield widget

    async with Alone().run_test(size=(80, 70)) as pilot:
        await pilot.pause()
        rows = [strip.text for strip in pilot.app.screen._compositor.render_strips()]
    return rows[next(at for at, row in enumerate(rows) if row.strip()) :][:50]


async def test_what_comes_while_the_chat_is_left_is_no_fault() -> None:
    answer = Answer("One.")

    class Left(App[None]):
        def compose(self) -> ComposeResult:
            yield answer

    async with Left().run_test():
        await answer.children[-1].remove_children()  # as Textual takes widgets away
        await answer.append(" Two.")


async def test_a_text_is_shown_the_same_whether_it_comes_whole_or_in_pieces(fake: FakeEndpoint) -> None:
    mixed = (
        f"{PART.format(1)}1. x\n\n   y\n2. z\n   - deep\n     deeper\n\n> quoted\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n"
        "\nHeading\n---\n\nEnd"
    )
    fake.script = [[mixed], [*mixed]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=(100, 60)) as pilot:
        await say(pilot, "Whole")
        await until(app, "End", "ready")
        await say(pilot, "/new")
        await say(pilot, "Parts")
        await until(app, "Parts", "End", "ready")
        parts = _kinds(app)
        pieces = _below(app, "Parts")
        fake.script = [[mixed]]
        await say(pilot, "/new")
        await say(pilot, "Parts")
        await until_so(lambda: _below(app, "Parts") == pieces)
        assert _kinds(app) == parts


def _kinds(app: ChatApp) -> list[str]:
    return [type(block).__name__ for block in app.query_one(Answer).query(MarkdownBlock)]


def _below(app: ChatApp, said: str) -> list[str]:
    """What the screen shows between what was said and the end of the answer."""
    shown, _end, _prompt = screen(app).partition(said)[2].partition("End")
    return [line.strip() for line in shown.splitlines()]


async def test_what_is_far_is_not_laid_out_and_comes_when_it_is_scrolled_to(fake: FakeEndpoint) -> None:
    fake.script = [[LONG, "The end."]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, "Tell")
        assert "Part 3 " not in await until(app, "The end.", "ready")
        blocks = set(app.query_one(Answer).query(MarkdownBlock))
        assert len(blocks) > 250
        assert len(blocks & laid_out(app)) < 60
        app.conversation.transcript.scroll_home(animate=False)
        await until(app, "Part 1", "One of 1.", "• b 1", "x = 1", "Part 2")
        assert len(blocks & laid_out(app)) < 60
        # Another width has other heights.
        await pilot.resize_terminal(40, 30)
        app.conversation.transcript.scroll_end(animate=False)
        await until(app, "The end.")


async def test_all_of_a_long_answer_is_copied_also_what_is_far(fake: FakeEndpoint) -> None:
    fake.script = [[LONG]]
    app = ChatApp(fake.connect)
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, "Tell")
        await until(app, "x = 40", "ready")
        app.query_one(Answer).text_select_all()
        copied = app.screen.get_selected_text()
    assert copied is not None
    assert copied.index("Part 1\n") < copied.index("One of 1.") < copied.index("x = 1\n") < copied.index("Part 2\n")
    assert copied.index("Part 39\n") < copied.index("x = 39") < copied.index("Part 40\n")
