"""Right-to-left text in the conversation: what stands in which column, and what is copied."""

from __future__ import annotations

import asyncio

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import Static

from tui.bidi import displayed
from tui.terminal import Terminal
from tui.widgets.answer import Answer
from tui.widgets.message import Said

WIDTH = 40
TABLE = "| اسم | عدد |\n|---|---|\n| تفاح | 12 |\n| برتقال | 3 |\n"


class Shown(App[None]):
    """What is said, and an answer."""

    def __init__(self, said: str = "", terminal: Terminal | None = None) -> None:
        super().__init__()
        self.terminal = terminal or Terminal()
        self.said = said

    def compose(self) -> ComposeResult:
        yield Said(self.said)
        yield Answer()


def lines(app: App[None]) -> list[str]:
    return [text for strip in app.screen._compositor.render_strips() if (text := strip.text.rstrip())]


async def answer(pilot: Pilot[None], text: str, size: int = 1000) -> list[str]:
    """The screen after `text` has come in pieces of `size` characters."""
    shown = pilot.app.query_one(Answer)
    for start in range(0, len(text), size):
        await shown.write(text[start : start + size])
        await asyncio.sleep(0.02)  # so that they are not put together
    await shown.finish()
    await pilot.pause()
    return lines(pilot.app)


async def test_a_paragraph_is_wrapped_first_and_then_put_in_order_at_the_right() -> None:
    said = "هل تعرف Python 3.11؟ نعم، أعرفها جيدا (حقا). وأعرف أيضا لغات أخرى."
    app = Shown(said)
    async with app.run_test(size=(WIDTH, 10)) as pilot:
        await pilot.pause()
        first, second = lines(app)
    assert first.strip() == "اديج اهفرعأ ،معن ؟Python 3.11 فرعت له"
    assert second.strip() == ".ىرخأ تاغل اضيأ فرعأو .(اقح)"
    assert len(first) == len(second) == WIDTH


async def test_wide_characters_count_double_where_a_line_is_put_at_the_right() -> None:
    app = Shown("قال 漢字 أمس")
    async with app.run_test(size=(WIDTH, 10)) as pilot:
        await pilot.pause()
        (line,) = lines(app)
    assert line == " " * (WIDTH - len("قال 漢字 أمس") - 2) + "سمأ 漢字 لاق"


MARKDOWN = f"""# عنوان

نص **مهم** فيه `print("א", "ב")` ثم كلام.

- واحد
- اثنان

1. أول

> اقتباس

{TABLE}
```python
x = "שלום" + "עולם"  # תודה
```

Latin text."""


@pytest.mark.parametrize("size", [8, 1000])
async def test_every_part_of_markdown_is_in_order_however_it_comes(size: int) -> None:
    app = Shown()
    async with app.run_test(size=(WIDTH, 60)) as pilot:
        shown = [line.strip() for line in await answer(pilot, MARKDOWN, size)]
    assert [" ".join(line.split()) for line in shown if line[0] not in "┌├└"] == [
        displayed("عنوان"),
        '.مالك مث print("א", "ב") هيف مهم صن',
        "دحاو •",
        "نانثا •",
        "لوأ .1",
        "▌ سابتقا",
        "│ ددع │ مسا │",
        "│ 12 │ حافت │",
        "│ 3 │ لاقترب │",
        'x = "םולש" + "םלוע" # הדות',
        "Latin text.",
    ]


async def test_bullets_and_first_columns_are_at_the_right() -> None:
    app = Shown()
    async with app.run_test(size=(WIDTH, 30)) as pilot:
        shown = await answer(pilot, "- واحد\n- two\n\n" + TABLE)
    bullets = [line.index("•") for line in shown if "•" in line]
    assert len(set(bullets)) == 1
    assert bullets[0] > WIDTH - 6
    (head,) = [line for line in shown if "مسا" in line]
    assert head.index("مسا") > head.index("ددع")


async def test_what_is_copied_is_in_the_order_in_which_it_is_read() -> None:
    app = Shown("قلت (نعم)\u200f مرتين")
    async with app.run_test(size=(WIDTH, 60)) as pilot:
        await answer(pilot, f"سؤال `x = 1` جواب طويل حتى ينكسر السطر في مكان ما هنا\n\n- واحد\n\n{TABLE}")
        app.screen.text_select_all()
        copied = app.screen.get_selected_text() or ""
    assert [line.strip() for line in copied.split("\n") if line.strip()] == [
        "قلت (نعم)\u200f مرتين",
        "سؤال x = 1 جواب طويل حتى ينكسر السطر في مكان ما هنا",
        "•  واحد",
        *("اسم", "عدد", "تفاح", "12", "برتقال", "3"),
    ]


@pytest.mark.parametrize(
    ("start", "end", "copied"),
    [
        (39, 37, "قلت"),
        (37, 39, "قلت"),
        (34, 31, "Hell"),
        (39, 35, "قلت Hello"),
        (39, 31, "قلت H"),
        (39, 0, "قلت Hello مرتين"),
    ],
)
async def test_a_part_that_is_marked_with_the_mouse_is_copied_as_it_is_read(start: int, end: int, copied: str) -> None:
    app = Shown()
    async with app.run_test(size=(WIDTH, 10)) as pilot:
        await app.query_one(Said).remove()
        said = Said("قلت Hello مرتين")
        await app.mount(said)
        await pilot.pause()
        assert lines(app)[-1].endswith("نيترم Hello تلق")
        await pilot.mouse_down(said, offset=(start, 0))
        await pilot.hover(said, offset=(end, 0))
        await pilot.mouse_up(said, offset=(end, 0))
        await pilot.pause()
        assert app.screen.get_selected_text() == copied


async def test_a_terminal_that_reorders_gets_the_text_as_it_is() -> None:
    app = Shown("قلت (نعم)", Terminal(lays_out=False))
    async with app.run_test(size=(WIDTH, 20)) as pilot:
        shown = await answer(pilot, f"- جواب (لا)\n\n{TABLE}")
    assert shown[0].strip() == "قلت (نعم)"
    assert shown[1].strip() == "• جواب (لا)"
    (head,) = [line for line in shown if "اسم" in line]
    assert head.index("اسم") < head.index("عدد")


async def test_text_without_right_to_left_letters_is_shown_as_textual_shows_it() -> None:
    text = "Добър ден! 漢字 **bold** สวัสดี"
    app = Shown(text)
    async with app.run_test(size=(WIDTH, 20)) as pilot:
        await pilot.pause()
        plain = Static(text, markup=False)
        await app.mount(plain)
        await pilot.pause()
        said = app.query_one(Said)
        assert said.render_line(0).text == plain.render_line(0).text


async def test_controls_of_order_in_an_answer_are_seen() -> None:
    app = Shown()
    async with app.run_test(size=(WIDTH, 20)) as pilot:
        shown = await answer(pilot, "if admin\u202e \u2066{\u2069:")
    assert [line.strip() for line in shown] == ["if admin<U+202E> <U+2066>{<U+2069>:"]
