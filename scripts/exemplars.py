"""Write converters/corpus/exemplars.toml: the letters of each language, from the data of Unicode's CLDR.

    python scripts/exemplars.py /usr/share/unicode/cldr/common/main

The folder is that of Debian's package unicode-cldr-core, or of core.zip from https://cldr.unicode.org.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

from runtime.errors import UnknownLanguage
from runtime.language.codes import parse

TARGET = Path(__file__).parents[1] / "converters" / "corpus" / "exemplars.toml"
# A language, and a script where CLDR has several for it; regions write alike.
NAME = re.compile(r"[a-z]{2,3}(?:_[A-Z][a-z]{3})?")
PART = re.compile(r"\{([^}]*)\}|(\\u[0-9A-Fa-f]{4}|\\.|[^\s\\])(?:-(\\u[0-9A-Fa-f]{4}|\\.|[^\s\\]))?")
HEAD = """\
# The letters of languages (ISO 639-3, ISO 15924), in small: CLDR's main exemplar characters.
# Made by scripts/exemplars.py of CLDR {version}.
#
# Copyright © 1991-2022 Unicode, Inc. All rights reserved. Distributed under the Terms of Use in
# https://www.unicode.org/copyright.html.
#
# Permission is hereby granted, free of charge, to any person obtaining a copy of the Unicode data files and any
# associated documentation (the "Data Files") or Unicode software and any associated documentation (the "Software") to
# deal in the Data Files or Software without restriction, including without limitation the rights to use, copy, modify,
# merge, publish, distribute, and/or sell copies of the Data Files or Software, and to permit persons to whom the Data
# Files or Software are furnished to do so, provided that either (a) this copyright and permission notice appear with
# all copies of the Data Files or Software, or (b) this copyright and permission notice appear in associated
# Documentation.
#
# THE DATA FILES AND SOFTWARE ARE PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT
# LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT OF THIRD PARTY
# RIGHTS. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR HOLDERS INCLUDED IN THIS NOTICE BE LIABLE FOR ANY CLAIM, OR ANY
# SPECIAL INDIRECT OR CONSEQUENTIAL DAMAGES, OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS,
# WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR
# PERFORMANCE OF THE DATA FILES OR SOFTWARE.
#
# Except as contained in this notice, the name of a copyright holder shall not be used in advertising or otherwise to
# promote the sale, use or other dealings in these Data Files or Software without prior written authorization of the
# copyright holder.

"""


def characters(pattern: str) -> str:
    """The characters of a UnicodeSet as CLDR writes it (UTS #35), those of its strings too, sorted."""
    found: set[str] = set()
    for text, first, last in PART.findall(pattern.strip()[1:-1]):
        if text:
            found |= set(re.sub(r"\\u([0-9A-Fa-f]{4})|\\(.)", lambda each: plain(each[0]), text))
        else:
            start = plain(first)
            found |= {chr(code) for code in range(ord(start), ord(plain(last) if last else start) + 1)}
    return "".join(sorted(found))


def plain(char: str) -> str:
    """A character without its escape."""
    if char.startswith("\\u"):
        return chr(int(char.removeprefix("\\u"), base=16))
    return char.removeprefix("\\")


def main(folder: Path) -> None:
    """Read the folder and write the file."""
    lines: dict[str, str] = {}
    for path in sorted(folder.glob("*.xml")):
        if not NAME.fullmatch(path.stem):
            continue
        root = ET.parse(path).getroot()  # noqa: S314 - CLDR's own files
        for element in root.findall("characters/exemplarCharacters"):
            if element.get("type") is None and element.text:
                try:
                    lines.setdefault(str(parse(path.stem)), characters(element.text))
                except UnknownLanguage:
                    print(f"{path.stem} is left out: it is no language", file=sys.stderr)
    version = re.search(r'cldrVersion CDATA #FIXED "([0-9.]+)"', (folder.parent / "dtd/ldml.dtd").read_text("utf-8"))
    head = HEAD.format(version=version[1] if version else "?")
    body = "".join(f'{name} = "{text}"\n' for name, text in sorted(lines.items()) if text.strip())
    TARGET.write_text(head + body, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
