"""What models are told of tools: a file a language, all of the same form, each in its own language and script."""

from __future__ import annotations

import string
import tomllib
from dataclasses import asdict, fields

import langcodes
import pytest
import regex

from runtime.chat.tools.prompts import ENGLISH, FOLDER, ToolPrompts, prompt_languages, prompts_for
from runtime.language.codes import parse
from runtime.language.detect import detect

EU = (
    "bul_Cyrl ces_Latn dan_Latn deu_Latn ell_Grek eng_Latn est_Latn fin_Latn fra_Latn gle_Latn hrv_Latn hun_Latn "
    "ita_Latn lav_Latn lit_Latn mlt_Latn nld_Latn pol_Latn por_Latn ron_Latn slk_Latn slv_Latn spa_Latn swe_Latn"
)
OTHERS = "arb_Arab hin_Deva ind_Latn jpn_Jpan kor_Hang swh_Latn tur_Latn ukr_Cyrl vie_Latn zho_Hans zho_Hant"
LANGUAGES = (*EU.split(), *OTHERS.split())
SCRIPTS = {
    "Arab": r"\p{Script=Arabic}",
    "Cyrl": r"\p{Script=Cyrillic}",
    "Deva": r"\p{Script=Devanagari}",
    "Grek": r"\p{Script=Greek}",
    "Hang": r"\p{Script=Hangul}",
    "Hans": r"\p{Script=Han}",
    "Hant": r"\p{Script=Han}",
    "Jpan": r"[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}ー]",
    "Latn": r"\p{Script=Latin}",
}
PLACEHOLDERS = {"form": ["start", "result"], "denied": ["name"], "failed": ["name", "error"]}


def test_there_are_the_official_languages_of_the_union_and_ten_more_one_of_them_in_two_scripts() -> None:
    assert len(EU.split()) == 24
    assert prompt_languages() == set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_the_same_things_with_the_same_placeholders(language: str) -> None:
    document = tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))
    assert list(document) == [field.name for field in fields(ToolPrompts)]
    for name, text in document.items():
        found = sorted(field for _, field, _, _ in string.Formatter().parse(text) if field is not None)
        assert found == sorted(PLACEHOLDERS.get(name, [])), name
        assert text and text == text.strip(), name
    assert ToolPrompts(**document) == prompts_for(language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_is_written_in_its_script(language: str) -> None:
    script = SCRIPTS[language.partition("_")[2]]
    for name, text in asdict(prompts_for(language)).items():
        # "AI" is Latin in many languages, and so is one letter of TUCAN's words.
        letters = regex.findall(r"\p{L}", regex.sub(r"\{\w+\}|AI", "", text))
        foreign = [letter for letter in letters if not regex.fullmatch(script, letter)]
        assert letters
        assert foreign == (["a"] if (language, name) == ("bul_Cyrl", "form") else []), name


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != ENGLISH])
def test_no_line_of_another_language_is_the_english_one(language: str) -> None:
    english = asdict(prompts_for(ENGLISH))
    assert [name for name, text in asdict(prompts_for(language)).items() if text == english[name]] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_user_s_language_finds_its_words_by_detection_and_by_name(language: str) -> None:
    words = prompts_for(language)
    found = detect(f"{words.assistant} {words.access}")
    assert (str(found.language), found.is_confident, found.is_mixed) == (language, True, False)
    assert str(parse(langcodes.Language.get(language).simplify_script().to_tag())) == language


def test_languages_do_not_share_their_words() -> None:
    said = [prompts_for(language).access for language in LANGUAGES]
    assert len(set(said)) == len(said)


@pytest.mark.parametrize("language", [None, "", "xho_Latn", "bul", "../eng_Latn", "mon_Mong"])
def test_a_language_without_words_gets_english_ones(language: str | None) -> None:
    assert prompts_for(language) == prompts_for(ENGLISH)


def test_bulgarian_has_the_words_that_tucan_was_trained_with() -> None:
    words = prompts_for("bul_Cyrl")
    assert words.assistant == "Ти си полезен AI асистент, който предоставя полезни и точни отговори."
    assert words.access == (
        "Имаш достъп и можеш да извикаш една или повече функции, за да помогнеш с потребителското запитване. "
        "Използвай ги, само ако е необходимо и подходящо."
    )
    assert words.form.format(start="```tool_call", result="```") == (
        "Когато използваш функция, форматирай извикването ѝ в блок ```tool_call на отделен ред, a след това ще "
        "получиш резултат от изпълнението в блок ```."
    )
    assert (words.form_heading, words.tools_heading) == ("Шаблон за извикване:", "Налични функции:")
    assert words.request_heading == "Потребителска заявка:"
