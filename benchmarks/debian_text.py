"""Text in many languages that Debian's packages bring: catalogues of messages, manual pages, LibreOffice's help.

    python -m benchmarks.debian_text /tmp/packages bul hin tha jpn deu eng --to /tmp/text

The folder has packages unpacked (`dpkg-deb -x PACKAGE FOLDER`): libreoffice-l10n-*, libreoffice-help-*, manpages-* and
whatever else has translations. A text of each language is written, a paragraph a line, each once.
"""

from __future__ import annotations

import argparse
import gettext
import gzip
import html
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import regex

from runtime.language.codes import parse
from runtime.language.scripts import to_scripts

# By ISO 639-3: how packages name the language.
_LOCALES = {"bul": "bg", "hin": "hi", "tha": "th", "jpn": "ja", "deu": "de", "eng": "en", "fra": "fr"}
_HELP = {"eng": "en-US"}
# English is what the catalogues of this one are translations of.
_ENGLISH_OF = "de"
_MARKS = re.compile(r"[~_&](?=\w)|<[^>]{0,200}>|[{}]")
_ROFF = re.compile(r"\\f.|\\m\[[^]]*\]|\\[&/|,:%]|\\\*?\([a-z]{2}|\\s[-+]?\d+")
_DROPPED = re.compile(r"<(script|style)\b.*?</\1>|<head>.*?</head>", re.DOTALL | re.IGNORECASE)
_BLOCKS = re.compile(r"</?(?:p|div|h[1-6]|li|td|tr|br|table|ul|ol|body|meta)\b[^>]*>", re.IGNORECASE)
_LEAST_CHARS = 12


def text_of(folder: Path, language: str) -> list[str]:
    """The paragraphs of a language (ISO 639-3), in the order of their files; what was left in Latin is left out."""
    locale = _LOCALES[language]
    scripts = to_scripts([parse(language).script])
    own = regex.compile("".join(("[", *(rf"\p{{sc={script}}}" for script in scripts), "]")))
    found: dict[str, None] = {}
    for part in (_messages(folder, locale), _help(folder, _HELP.get(language, locale)), _manual(folder, locale)):
        for paragraph in part:
            line = " ".join(paragraph.split())
            if len(line) >= _LEAST_CHARS and own.search(line):
                found[line] = None
    return list(found)


def _messages(folder: Path, locale: str) -> Iterator[str]:
    """Translations; for English what they were made of."""
    is_english = locale == "en"
    for path in sorted(folder.rglob(f"{_ENGLISH_OF if is_english else locale}/LC_MESSAGES/*.mo")):
        with path.open("rb") as file:
            try:
                catalogue: dict[str | tuple[str, int], str] = vars(gettext.GNUTranslations(file))["_catalog"]
            except (OSError, UnicodeDecodeError, ValueError):
                continue
        for key, text in catalogue.items():
            original = key if isinstance(key, str) else key[0]
            # A context stands before a message, an entry's key after it in LibreOffice's.
            message = original.rpartition("\x04")[2].partition("|")[0]
            if message and text != message:
                yield from _MARKS.sub("", message if is_english else text).split("\n\n")


def _help(folder: Path, locale: str) -> Iterator[str]:
    for path in sorted(folder.rglob(f"libreoffice/help/{locale}/text/**/*.html")):
        page = _DROPPED.sub("", path.read_text(encoding="utf-8", errors="ignore"))
        for block in _BLOCKS.split(page):
            yield html.unescape(_MARKS.sub("", block))


def _manual(folder: Path, locale: str) -> Iterator[str]:
    places = "share/man/man*/*.gz" if locale == "en" else f"share/man/{locale}/man*/*.gz"
    for path in sorted(folder.rglob(places)):
        page = gzip.decompress(path.read_bytes()).decode("utf-8", "ignore")
        lines = [_ROFF.sub("", line).replace("\\-", "-").replace("\\e", "\\") for line in page.splitlines()]
        paragraph: list[str] = []
        for line in lines:
            if line.startswith((".", "'", "\\")):
                yield " ".join(paragraph)
                paragraph = []
            else:
                paragraph.append(line)
        yield " ".join(paragraph)


def main() -> int:
    """Write a file for each language."""
    parser = argparse.ArgumentParser(description="Gather text from unpacked packages of Debian.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("languages", nargs="+")
    parser.add_argument("--to", type=Path, required=True, help="folder for the texts, LANGUAGE.txt each")
    chosen = parser.parse_args()
    chosen.to.mkdir(parents=True, exist_ok=True)
    for name in chosen.languages:
        language = parse(name).code
        lines = text_of(chosen.folder, language)
        (chosen.to / f"{language}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{language}: {len(lines)} paragraphs, {sum(map(len, lines))} characters", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
