"""The corpus that tokenizers are compared on: what is in it."""

from __future__ import annotations

import unicodedata

import pytest
import regex

from converters.probes import ALPHABETS, DECLARATION, LINES, PROBES, STUMBLING
from runtime.language import codes
from runtime.language.scripts import to_scripts

# UAX #31, revision 43 (Unicode 17), https://www.unicode.org/reports/tr31/: table 5, Recommended Scripts, without Common
# and Inherited, and table 7, Limited Use Scripts: all that are written today, by many people or by few.
RECOMMENDED = (
    "Arab Armn Beng Bopo Cyrl Deva Ethi Geor Grek Gujr Guru Hang Hani Hebr Hira Kana Knda Khmr Laoo Latn Mlym Mymr Orya "
    "Sinh Taml Telu Thaa Thai Tibt"
).split()
LIMITED_USE = (
    "Adlm Bali Bamu Batk Cakm Cans Cham Cher Hmnp Java Kali Lana Lepc Limb Lisu Mand Mtei Newa Nkoo Olck Osge Plrd Rohg "
    "Saur Sund Sylo Syrc Tale Talu Tavt Tfng Vaii Wcho Yiii"
).split()
# Table 4 excludes these from identifiers, though people write them.
ALSO_WRITTEN = "Mong Bugi Tglg Hano Buhd Tagb Rjng Gong Gonm Hmng Nagm Toto Tnsa Mend Osma Gara Sunu Onao".split()


@pytest.mark.parametrize("script", RECOMMENDED + LIMITED_USE + ALSO_WRITTEN)
def test_every_living_script_occurs(script: str) -> None:
    letters = regex.compile(rf"\p{{sc={script}}}")
    assert max(len(set(letters.findall(probe.text))) for probe in PROBES) >= 10


def test_the_same_sentences_stand_there_in_many_languages() -> None:
    languages = {name.partition("_")[0] for name in DECLARATION}
    assert len(languages) > 120
    assert len(set(DECLARATION.values())) == len(DECLARATION)
    for name, text in DECLARATION.items():
        script = name.partition("_")[2]
        assert codes.parse(name).script == script
        own = regex.compile("[" + "".join(rf"\p{{scx={each}}}" for each in to_scripts([script])) + "]")
        letters = regex.findall(r"\p{L}", text)
        assert sum(bool(own.match(letter)) for letter in letters) > 0.95 * len(letters)


def test_the_short_lines_that_models_are_compared_on_are_as_many_as_verify_says() -> None:
    assert len(LINES) == 41
    assert max(map(len, LINES.values())) < 60


def test_a_script_s_letters_are_its_own_and_stand_for_no_language() -> None:
    written = {name.partition("_")[2] for name in DECLARATION}
    assert not written & set(ALPHABETS)
    for script, text in ALPHABETS.items():
        letters = [char for char in text if regex.match(r"[\p{L}\p{So}]", char)]
        assert letters
        assert all(regex.match(rf"\p{{sc={script}}}", char) for char in letters)


@pytest.mark.parametrize(
    "pattern",
    [
        r"\u200d",
        r"\u200c",
        r"\p{Emoji_Modifier}",
        r"\p{Regional_Indicator}{2}",
        r"\p{Emoji}\ufe0f?\u200d\p{Emoji}",
        r"[\U000e0020-\U000e007f]+",
        r"\x00",
        r"[\x01-\x08]",
        r"[\x80-\x9f]",
        r"[\u202a-\u202e]",
        r"[\u2066-\u2069]",
        r"\p{Co}",
        r"\p{Cn}",
        r" {3}",
        "▁",
    ],
)
def test_what_tokenizers_stumble_over_occurs(pattern: str) -> None:
    assert any(regex.search(pattern, text) for text in STUMBLING.values())


def test_digits_of_other_scripts_occur() -> None:
    text = " ".join([*STUMBLING.values(), *ALPHABETS.values(), *LINES.values(), *DECLARATION.values()])
    zeros = {char for char in text if unicodedata.decimal(char, None) == 0}
    assert len(zeros) > 30


def test_composed_and_decomposed_forms_stand_there_as_pairs() -> None:
    assert STUMBLING["nfc"] != STUMBLING["nfd"]
    assert unicodedata.normalize("NFD", STUMBLING["nfc"]) == STUMBLING["nfd"]
    assert unicodedata.normalize("NFC", STUMBLING["nfd"]) == unicodedata.normalize("NFC", STUMBLING["nfc"])


def test_every_text_is_unicode_that_can_be_sent() -> None:
    assert all(probe.text and probe.text.encode() for probe in PROBES)
    assert len({probe.text for probe in PROBES}) == len(PROBES)
