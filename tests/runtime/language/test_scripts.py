"""Which characters belong to a script."""

from __future__ import annotations

import unicodedata

import pytest
import regex

from runtime.errors import InvalidRequest
from runtime.language.scripts import (
    SCRIPTS,
    allowed_code_points,
    foreign_characters,
    main_scripts,
    script_of,
    to_scripts,
)


@pytest.mark.parametrize(
    ("text", "scripts", "foreign"),
    [
        ("Здравей, world 123 – „да“ №5 ℃ € 😀👨‍👩‍👧 е́", ["Cyrl"], "world"),
        ("Καλημέρα, мир α²", ["Grek"], "мир"),
        ("नमस्ते १२३ 123, world। ٣", ["Deva"], "world٣"),
        ("สวัสดี ๑๒ 12 中", ["Thai"], "中"),
        ("مرحبا، ١٢ 12 שלום", ["Arab"], "שלום"),
        ("東京タワーへ行く。ok ー 々 안", ["Hani", "Hira", "Kana"], "ok안"),
        ("안녕하세요 12개, 漢字 ok", ["Hang"], "漢字ok"),
        ("გამარჯობა, м", ["Geor"], "м"),
        ("naïve Ⅷ ª Ω", ["Latn"], "Ω"),
        ("да or не", ["Cyrl", "Latn"], ""),
    ],
)
def test_letters_of_other_scripts_are_foreign_and_shared_digits_and_punctuation_are_not(
    text: str, scripts: list[str], foreign: str
) -> None:
    assert foreign_characters(text, scripts) == foreign


@pytest.mark.parametrize("script", ["Cyrl", "Latn", "Deva", "Hang"])
def test_the_allowed_code_points_are_what_unicode_s_properties_say_of_each_character(script: str) -> None:
    allowed = allowed_code_points((script,))
    belongs = regex.compile(rf"\p{{scx={script}}}")
    shared = regex.compile(r"[\p{scx=Zyyy}\p{scx=Zinh}]")
    for code in (*range(0xD800), *range(0xE000, 0x30000)):
        char = chr(code)
        is_letter = unicodedata.category(char)[0] in "LM"
        if belongs.match(char) or shared.match(char):
            assert allowed[code], f"{code:X}"
        elif is_letter:
            assert not allowed[code], f"{code:X}"
    assert not allowed[0xD800:0xE000].any()


def test_every_letter_that_unicode_knows_has_a_script() -> None:
    shared = regex.compile(r"[\p{sc=Zyyy}\p{sc=Zinh}]")
    letters = [chr(code) for code in (*range(0xD800), *range(0xE000, 0x20000)) if chr(code).isalpha()]
    assert [char for char in letters if script_of(char) is None and not shared.match(char)] == []


def test_codes_of_scripts_that_are_written_together_stand_for_all_of_them() -> None:
    assert to_scripts(["Jpan"]) == ("Hani", "Hira", "Kana")
    assert to_scripts(["kore", "LATN"]) == ("Hang", "Hani", "Latn")
    assert to_scripts(["Hans"]) == ("Hani",)


@pytest.mark.parametrize(
    ("code", "hint"), [("Cyrillic", "Cyrl"), ("Cyrk", "Cyrl"), ("", "ISO 15924"), ("x" * 999, "x{40}'")]
)
def test_an_unknown_script_is_refused_with_the_nearest(code: str, hint: str) -> None:
    with pytest.raises(InvalidRequest, match=hint) as caught:
        to_scripts([code])
    assert caught.value.param == "scripts"


@pytest.mark.parametrize(
    ("text", "scripts"),
    [
        ("Добро утро", ("Cyrl",)),
        ("東京へ", ("Hani", "Hira", "Kana")),
        ("早上好", ("Hani",)),
        ("Как да инсталирам Python на лаптопа?", ("Cyrl",)),
        ("Преведи good morning", ("Cyrl", "Latn")),
        ("42!", ()),
    ],
)
def test_the_scripts_of_a_text_are_those_of_a_good_part_of_its_letters(text: str, scripts: tuple[str, ...]) -> None:
    assert main_scripts(text) == scripts


def test_the_list_of_scripts_has_none_twice() -> None:
    assert len(set(SCRIPTS)) == len(SCRIPTS)
