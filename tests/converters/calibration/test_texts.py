"""The texts to calibrate on: read, counted by how often they occur, weighted, cut into chunks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from converters.calibration.chunks import chunks_of
from converters.calibration.texts import Piece, own_texts, read_mix, read_texts, rehydration
from converters.probes import LINES
from runtime.errors import InvalidRequest, UnknownLanguage
from runtime.text.bytes import ByteTokenizer


def pieces_of(path: Path) -> list[tuple[str, int]]:
    (text,) = read_texts([f"eng={path}"])
    return [(piece.text, piece.weight) for piece in text.pieces]


def test_how_often_a_text_counts_is_fineweb2_s_rule() -> None:
    expected = {1: 1, 2: 2, 3: 3, 4: 3, 5: 5, 99: 5, 100: 8, 999: 8, 1000: 1, 10**6: 1}
    assert {occurrences: rehydration(occurrences) for occurrences in expected} == expected


def test_a_text_without_duplicates_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("Редове,\r\n\n\n  с празни\n\nмежду тях\n".encode())
    assert pieces_of(path) == [("Редове,\r\n\n\n  с празни\n\nмежду тях", 1)]


def test_a_line_that_occurs_again_is_kept_once_and_counts_for_more(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a\nb\nb\n\nc\na\n" + "d\n" * 6 + "menu\n" * 1000 + "e", encoding="utf-8")
    assert pieces_of(path) == [("a\nb\n\n", 2), ("c\n", 1), ("d\n", 5), ("menu\ne", 1)]
    (text,) = read_texts([f"eng={path}"])
    assert text.num_duplicates == 1 + 1 + 5 + 999


def test_jsonl_tells_how_many_there_were_of_each(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"text": "einmal"}, {"text": "oft,\nlang", "minhash_cluster_size": 120}, {"text": "einmal"}]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    assert pieces_of(path) == [("einmal\n", 2), ("oft,\nlang", 8)]


def test_languages_go_by_all_their_names_and_files_of_one_are_joined(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(f"Bună {name}", encoding="utf-8-sig")
    texts = read_texts([f"ro={tmp_path / 'a.txt'}", f"Swahili={tmp_path / 'a.txt'}", f"ron_Latn={tmp_path / 'b.txt'}"])
    assert [(text.language, text.sources) for text in texts] == [
        ("ron_Latn", ("a.txt", "b.txt")),
        ("swh_Latn", ("a.txt",)),
    ]
    assert texts[0].pieces == (Piece("Bună a\nBună b", 1),)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.txt", b"\n \n", "holds no text"),
        ("a.txt", b"", "holds no text"),
        ("a.txt", b"ab\xff", "is no UTF-8 at byte 2"),
        ("a.jsonl", b'{"text": "a"}\n["a"]', "Line 2 of"),
        ("a.jsonl", b'{"text": 3}', "is no text to calibrate on"),
        ("a.jsonl", b'{"text": "a", "minhash_cluster_size": 0}', "is no text to calibrate on"),
        ("a.jsonl", b"{", "is no text to calibrate on"),
    ],
)
def test_what_is_no_text_is_refused(name: str, content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidRequest, match=sentence):
        read_texts([f"eng={tmp_path / name}"])


def test_files_that_are_not_there_too_large_or_of_no_language_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("some text", encoding="utf-8")
    for given in (str(path), f"={path}", "eng="):
        with pytest.raises(InvalidRequest, match="does not say LANGUAGE=FILE"):
            read_texts([given])
    with pytest.raises(UnknownLanguage):
        read_texts([f"Nonsensish={path}"])
    for folder in (tmp_path, tmp_path / "no.txt", Path("/dev/null")):
        with pytest.raises(InvalidRequest, match="There is no file"):
            read_texts([f"eng={folder}"])
    monkeypatch.setattr("converters.calibration.texts.MAX_BYTES", 4)
    with pytest.raises(InvalidRequest, match="at most 0 MB"):
        read_texts([f"eng={path}"])


def test_without_texts_a_line_of_each_language_stands_in() -> None:
    assert {text.language: text.pieces[0].text for text in own_texts()} == LINES


def test_a_mix_names_languages_and_the_others_count_once() -> None:
    languages = ["ron_Latn", "swh_Latn", "eng_Latn"]
    assert read_mix("ro=2, Swahili=0.5", languages) == {"ron_Latn": 2, "swh_Latn": 0.5, "eng_Latn": 1}
    assert read_mix("", languages) == dict.fromkeys(languages, 1)
    assert read_mix("eng=0", languages)["eng_Latn"] == 0


@pytest.mark.parametrize(
    ("mix", "sentence"),
    [
        ("ron", "'ron' does not say LANGUAGE=WEIGHT"),
        ("ron=much", "does not say LANGUAGE=WEIGHT"),
        ("ron=-1", "a weight from 0 to 1000000"),
        ("ron=nan", "a weight from 0 to 1000000"),
        ("ron=1e300", "a weight from 0 to 1000000"),
        ("bul=2", "there is no text of it. There is text of ron_Latn"),
        ("ron=0", "leaves no language a weight above 0"),
    ],
)
def test_a_mix_that_cannot_be_is_refused(mix: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        read_mix(mix, ["ron_Latn"])


class Framed(ByteTokenizer):
    """A token a byte, with 1 before each text and 2 after it."""

    def __init__(self) -> None:
        bytes_ = [f"\\x{byte:02x}".encode() for byte in range(256)]
        super().__init__([b"<pad>", b"<bos>", b"<eos>", *bytes_], ends=[2], eos=2)

    def encode(self, text: str, *, parse_special: bool, is_beginning: bool = True) -> list[int]:
        ids = [byte + 3 for byte in text.encode()]
        return [1, *ids, 2] if is_beginning else ids


def cut(text: str, size: int, weight: int = 1) -> list[list[int]]:
    return [each.tokens for each in chunks_of([Piece(text, weight)], Framed(), size)]


def test_chunks_are_those_of_llama_imatrix() -> None:
    """A beginning token in place of each chunk's first, no end, and the rest left out."""
    a = ord("a") + 3
    assert cut("aaaaaaaaaa", 4) == [[1, a, a, a], [1, a, a, a]]
    assert cut("aaaaaaa", 4) == [[1, a, a, a], [1, a, a, a]]
    assert cut("aaa", 4) == [[1, a, a, a]]
    assert cut("aa", 4) == [[1, a, a]]


def test_each_token_counts_as_the_text_it_is_of() -> None:
    first, second = chunks_of([Piece("abc\n", 1), Piece("defg", 5)], Framed(), 4)
    assert first.weights.tolist() == [1, 1, 1, 1]
    assert second.weights.tolist() == [1, 5, 5, 5]
    assert bytes(token - 3 for token in second.tokens[1:]) == b"def"
