"""Languages by any of their names."""

from __future__ import annotations

import pytest

from runtime.errors import UnknownLanguage
from runtime.language.codes import parse

ALIASES = {
    "bul_Cyrl": "bg bg_BG bg_BG.UTF-8 bg-BG bul BUL bul_Cyrl Bulgarian bulgarian български >>bul<< __bg__ <2bg>",
    "nld_Latn": "nl nl_XX nld nld_Latn Dutch Nederlands",
    "fra_Latn": ">>fra<< fr_XX __fr__ <2fr> fr-CA French français",
    "zho_Hans": "zh zh_CN zh-Hans cmn zho_Hans Chinese 中文",
    "zho_Hant": "zh_TW zh-Hant zho_Hant",
    "kor_Hang": "ko ko_KR kor 한국어",
    "kor_Kore": "kor_Kore",
    "jpn_Jpan": "ja ja_XX 日本語",
    "srp_Cyrl": "sr Serbian",
    "srp_Latn": "sr-Latn srp_Latn",
    "arb_Arab": "ar ar_AR ara arb_Arab Arabic العربية",
    "swh_Latn": "sw swa swh_Latn Swahili",
    "est_Latn": "et est ekk_Latn",
    "lav_Latn": "lv lvs_Latn",
    "heb_Hebr": "he iw",
    "xmf_Geor": "xmf",
}


@pytest.mark.parametrize(("code", "aliases"), ALIASES.items())
def test_every_usual_alias_names_the_language(code: str, aliases: str) -> None:
    assert {alias: str(parse(alias)) for alias in aliases.split()} == dict.fromkeys(aliases.split(), code)


@pytest.mark.parametrize(
    ("text", "nearest"),
    [("Blgarian", "bul_Cyrl"), ("deutsh", "deu_Latn"), ("bul_Cyrlx", "bul_Cyrl"), ("日本", "jpn_Jpan")],
)
def test_an_unknown_language_is_answered_with_the_nearest(text: str, nearest: str) -> None:
    with pytest.raises(UnknownLanguage, match=f"There is no language '{text}'.*{nearest}") as caught:
        parse(text, param="language")
    assert nearest in caught.value.nearest
    assert caught.value.param == "language"


@pytest.mark.parametrize(
    "text", ["", " ", "und", "mul", "zxx", "qaa", "qtz", "xx", "bul_Qwer", "x" * 10_000, "\n", "1234"]
)
def test_what_is_no_language_is_refused(text: str) -> None:
    with pytest.raises(UnknownLanguage):
        parse(text)
