"""Which language a text is in."""

from __future__ import annotations

import subprocess
import sys

import pytest

from runtime.language.detect import MAX_CHARS, detect
from tests.runtime.language.texts import TEXTS


@pytest.mark.parametrize("language", TEXTS)
def test_a_sentence_is_known_in_every_language(language: str) -> None:
    found = detect(TEXTS[language][1])
    assert str(found.language) == language
    assert found.is_confident
    assert not found.is_mixed


def test_greetings_of_two_words_are_known_in_most_languages_and_the_others_are_not_trusted() -> None:
    found = {language: detect(greeting) for language, (greeting, _) in TEXTS.items()}
    wrong = {language: verdict for language, verdict in found.items() if str(verdict.language) != language}
    assert len(wrong) <= 10
    assert [language for language, verdict in wrong.items() if verdict.confidence > 0.6] == []


@pytest.mark.parametrize(
    ("text", "languages"),
    [
        ("Търся евтин билет за влака до морето. I want to buy a cheap ticket.", {"bul_Cyrl", "eng_Latn"}),
        ("The train leaves at nine. Le train part à neuf heures du matin tous les jours.", {"fra_Latn", "eng_Latn"}),
        ("私は学生です。毎日電車で学校に行きます。 The train is always late in the morning.", {"jpn_Jpan", "eng_Latn"}),
    ],
)
def test_mixed_text_is_reported_as_mixed_with_the_share_of_each_part(text: str, languages: set[str]) -> None:
    found = detect(text)
    assert found.is_mixed
    assert {str(part.language) for part in found.parts} == languages
    assert sum(part.share for part in found.parts) == pytest.approx(1, abs=0.01)
    assert found.language == max(found.parts, key=lambda part: part.share).language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("私はOpenAIのAPIを使います", "jpn_Jpan"),
        ("Как да инсталирам Python и numpy на новия си лаптоп?", "bul_Cyrl"),
        ("ฉันใช้ Windows ทุกวัน", "tha_Thai"),
    ],
)
def test_foreign_names_make_no_text_mixed(text: str, language: str) -> None:
    assert [str(part.language) for part in detect(text).parts] == [language]


def test_simplified_and_traditional_chinese_are_told_apart() -> None:
    assert str(detect("我们在哪里买车票").language) == "zho_Hans"
    assert str(detect("我們在哪裡買車票").language) == "zho_Hant"


@pytest.mark.parametrize("text", ["", " \n", "123 + 456 = 579", "😀 🎉", "𐀀𐀁"])
def test_a_text_without_letters_that_are_known_is_of_no_language(text: str) -> None:
    found = detect(text)
    assert found.language is None
    assert (found.confidence, found.is_confident, found.is_mixed) == (0.0, False, False)


def test_only_the_beginning_of_a_long_text_is_read() -> None:
    assert str(detect("Καλημέρα σας. " * MAX_CHARS + "Good morning to you. " * 3 * MAX_CHARS).language) == "ell_Grek"


def test_a_script_of_one_language_needs_no_classifier() -> None:
    code = "import sys; from runtime.language.detect import detect; print(detect('გამარჯობა').language, 'py3langid' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["kat_Geor", "False"]
