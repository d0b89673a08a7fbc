"""The catalogues of the interface's texts (`tui/locale`): what is in them, and how they are brought up to date.

`scripts/messages [CODE...]` takes every text of `tui` into each catalogue, with none for a new language CODE, drops
what is no longer said, and compiles.
"""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime
from pathlib import Path

from babel.messages import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from tui.words import DOMAIN, LOCALE

# `_` and `mark` take one text, `plural` its two forms.
_FUNCTIONS = {"_": None, "mark": None, "plural": (1, 2)}
_WIDTH = 120
_NO_DATE = datetime(2000, 1, 1, tzinfo=UTC)
# Headers that change at every writing, or say nothing.
_DROPPED = ("Project-Id", "Report-", "POT-", "PO-Rev", "Last-T", "Language-Team", "Generated")

Text = str | tuple[str, ...]


def texts() -> list[Text]:
    """Every text of the interface, in alphabetical order; one that counts is a pair."""
    found = extract_from_dir(str(LOCALE.parent), [("**.py", "python")], keywords=_FUNCTIONS)
    return sorted({message for _, _, message, _, _ in found}, key=str)


def path_of(code: str, kind: str) -> Path:
    """Where a language's catalogue is: `kind` "po" for people, "mo" for the program."""
    return LOCALE / code / "LC_MESSAGES" / f"{DOMAIN}.{kind}"


def codes() -> list[str]:
    """The languages that have a catalogue."""
    return sorted(path.name for path in LOCALE.iterdir() if path.is_dir())


def read(code: str) -> Catalog:
    """A language's catalogue as it is written."""
    with path_of(code, "po").open("rb") as file:
        return read_po(file, locale=code, domain=DOMAIN)


def compiled(catalogue: Catalog) -> bytes:
    """What the program reads, without the hour at which it was made."""
    catalogue.creation_date = catalogue.revision_date = _NO_DATE
    file = io.BytesIO()
    write_mo(file, catalogue)
    return file.getvalue()


def brought_up_to_date(code: str) -> Catalog:
    """The catalogue of a language, which may be new, with just the texts that there are."""
    old = read(code) if path_of(code, "po").is_file() else Catalog(locale=code)
    new = Catalog(locale=code, domain=DOMAIN, header_comment=f"# {old.locale.english_name if old.locale else code}")
    new.fuzzy = False
    for text in texts():
        before = old.get(text if isinstance(text, str) else text[0])
        new.add(
            text, before.string if before is not None else None, user_comments=before.user_comments if before else ()
        )
    return new


def written(catalogue: Catalog) -> bytes:
    """The catalogue as people read it, without what changes at every writing."""
    file = io.BytesIO()
    write_po(file, catalogue, width=_WIDTH)
    lines = file.getvalue().decode().split("\n")
    return "\n".join(line for line in lines if not line.startswith(tuple(f'"{name}' for name in _DROPPED))).encode()


def forms(message: Message) -> tuple[str, ...]:
    """The translation: one text or, where it counts, one for each kind of number."""
    found = message.string or ""
    return (found,) if isinstance(found, str) else tuple(found)


def missing(catalogue: Catalog) -> list[str]:
    """The texts without a translation, or with one that nobody has looked at."""
    messages = [message for message in catalogue if message.id]
    return [str(message.id) for message in messages if message.fuzzy or not all(forms(message))]


def main() -> None:
    """Bring all catalogues up to date, and compile them."""
    for code in sorted({*(codes() if LOCALE.is_dir() else []), *sys.argv[1:]}):
        catalogue = brought_up_to_date(code)
        path_of(code, "po").parent.mkdir(parents=True, exist_ok=True)
        path_of(code, "po").write_bytes(written(catalogue))
        path_of(code, "mo").write_bytes(compiled(read(code)))
        print(f"{code}: {len(missing(catalogue)) or 'no'} texts to translate")  # noqa: T201


if __name__ == "__main__":
    main()
