"""The themes: what is read stands out enough, they are chosen and remembered, and NO_COLOR takes the colours away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.segment import Segment
from textual.color import Color

from runtime.config import load_user_config
from runtime.errors import ConfigurationInvalid
from tests.tui.endpoint import Call, FakeEndpoint
from tests.tui.test_app import say, until
from tui.app import ChatApp
from tui.look import Look
from tui.themes import LABELS, THEMES
from tui.words import use

# WCAG 2.2, success criteria 1.4.3 (AA) and 1.4.6 (AAA).
AA, AAA = 4.5, 7.0
CODE = "Text with `code`.\n\n```python\ndef f(x):  # why\n    return 'a' + str(1.5)\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DEMOTIC_CONFIG_DIR", str(tmp_path))
    yield
    use("en")


def luminance(color: Color) -> float:
    """Relative luminance, as WCAG 2.2 defines it."""
    parts = [part / 255 for part in (color.r, color.g, color.b)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Color, other: Color) -> float:
    """The contrast ratio of WCAG 2.2, from 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_ratio_is_that_of_wcag_s_own_examples() -> None:
    assert contrast(Color.parse("#000"), Color.parse("#fff")) == pytest.approx(21)
    assert contrast(Color.parse("#777"), Color.parse("#fff")) == pytest.approx(4.48, abs=0.01)


def texts_on(app: ChatApp) -> list[tuple[str, float]]:
    """Every piece of text on the screen, with its contrast."""
    found = []
    for strip in app.screen._compositor.render_strips():
        for text, style, _control in strip:
            if style is None or not any(character.isalnum() for character in text):
                continue
            assert style.color is not None
            assert style.bgcolor is not None
            fore, back = (Color.from_rich_color(color) for color in (style.color, style.bgcolor))
            found.append((text, contrast(back, fore) if not style.reverse else contrast(fore, back)))
    return found


@pytest.mark.parametrize("theme", THEMES)
async def test_all_text_of_the_chat_has_the_contrast_that_wcag_asks_for(fake: FakeEndpoint, theme: str) -> None:
    fake.script = [[CODE], [Call("tool", ('{"a": "b"}',))], {"message": "Odd."}]
    app = ChatApp(fake.connect, look=Look(theme))
    least = AAA if theme == "high-contrast" else AA
    async with app.run_test(size=(80, 60)) as pilot:
        await until(app, "ready")
        await say(pilot, "First")
        await until(app, "Text with", "ready")
        await say(pilot, "/lock bg hard")
        await until(app, "Answers stay")
        await say(pilot, "Second")
        await until(app, "ready")
        await say(pilot, "Third")
        await until(app, "Odd.", "New conversation")
        app.conversation.prompt.value = "/s"
        await until(app, "/sampling")
        await pilot.pause()
        seen = texts_on(app)
        app.conversation.prompt.value = ""
        for command, shown in (("/lock", "Afrikaans"), ("/sampling", "top_k"), ("/keys", "Everywhere")):
            await say(pilot, command)
            await until(app, shown)
            await pilot.pause()
            seen += texts_on(app)
            await pilot.press("escape")
    assert len(seen) > 100
    faint = sorted({f"{text} {ratio:.2f}" for text, ratio in seen if ratio < least})
    assert not faint, "\n".join(faint)


async def test_a_theme_is_shown_while_it_is_marked_and_remembered_once_it_is_chosen(
    fake: FakeEndpoint, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text("# mine\nbidi = 'off'  # my terminal does it\n")
    app = ChatApp(fake.connect, look=Look.configured())
    async with app.run_test(size=(80, 24)) as pilot:
        await say(pilot, "/theme")
        await until(app, "high contrast")
        await pilot.press("down")
        await pilot.pause()
        assert app.theme == "light"
        await pilot.press("escape")
        await pilot.pause()
        assert app.theme == "dark"
        await say(pilot, "/theme")
        await until(app, "high contrast")
        await pilot.press(*"contr", "enter")
        await pilot.pause()
        assert app.theme == "high-contrast"
    assert load_user_config().theme == "high-contrast"
    assert "# mine\nbidi = 'off'  # my terminal does it\n" in (tmp_path / "config.toml").read_text()
    assert Look.configured().theme == "high-contrast"
    async with ChatApp(fake.connect, look=Look.configured()).run_test() as pilot:
        assert pilot.app.theme == "high-contrast"
        await say(pilot, "/theme light")
        await pilot.pause()
        assert pilot.app.theme == "light"
    assert load_user_config().theme == "light"


async def test_an_unknown_theme_is_refused_with_those_that_there_are(fake: FakeEndpoint, tmp_path: Path) -> None:
    app = ChatApp(fake.connect)
    async with app.run_test(size=(80, 24)) as pilot:
        await say(pilot, "/theme pink")
        await until(app, "There is no theme 'pink'.")
        assert app.theme == "dark"
    assert not (tmp_path / "config.toml").exists()
    (tmp_path / "config.toml").write_text('theme = "pink"\n')
    with pytest.raises(ConfigurationInvalid, match="no theme 'pink'"):
        Look.configured()


async def test_themes_are_found_by_their_names_in_the_interface_s_language(fake: FakeEndpoint) -> None:
    use("bg")
    app = ChatApp(fake.connect)
    async with app.run_test(size=(80, 24)) as pilot:
        await say(pilot, "/theme")
        await until(app, "висок контраст")
        await pilot.press(*"светла", "enter")
        await pilot.pause()
        assert app.theme == "light"
    assert set(LABELS) == set(THEMES)


async def test_no_color_shows_no_colour(fake: FakeEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = ChatApp(fake.connect, look=Look("light"))
    async with app.run_test(size=(80, 24)):
        await until(app, "ready")
        assert app.no_color
        filters = [each for each in app._filters if type(each).__name__ == "Monochrome"]
        assert filters
        for strip in app.screen._compositor.render_strips():
            for segment in strip.apply_filter(filters[0], Color.parse("black")):
                assert is_grey(segment)


def is_grey(segment: Segment) -> bool:
    if segment.style is None:
        return True
    colors = [color.get_truecolor() for color in (segment.style.color, segment.style.bgcolor) if color is not None]
    return all(max(color) - min(color) <= 1 for color in colors)
