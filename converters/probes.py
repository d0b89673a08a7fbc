"""Texts that tokenizers and models are compared on.

Models are compared on the short lines of `LINES`; tokenizers on these and on the corpus beside this file: the same
sentences in 139 languages, the letters of every other living script, and what tokenizers stumble over.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

_CORPUS = Path(__file__).parent / "corpus"

# By language and script, ISO 639-3 and ISO 15924.
LINES: dict[str, str] = {
    "eng_Latn": "Hello, world! It's a test.",
    "fra_Latn": "«Bonjour»\n\tL'été (1) n’est pas là…",
    "spa_Latn": "¿Dónde está el niño? ¡Aquí!",
    "deu_Latn": "Größe, Straße, Äpfel und Öl",
    "pol_Latn": "Zażółć gęślą jaźń",
    "ces_Latn": "Příliš žluťoučký kůň úpěl ďábelské ódy",
    "isl_Latn": "Íslenska: þetta er próf, ðað er gott",
    "tur_Latn": "Türkçe: İstanbul'da ılık bir ığdır",
    "vie_Latn": "Tiếng Việt: Xin chào thế giới",
    "yor_Latn": "Yorùbá: Ẹ káàárọ̀, ṣé dáadáa ni?",
    "hau_Latn": "Hausa: ƙasa, ɗan, ɓera",
    "bul_Cyrl": "Български: Столицата на България е София.",
    "rus_Cyrl": "Русский: съешь же ещё этих мягких булок",
    "ukr_Cyrl": "Українська: ґанок, їжак, єнот",
    "ell_Grek": "Ελληνικά: Ξεσκεπάζω την ψυχοφθόρα βδελυγμία",
    "hye_Armn": "Հայերեն: Բարև աշխարհ",
    "kat_Geor": "ქართული: გამარჯობა მსოფლიო",
    "heb_Hebr": "עברית: שלום עולם, שָׁלוֹם",
    "arb_Arab": "العربية: مرحبا بالعالم، كيف الحال؟",
    "pes_Arab": "فارسی: می‌خواهم، ۱۲۳",
    "urd_Arab": "اردو: آپ کیسے ہیں؟",
    "hin_Deva": "हिन्दी: नमस्ते दुनिया, क्ष त्र ज्ञ १२३",
    "ben_Beng": "বাংলা: ওহে বিশ্ব, ক্ষুদ্র",
    "pan_Guru": "ਪੰਜਾਬੀ: ਸਤ ਸ੍ਰੀ ਅਕਾਲ",
    "guj_Gujr": "ગુજરાતી: નમસ્તે વિશ્વ",
    "ory_Orya": "ଓଡ଼ିଆ: ନମସ୍କାର",
    "tam_Taml": "தமிழ்: வணக்கம் உலகம்",
    "tel_Telu": "తెలుగు: నమస్కారం ప్రపంచం",
    "kan_Knda": "ಕನ್ನಡ: ನಮಸ್ಕಾರ ಜಗತ್ತು",
    "mal_Mlym": "മലയാളം: നമസ്കാരം ലോകം",
    "sin_Sinh": "සිංහල: ආයුබෝවන් ලෝකය",
    "tha_Thai": "ไทย: สวัสดีชาวโลก",
    "lao_Laoo": "ລາວ: ສະບາຍດີ",
    "mya_Mymr": "မြန်မာ: မင်္ဂလာပါ",
    "khm_Khmr": "ខ្មែរ: សួស្តីពិភពលោក",
    "bod_Tibt": "བོད་ཡིག: བཀྲ་ཤིས་བདེ་ལེགས",
    "amh_Ethi": "አማርኛ: ሰላም ልዑል",
    "zho_Hans": "中文：你好，世界。今天天气很好！",
    "jpn_Jpan": "日本語：こんにちは、世界。カタカナもあります。",
    "kor_Hang": "한국어: 안녕하세요 세계",
    "iku_Cans": "ᓄᓇᕗᑦ ᐃᓄᒃᑎᑐᑦ",
}


@dataclass(frozen=True)
class Probe:
    """A text, and its name: a language, a script, or what it is of."""

    name: str
    text: str


def _read(file: str) -> dict[str, str]:
    lines: dict[str, str] = tomllib.loads((_CORPUS / file).read_text(encoding="utf-8"))
    return lines


# By language and script: the same sentences in each, so that the numbers of their tokens can be compared.
DECLARATION = _read("declaration.toml")
# By ISO 15924: letters, marks and digits of scripts, which say nothing.
ALPHABETS = _read("alphabets.toml")
# By what they are.
STUMBLING = _read("stumbling.toml")

PROBES: tuple[Probe, ...] = tuple(
    Probe(name, text) for lines in (LINES, STUMBLING, DECLARATION, ALPHABETS) for name, text in lines.items()
)
