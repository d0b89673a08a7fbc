"""The interface's texts in every language: the catalogues, which one is chosen, and how they look in the chat."""

from __future__ import annotations

import gettext
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest
from rich.cells import cell_len

from runtime.errors import ConfigurationInvalid
from tests.tui import catalogues
from tests.tui.endpoint import WAIT, FakeEndpoint
from tests.tui.test_app import say, screen, until
from tui import words
from tui.app import ChatApp
from tui.bidi import displayed
from tui.keynames import with_keys
from tui.screen import Screen
from tui.widgets.keys import Keys
from tui.words import LANGUAGES, _, language_from, plural, use

OTHERS = [code for code in LANGUAGES if code != "en"]
MEND = "run `scripts/messages`, then translate what is empty"
# What is the same in another language.
SAME = {
    ("nl", text)
    for text in ("{calls}, {tokens} in {turns}, {seconds:.1f} s", "Adapter: {name}", "Model", "hard", "sampling")
} | {("es", "no")}
# What stands on keys, in many countries in English.
ON_KEYS = {"Enter", "Esc", "Tab"}


@pytest.fixture(autouse=True)
def in_english() -> Iterator[None]:
    yield
    use("en")


def test_there_is_a_catalogue_of_every_language_but_english() -> None:
    assert catalogues.codes() == sorted(OTHERS)
    assert {"nl", "es", "fr", "bg", "ar", "hi", "zh", "ja", "sw"} <= set(OTHERS)


@pytest.mark.parametrize("code", OTHERS)
def test_a_catalogue_has_every_text_and_no_other(code: str) -> None:
    catalogue = catalogues.read(code)
    assert not catalogue.fuzzy
    assert catalogues.missing(catalogue) == [], MEND
    there = {message.id if isinstance(message.id, str) else tuple(message.id) for message in catalogue if message.id}
    assert there == set(catalogues.texts()), MEND
    assert catalogues.path_of(code, "po").read_bytes() == catalogues.written(catalogues.brought_up_to_date(code)), MEND


@pytest.mark.parametrize("code", OTHERS)
def test_what_the_program_reads_is_what_people_translated(code: str) -> None:
    assert catalogues.path_of(code, "mo").read_bytes() == catalogues.compiled(catalogues.read(code)), MEND


def places(text: str) -> set[tuple[str, str]]:
    return {(name, form or "") for _text, name, form, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("code", OTHERS)
def test_a_translation_fills_the_same_places_and_is_one(code: str) -> None:
    for message in catalogues.read(code):
        if not message.id:
            continue
        forms = catalogues.forms(message)
        for form in forms:
            if isinstance(message.id, str):
                assert places(form) == places(message.id)
            else:
                assert places(form) <= places(message.id[0])
            assert form == form.strip()
        # A form for exactly one number may leave the number out, but some form has it.
        if not isinstance(message.id, str):
            assert any(places(form) for form in forms)
        elif (code, message.id) not in SAME and message.id not in ON_KEYS:
            assert forms[0] != message.id, f"'{message.id}' is not translated"


@pytest.mark.parametrize("code", OTHERS)
def test_there_is_a_form_for_every_kind_of_number(code: str) -> None:
    with catalogues.path_of(code, "mo").open("rb") as file:
        translations = gettext.GNUTranslations(file)
    catalogue = catalogues.read(code)
    for message in catalogue:
        if message.id and not isinstance(message.id, str):
            one, many = message.id
            assert len(catalogues.forms(message)) == catalogue.num_plurals
            found = {translations.ngettext(one, many, count) for count in (*range(200), 1_000_000)}
            assert found == set(catalogues.forms(message))


def test_arabic_has_six_forms_and_chinese_one() -> None:
    use("ar")
    shown = [plural("{count} call", "{count} calls", count) for count in (0, 1, 2, 3, 11, 100)]
    assert shown == ["0 استدعاء", "استدعاء واحد", "استدعاءان", "3 استدعاءات", "11 استدعاءً", "100 استدعاء"]
    use("zh")
    assert plural("{count} call", "{count} calls", 1) == "1 次调用"
    use("en")
    assert [plural("{count} call", "{count} calls", count) for count in (1, 2)] == ["1 call", "2 calls"]


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ({}, "en"),
        ({"LANG": "nl_NL.UTF-8"}, "nl"),
        ({"LANG": "nl_NL.UTF-8", "LC_MESSAGES": "bg_BG.UTF-8"}, "bg"),
        ({"LANG": "nl_NL.UTF-8", "LC_MESSAGES": "bg_BG", "LC_ALL": "sw_KE"}, "sw"),
        ({"LANG": "zh_TW.UTF-8"}, "zh"),
        ({"LANG": "ar"}, "ar"),
        ({"LANG": "hi-IN"}, "hi"),
        ({"LANG": "sr_RS@latin"}, "en"),
        ({"LANG": "sr_RS.UTF-8", "LANGUAGE": "sr:bg:nl"}, "bg"),
        ({"LANG": "en_GB.UTF-8", "LANGUAGE": "ja"}, "ja"),
        ({"LANG": "C.UTF-8", "LANGUAGE": "ja"}, "en"),
        ({"LC_ALL": "POSIX", "LANG": "fr_FR"}, "en"),
    ],
)
def test_the_locale_chooses_the_language(environment: dict[str, str], code: str) -> None:
    assert language_from(environment) == code


def test_an_option_is_stronger_than_the_configuration_and_that_than_the_locale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMOTIC_CONFIG_DIR", str(tmp_path))
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "nl_NL.UTF-8")
    assert Screen.chosen() == Screen("nl", "auto")
    (tmp_path / "config.toml").write_text('interface_language = "fr"\nbidi = "off"\n')
    assert Screen.chosen() == Screen("fr", "off")
    assert Screen.chosen(language="sw", bidi="on") == Screen("sw", "on")
    with pytest.raises(ConfigurationInvalid, match="no texts in 'tlh'"):
        Screen.chosen(language="tlh")
    with pytest.raises(ConfigurationInvalid, match="'maybe' is no setting of bidi"):
        Screen.chosen(bidi="maybe")


@pytest.mark.parametrize("code", LANGUAGES)
async def test_the_chat_is_in_the_language_and_its_keys_fit_80_columns(fake: FakeEndpoint, code: str) -> None:
    fake.script = [["Yes", WAIT, " indeed"], {"message": "Odd."}]
    use(code)
    app = ChatApp(fake.connect)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, displayed(f"fake-model · {_('ready')}"), displayed(_("Say something, in any language"))[:10])
        await say(pilot, "?")
        await until(app, displayed("fake-model · " + with_keys(_("answering … ({stop} stops)"))))
        fake.go_on.set()
        await until(app, "Yes indeed", displayed(_("ready")))
        await say(pilot, "?")
        shown = await until(app, *displayed(_("Say it again, or say something else.").rstrip(".")).split())
        keys = app.query_one(Keys)
        assert keys.virtual_size.width <= 80
        for text in ("Stop", "New conversation", "Quit", "Language"):
            assert displayed(_(text)) in shown.splitlines()[-1]
        assert max(cell_len(line) for line in shown.splitlines()) <= 80


async def test_the_language_changes_while_the_chat_runs(fake: FakeEndpoint) -> None:
    app = ChatApp(fake.connect)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, "fake-model · ready", "New conversation")
        await pilot.press("f2")
        await until(app, "fake-model · klaar", "Nieuw gesprek", "Zeg iets")
        assert words.used() == "nl"
        app.show_in("ar")
        await until(app, "fake-model · " + displayed("جاهز"), displayed("محادثة جديدة"))
        assert "Nieuw gesprek" not in screen(app)


def test_no_text_of_the_interface_stands_beside_the_catalogues() -> None:
    """What is told, failed, shown or raised goes through `_`."""
    bare = re.compile(r'(?:\.tell|\.fail|AnswerFailed|placeholder =)\(?\s*f?"[A-Za-z]')
    for path in sorted(Path(words.__file__).parent.rglob("*.py")):
        assert not bare.search(path.read_text(encoding="utf-8")), path
