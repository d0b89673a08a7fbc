"""Parallel text: the declaration that comes with it, and the user's own files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import regex

from benchmarks.parallel import declaration, read_parallel
from converters.probes import DECLARATION
from runtime.errors import InvalidRequest, UnknownLanguage
from runtime.language.scripts import to_scripts


def test_the_declaration_has_five_articles_in_far_more_than_forty_languages_and_fifteen_scripts() -> None:
    text = declaration()
    assert len({name.partition("_")[0] for name in text.lines}) >= 120
    assert len({name.partition("_")[2] for name in text.lines}) >= 35
    assert text.num_lines == 5
    assert {len(lines) for lines in text.lines.values()} == {5}
    assert text.lines["bul_Cyrl"][0] == DECLARATION["bul_Cyrl"]
    assert text.lines["bul_Cyrl"][2] == "Всеки има право на живот, свобода и лична сигурност."
    assert text.lines["eng_Latn"][4].startswith("No one shall be subjected to torture")


def test_each_language_is_written_in_its_script_and_no_article_is_missing_or_twice_there() -> None:
    text = declaration()
    every = [line for lines in text.lines.values() for line in lines]
    assert len(set(every)) > 0.98 * len(every)  # near languages share an article here and there
    for name, lines in text.lines.items():
        own = regex.compile("[" + "".join(rf"\p{{scx={each}}}" for each in to_scripts([name[4:]])) + "]")
        letters = regex.findall(r"\p{L}", " ".join(lines))
        assert sum(bool(own.match(letter)) for letter in letters) > 0.95 * len(letters), name
        assert all(line == " ".join(line.split()) and len(line) >= 14 for line in lines), name
        # Article 2 is the longest in every language: a translation that is cut there would flatter its language.
        assert len(lines[1]) > 1.3 * max(len(line) for line in lines[2:]), name


def test_the_data_file_names_its_source_and_its_status() -> None:
    head = Path("benchmarks/corpus/declaration.toml").read_text(encoding="utf-8")[:1500]
    assert "https://www.ohchr.org/" in head
    assert "public\n# domain" in head


def test_languages_are_chosen_by_any_of_their_names() -> None:
    text = declaration()
    assert list(text.of(["bg", "Thai", "prs_Arab", "ku", "bul_Cyrl"]).lines) == [
        *("bul_Cyrl", "tha_Thai", "prs_Arab", "kmr_Latn"),
    ]
    assert text.of(["all"]) is text
    assert text.of([]) is text
    with pytest.raises(InvalidRequest, match=r"no text in que_Latn\. It has 132 languages"):
        text.of(["que"])
    with pytest.raises(InvalidRequest, match=r"no text in zho_Hant\. It has zho_Hans\."):
        text.of(["zh-Hant"])
    with pytest.raises(UnknownLanguage):
        text.of(["qqqq-nothing"])


def test_files_of_single_languages_are_aligned_by_line(tmp_path: Path) -> None:
    (tmp_path / "bul_Cyrl.txt").write_text("Едно\n\nДве\n", encoding="utf-8")
    (tmp_path / "news.en").write_text(" One\n\nTwo", encoding="utf-8")
    text = read_parallel([tmp_path / "bul_Cyrl.txt", tmp_path / "news.en"])
    assert text.lines == {"bul_Cyrl": ("Едно", "Две"), "eng_Latn": ("One", "Two")}
    assert text.name == "bul_Cyrl.txt, news.en"


def test_tables_name_their_languages(tmp_path: Path) -> None:
    rows = [{"bg": "Едно", "de": "Eins"}, {"bg": "Две", "de": "Zwei"}]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    (tmp_path / "b.tsv").write_text('th\tnl\nหนึ่ง\t"Een"\nสอง\tTwee\n', encoding="utf-8")
    text = read_parallel([tmp_path / "a.jsonl", tmp_path / "b.tsv"])
    assert text.lines["deu_Latn"] == ("Eins", "Zwei")
    assert text.lines["nld_Latn"] == ('"Een"', "Twee")
    assert set(text.lines) == {"bul_Cyrl", "deu_Latn", "tha_Thai", "nld_Latn"}


def files(folder: Path, **contents: str | bytes) -> list[Path]:
    for name, content in contents.items():
        (folder / name.replace("__", ".")).write_bytes(content.encode() if isinstance(content, str) else content)
    return [folder / name.replace("__", ".") for name in contents]


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ({"bul__txt": "а\nб\n", "deu__txt": "a\n"}, r"so many lines: bul_Cyrl 2, deu_Latn 1\."),
        ({"bul__txt": "а\nб\n", "deu__txt": "a\n\n"}, r"Line 2 is empty in deu_Latn, and not in the others\."),
        ({"bul__txt": "а\n"}, r"text in bul_Cyrl only"),
        ({"bul__txt": "а", "bg__txt": "б"}, r"are both in bul_Cyrl"),
        ({"bul__txt": "\n", "deu__txt": "\n"}, r"There is no text in"),
        ({"bul__txt": b"\xff\xfe", "deu__txt": "a"}, r"no UTF-8 at byte 0"),
        ({"a__jsonl": '{"bg": "а", "de": "a"}\n{"bg": "б"}'}, r"Line 2 of .* has bg, and the first line bg, de"),
        ({"a__jsonl": '{"bg": 1, "de": "a"}'}, r"Line 1 of .* is no object of texts"),
        ({"a__jsonl": "{"}, r"Line 1 of .* is no JSON"),
        ({"a__tsv": "bg\tde\nа\n"}, r"Row 1 of .* has 1 columns, and its head 2"),
        ({"a__tsv": "bg\tbul\nа\tб\n"}, r"two columns in bul_Cyrl"),
        ({"qqqqq__txt": "a"}, r"no language 'qqqqq\.txt'"),
        ({"a__tsv": ""}, r"text in no language only"),
    ],
)
def test_files_that_are_not_parallel_are_refused(tmp_path: Path, contents: dict[str, str | bytes], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        read_parallel(files(tmp_path, **contents))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"bul\.txt cannot be read: No such file"):
        read_parallel([tmp_path / "bul.txt"])
