"""Models by language, from a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.errors import ConfigurationInvalid
from runtime.language.codes import parse
from runtime.language.route import Routes, conversation_language

TABLE = """
default = "base"

[languages]
bg = "bggpt"
srp_Latn = "base:serbian"
Macedonian = "base:mk"
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "routes.toml"
    path.write_text(TABLE, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("language", "base", "target"),
    [
        ("bul", None, "bggpt"),
        ("srp_Latn", None, "base:serbian"),
        ("srp_Cyrl", None, "base"),
        ("fra", None, "base"),
        ("mkd", "base", "base:mk"),
        ("bul", "base", "base"),
        ("bul", "bggpt", "bggpt"),
        ("mkd", "bggpt", "bggpt"),
    ],
)
def test_the_table_chooses_by_language_and_script_and_within_a_base(
    table: Path, language: str, base: str | None, target: str
) -> None:
    assert Routes.read(table).choose(parse(language), base).target == target


def test_a_conversation_of_no_known_language_goes_to_the_default(table: Path) -> None:
    assert Routes.read(table).choose(None) == ("base", None)
    assert Routes.read(table).choose(None, "bggpt") == ("bggpt", None)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "names no 'default'"),
        ('default = "a"\nlanguage = 1', "unknown key 'language'"),
        ('default = "a"\nlanguages = 1', "must be a table"),
        ('default = "a"\n[languages]\nbulgarain = 1', "must name a model"),
        ('default = "a"\n[languages]\nxx = "b"', "no language 'xx'"),
        ('default = "a"\n[languages]\nbg = "b"\nbul_Cyrl = "c"', "bul_Cyrl twice"),
        ("default", "cannot be read"),
    ],
)
def test_a_faulty_table_is_refused_and_the_fault_named(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "routes.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationInvalid, match=fault):
        Routes.read(path)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match="cannot be read"):
        Routes.read(tmp_path / "none.toml")


def test_a_conversation_keeps_the_language_of_its_first_message_that_is_sure() -> None:
    first = "Откъде мога да си купя билет за влака до морето?"
    assert str(conversation_language([first])) == "bul_Cyrl"
    later = "Translate this for me please: where can I buy a ticket for the train to the coast?"
    assert str(conversation_language([first, later, later])) == "bul_Cyrl"
    assert str(conversation_language(["42?", "ok", later, first])) == "eng_Latn"
    assert conversation_language(["42", "!"]) is None


def test_foreign_words_in_a_message_do_not_flip_the_language() -> None:
    assert str(conversation_language(["Как да инсталирам Python и numpy на новия си лаптоп?"])) == "bul_Cyrl"
