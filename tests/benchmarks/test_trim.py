"""`benchmarks.compare_trim` and the text that it is given, on small packages and a tiny model."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo

from benchmarks.compare_trim import main
from benchmarks.debian_text import text_of
from converters.probes import DECLARATION
from runtime.errors import DemoticError
from tests.tiny.gguf import write_tiny_gguf


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_text_comes_from_messages_manuals_and_help_each_paragraph_once(tmp_path: Path) -> None:
    for locale, text in (("bg", "~Отваряне на <b>файла</b> сега"), ("de", "Die Datei wird ge_öffnet")):
        catalogue = Catalog(locale=locale)
        catalogue.add("Open the _file right now|entry", text)
        catalogue.add("Not translated at all", "Not translated at all")
        path = tmp_path / f"usr/lib/program/{locale}/LC_MESSAGES/a.mo"
        path.parent.mkdir(parents=True)
        with path.open("wb") as file:
            write_mo(file, catalogue)
    manual = '.TH A 1\n.SH ИМЕ\nпрограмата \\fBa\\fR \\- прави\nнещо полезно\n.\\" a remark of no use\nOnly in English here\n'
    put(tmp_path / "usr/share/man/bg/man1/a.1.gz", gzip.compress(manual.encode()))
    page = "<html><head><title>x</title></head><body><p>Ръководство за употреба</p><p>Untranslated paragraph</p></body>"
    put(tmp_path / "usr/share/libreoffice/help/bg/text/shared/a.html", (page * 2).encode())
    assert text_of(tmp_path, "bul") == [
        "Отваряне на файла сега",
        "Ръководство за употреба",
        "програмата a - прави нещо полезно",
    ]
    assert text_of(tmp_path, "eng") == ["Open the file right now"]


def test_a_language_is_trimmed_for_then_measured_and_its_row_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiny_gguf(tmp_path / "model.gguf", vocabulary_size=480, context_length=512)
    for language in ("bul_Cyrl", "eng_Latn"):
        words = DECLARATION[language].split()
        lines = "\n".join(" ".join(words[at : at + 4]) for at in range(len(words)))
        put(tmp_path / f"text/{language[:3]}.txt", lines.encode())
    places = ["--files", "files", "--results", "results"]
    with pytest.raises(DemoticError, match="Trim first"):
        main(["model.gguf", "--languages", "bul", *places])
    assert main(["model.gguf", "--languages", "bul", "--text", "text", *places]) == 0
    assert main(["model.gguf", "--languages", "bul", *places, "--speed", "--rounds", "2"]) == 0
    result = json.loads((tmp_path / "results/trim.json").read_text(encoding="utf-8"))
    [row] = result["rows"]
    assert row["report"]["rows"][1] < row["report"]["rows"][0] == 480
    assert {side: len(row["speed"][side]["generation"]) for side in row["speed"]} == {"original": 2, "trimmed": 2}
    assert "bul_Cyrl" in capsys.readouterr().out
