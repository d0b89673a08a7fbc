"""Keys from a file: what it may say, what is refused and how, and that they work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from textual import events

from runtime.errors import ConfigurationInvalid
from tests.tui.endpoint import WAIT, FakeEndpoint
from tests.tui.test_app import say, screen, until
from tests.tui.test_tools import SENT, settings
from tui.actions import all_actions
from tui.app import ChatApp
from tui.bidi import displayed
from tui.keymap import PLACES, read_keymap
from tui.keynames import with_keys
from tui.look import Look
from tui.tools import ChatTools
from tui.words import _, use, used

ACTIONS = all_actions(ChatApp.BINDINGS)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("DEMOTIC_CONFIG_DIR", str(tmp_path))
    yield tmp_path / "keys.toml"
    use("en")


def test_every_binding_of_the_chat_is_an_action_with_a_help_text() -> None:
    assert {"quit", "language", "copy", "palette", "keys", "stop", "new", "send", "new-line", "once", "leave"} <= {
        action.name for action in ACTIONS
    }
    assert all(action.help and action.keys and action.place in PLACES for action in ACTIONS)


def test_without_a_file_all_keys_are_as_they_were(file: Path) -> None:
    assert read_keymap(ACTIONS) == {}


@pytest.mark.parametrize(
    ("text", "keymap"),
    [
        ('stop = "f9"', {"stop": "f9"}),
        ('new = ["ctrl+n", "F4"]', {"new": "ctrl+n,f4"}),
        ('stop = "Shift+Ctrl+x"', {"stop": "ctrl+shift+x"}),
        ('keys = "§"', {"keys": "section_sign"}),
        ('keys = "ctrl+я"', {"keys": "ctrl+я"}),
        # A key that another action gives up may be taken.
        ('stop = "f2"\nlanguage = "f12"', {"stop": "f2", "language": "f12"}),
        # Enter sends in the prompt and folds on a card: never both at once.
        ('fold = "enter"', {"fold": "enter"}),
    ],
)
def test_the_file_gives_actions_their_keys(file: Path, text: str, keymap: dict[str, str]) -> None:
    file.write_text(text)
    assert read_keymap(ACTIONS) == keymap


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('stopp = "f9"', "unknown action 'stopp'. Did you mean 'stop'?"),
        ('xyzzy = "f9"', "unknown action 'xyzzy'. quit, language, "),
        ('stop = "ctlr+x"', "'stop' in .* has an unknown key 'ctlr\\+x'. Did you mean 'ctrl'?"),
        ('stop = "pageupp"', "unknown key 'pageupp'. Did you mean 'pageup'?"),
        ('stop = ""', "unknown key ''. Write it like"),
        ("stop = 9", "'stop' in .* must be a key, or a list of keys"),
        ("stop = []", "must be a key, or a list of keys"),
        ('stop = "f2"', "gives the key 'f2' to language and stop. Give one of them another key."),
        ('send = "ctrl+n"', "gives the key 'ctrl\\+n' to new and send"),
        ("stop = ", "cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name_with_the_nearest(file: Path, text: str, sentence: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigurationInvalid, match=sentence):
        read_keymap(ACTIONS)


async def test_the_keys_of_the_file_work_and_the_old_ones_no_more(file: Path, fake: FakeEndpoint) -> None:
    file.write_text('stop = "f9"\nsend = "ctrl+s"\n')
    fake.script = [["Once", WAIT]]
    app = ChatApp(fake.connect, look=Look.configured())
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, "ready")
        app.conversation.prompt.value = "Tell a story"
        await pilot.press("enter")
        assert app.conversation.prompt.value == "Tell a story\n"
        await pilot.press("ctrl+s")
        await until(app, "Once", "answering")
        await pilot.press("escape")
        await pilot.pause()
        assert app.conversation.state == "answering"
        await pilot.press("f9")
        await until(app, "stopped")
        await say_keys(pilot.app, "/keys")
        await pilot.press("ctrl+s")
        await until(app, "F9: stop the answer")


async def say_keys(app: object, text: str) -> None:
    assert isinstance(app, ChatApp)
    app.conversation.prompt.value = text


@pytest.mark.parametrize(("code", "mark"), [("en", "?"), ("ar", "؟"), ("zh", "？")])  # that is what is typed
async def test_a_question_mark_in_an_empty_prompt_shows_all_keys_in_the_interface_s_language(
    file: Path, fake: FakeEndpoint, code: str, mark: str
) -> None:
    use(code)
    app = ChatApp(fake.connect)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, "fake-model")
        app.post_message(events.Key("a_question_mark", mark))
        await until(app, displayed(_("Everywhere")), "Ctrl-Q", "F1")
        assert displayed(_("leave the chat")) in screen(app)
        await pilot.press("escape")
        await pilot.pause()
        app.conversation.prompt.value = "Is it so"
        app.post_message(events.Key("a_question_mark", mark))
        await pilot.pause()
        assert app.conversation.prompt.value == f"Is it so{mark}"
        assert app.screen is app.conversation


async def test_the_palette_finds_commands_by_what_they_do_and_does_them(file: Path, fake: FakeEndpoint) -> None:
    use("bg")
    app = ChatApp(fake.connect)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, "fake-model")
        await pilot.press("ctrl+p")
        await until(app, "/adapter", "/lock")
        await pilot.press(*_("show all keys").split()[-1])
        shown = await until(app, "/keys")
        assert "/lock" not in shown
        await pilot.press("enter")
        await until(app, _("Everywhere"))
        await pilot.press("escape", "ctrl+p")
        await until(app, "/adapter")
        await pilot.press(*"quit", "enter")
    assert app.return_code == 0


async def test_commands_are_laid_out_from_right_to_left(file: Path, fake: FakeEndpoint) -> None:
    use("ar")
    app = ChatApp(fake.connect)
    async with app.run_test(size=(80, 24)) as pilot:
        await say(pilot, "/palette")
        await until(app, displayed(_("Commands")), displayed(_("show all keys")))


async def test_keys_of_a_card_and_of_the_prompt_s_focus_are_as_the_file_says(file: Path, fake: FakeEndpoint) -> None:
    file.write_text('once = "z"\n')
    fake.script = [[SENT], ["Да."]]
    async with ChatTools(settings()) as tools:
        app = ChatApp(fake.connect, message="?", tools=tools, look=Look.configured())
        async with app.run_test(size=(80, 24)) as pilot:
            await until(app, "may it run?")
            # Tab goes to the card, since nothing is offered.
            await pilot.press("tab", "z")
            await until(app, "send · answered", "Да.")


async def test_a_letter_that_is_no_key_of_a_card_any_more_is_typed(file: Path, fake: FakeEndpoint) -> None:
    file.write_text('once = "z"\n')
    fake.script = [[SENT], ["Да."]]
    async with ChatTools(settings()) as tools:
        app = ChatApp(fake.connect, message="?", tools=tools, look=Look.configured())
        async with app.run_test(size=(80, 24)) as pilot:
            await until(app, "may it run?")
            await pilot.press("tab", "o")
            await pilot.pause()
            assert app.conversation.prompt.value == "o"
            assert "answered" not in screen(app)
            await pilot.press("escape")


async def test_texts_name_the_keys_that_the_file_gives(file: Path, fake: FakeEndpoint) -> None:
    file.write_text('stop = "f9"\nleave = ["f10", "escape"]\nlock-mode = "ctrl+l"\nnew = "ctrl+o"\n')
    fake.script = [["Once", WAIT], {"message": "Too long.", "code": "context_length_exceeded"}]
    app = ChatApp(fake.connect, message="Tell", look=Look.configured())
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, "Once", "answering … (F9 stops)")
        await say(pilot, "/lock")
        await until(app, "Enter choose · Ctrl-L soft or hard · F10 leaves")
        await pilot.press("f10", "f9")
        await until(app, "stopped")
        await say(pilot, "More")
        await until(app, "Too long. Ctrl-O starts a new conversation.")
    use("fr")
    assert with_keys("{stop}, {leave}, {nothing}") == "F9, F10, {nothing}"
    ChatApp(fake.connect)
    assert with_keys("{stop}, {send}") == "Échap, Entrée", "as they are where the file says nothing"


async def test_the_interface_s_language_is_chosen_from_a_list(file: Path, fake: FakeEndpoint) -> None:
    app = ChatApp(fake.connect)
    async with app.run_test(size=(80, 30)) as pilot:
        await until(app, "ready")
        await say(pilot, "/language")
        await until(app, "Show the chat in a language", "English · in use", "Dutch · Nederlands", "Swahili")
        await pilot.press(*"dutch", "enter")
        await until(app, "klaar")
        assert used() == "nl"
