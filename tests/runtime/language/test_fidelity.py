"""Language fidelity: how much of an answer is in the language asked for, and what a lock should have kept out."""

from __future__ import annotations

import pytest

from runtime.language.codes import parse
from runtime.language.fidelity import fidelity_to, foreign_to, prose_of

BULGARIAN = "Столицата на България е София, а най-голямата река по нейната северна граница е Дунав."
ENGLISH = "The capital of Bulgaria is Sofia, and the largest river along its northern border is the Danube."
ARABIC = "عاصمة بلغاريا هي صوفيا، وأكبر نهر على حدودها الشمالية هو نهر الدانوب."
JAPANESE = "ブルガリアの首都はソフィアで、北の国境を流れる最も大きな川はドナウ川です。"
CODE = "```python\nprint('the capital of the country is printed here')\n```\n"


@pytest.mark.parametrize(("language", "text"), [("bul", BULGARIAN), ("ara", ARABIC), ("jpn", JAPANESE)])
def test_a_text_in_the_language_asked_for_is_wholly_in_it(language: str, text: str) -> None:
    fidelity = fidelity_to(parse(language), text)
    assert fidelity.share == 1.0
    assert fidelity.found == ((str(parse(language)), 1.0),)


def test_a_text_in_another_language_is_not_in_it_at_all() -> None:
    assert fidelity_to(parse("bul"), ENGLISH).share == 0.0
    assert fidelity_to(parse("mkd"), BULGARIAN).share == 0.0


def test_a_text_in_two_languages_is_in_each_by_its_share_of_the_letters() -> None:
    fidelity = fidelity_to(parse("bul"), f"{BULGARIAN} {ENGLISH}")
    letters = [sum(char.isalpha() for char in text) for text in (BULGARIAN, ENGLISH)]
    assert fidelity.share == pytest.approx(letters[0] / sum(letters), abs=0.02)
    assert [language for language, _share in fidelity.found] == ["eng_Latn", "bul_Cyrl"]


def test_code_counts_in_no_language() -> None:
    assert prose_of(f"Ето:\n{CODE}Готово.") == "Ето:\n```\nГотово."
    assert fidelity_to(parse("bul"), f"{BULGARIAN}\n{CODE}{BULGARIAN}").share == 1.0


def test_a_text_without_letters_has_no_fidelity() -> None:
    assert fidelity_to(parse("bul"), "42 ± 0.5 🙂").share is None
    assert fidelity_to(parse("bul"), CODE).share is None


def test_too_little_to_be_sure_of_has_no_fidelity_but_to_languages_of_other_scripts() -> None:
    for language in ("eng", "epo", "fra"):
        assert fidelity_to(parse(language), "Rivers\n\nNile 6650\n\nDone.").share is None
    assert fidelity_to(parse("bul"), "Rivers\n\nNile 6650\n\nDone.").share == 0.0


def test_a_long_text_is_read_to_its_end() -> None:
    text = "\n".join([BULGARIAN] * 30 + [ENGLISH] * 30)
    assert len(text) > 5000
    assert fidelity_to(parse("bul"), text).share == pytest.approx(0.47, abs=0.05)
    one_line = fidelity_to(parse("bul"), text.replace("\n", " "))
    assert one_line.share == pytest.approx(0.47, abs=0.05)


def test_chinese_counts_in_both_scripts() -> None:
    assert fidelity_to(parse("zho_Hant"), "保加利亚的首都是索非亚，最长的河流是多瑙河。").share == 1.0


def test_what_a_lock_keeps_out_is_told_but_for_code() -> None:
    assert foreign_to(f"{BULGARIAN} Δx, дом.\n{CODE}", parse("bul"), "") == "Δx"
    assert foreign_to(BULGARIAN, parse("bul"), "") == ""
    assert foreign_to("日本 дом", parse("jpn"), "") == "дом"


def test_a_lock_on_the_language_of_the_message_goes_by_its_scripts() -> None:
    assert foreign_to("Да, yes.", None, "Кажи нещо.") == "yes"
    assert foreign_to("Да, yes.", None, "42?") == ""
