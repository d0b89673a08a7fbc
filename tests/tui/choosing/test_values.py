"""What is typed and chosen, without a screen: sampling, the choices of a conversation, names of languages."""

from __future__ import annotations

import pytest

from runtime.errors import DemoticError, UnknownLanguage
from tui.choosing.choices import Choices, Lock
from tui.choosing.languages import all_named, named, names_of
from tui.choosing.sampling import SETTINGS, Sampling, setting_named, with_value
from tui.words import use


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("temperature", "0.7", 0.7),
        ("temperature", " 1,5 ", 1.5),
        ("temperature", "٠٫٥", 0.5),
        ("temperature", "", None),
        ("top_p", "1", 1.0),
        ("top_k", "४०", 40),
        ("min_p", "0.05", 0.05),
        ("repetition_penalty", "1.1", 1.1),
        ("max_tokens", "１００", 100),
        ("seed", "-7", -7),
    ],
)
def test_numbers_are_read_in_the_digits_of_any_script(name: str, text: str, value: float | None) -> None:
    assert setting_named(name).read(text) == value


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("temperature", "2.1", "'2.1' does not fit temperature: a number from 0 to 2."),
        ("temperature", "nan", "a number from 0 to 2"),
        ("temperature", "warm", "a number from 0 to 2"),
        ("top_p", "-0.1", "a number from 0 to 1"),
        ("top_k", "1.5", "a whole number from 0"),
        ("repetition_penalty", "0", "a number from 0.001 to 1000"),
        ("max_tokens", "0", "a whole number from 1"),
        ("seed", "x", "'x' does not fit seed: a whole number."),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(name: str, text: str, sentence: str) -> None:
    with pytest.raises(DemoticError, match=sentence):
        with_value(Sampling(), setting_named(name), text)


def test_there_is_a_setting_for_every_field_of_sampling_and_no_other() -> None:
    assert [setting.name for setting in SETTINGS] == list(Sampling.__struct_fields__)
    with pytest.raises(DemoticError, match="no setting 'warmth'\\. There are temperature, top_p"):
        setting_named("warmth")


def test_only_what_was_chosen_is_sent() -> None:
    assert Choices().fields() == {}
    chosen = Choices("mk", Lock("bul_Cyrl", "hard"), Sampling(temperature=0, seed=5))
    assert chosen.fields() == {"temperature": 0, "seed": 5, "language": "bul_Cyrl", "mode": "hard"}
    assert (chosen.model("gemma"), Choices().model("gemma")) == ("gemma:mk", "gemma")


def test_choices_come_back_from_a_conversation_s_settings() -> None:
    chosen = Choices("mk", Lock("auto"), Sampling(top_k=40))
    settings = chosen.to_settings()
    assert settings == {"lock": {"language": "auto", "mode": "soft"}, "sampling": {"top_k": 40}}
    assert Choices.from_settings(settings, "mk") == chosen
    assert Choices.from_settings({}) == Choices()
    assert Choices.from_settings({"lock": {"language": 5}, "from": "another chat"}) == Choices()


def test_a_language_has_its_name_in_the_interface_s_language_and_its_own() -> None:
    use("nl")
    assert named("bg").label == "Bulgaars · български"
    assert named("srp_Latn").label.startswith("Servisch (Latijn")
    assert named("nl").label == "Nederlands"
    use("ar")
    assert named("jpn_Jpan").label == "اليابانية · 日本語"
    assert named("arb_Arab").label == "العربية"
    with pytest.raises(UnknownLanguage):
        named("tlhx")


def test_all_languages_are_in_the_order_of_their_names_and_found_by_any_of_them() -> None:
    use("es")
    every = all_named()
    assert len(every) >= 75
    assert [each.code for each in every if "deutsch" in each.searched] == ["deu_Latn"]
    assert [each.code for each in every if "alemán" in each.searched] == []  # searches are folded
    assert [each.code for each in every if "aleman" in each.searched] == ["deu_Latn"]
    assert names_of(["bul_Cyrl", "eng_Latn", "deu_Latn"], 2) == "búlgaro · inglés · +1"
