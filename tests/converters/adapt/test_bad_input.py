"""What `demotic trim` refuses, with a sentence that says what to do."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import demotic
from tests.tiny.encoders import tiny_bert, write_encoder
from tests.tiny.gguf import write_tiny_gguf, write_tiny_lora
from tests.tiny.seq2seq import tiny_byt5, write_seq2seq


def run(*arguments: object) -> Any:
    return CliRunner().invoke(demotic.make_app(), ["trim", *map(str, arguments)])


def message_of(result: Any) -> str:
    assert result.exit_code != 0
    return str(result.exception)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_gguf(tmp_path / "model.gguf", vocabulary_size=480)


def test_a_language_without_words_and_letters_says_what_to_bring(model: Path, tmp_path: Path) -> None:
    text = message_of(run(model, "-o", tmp_path / "a.gguf", "--languages", "iku"))
    assert "neither a list of words nor an alphabet of iku_Cans" in text
    assert "--corpus iku_Cans=FILE" in text
    assert "There is no language" in message_of(run(model, "-o", tmp_path / "a.gguf", "--languages", "xqzzyv"))


def test_nothing_that_says_what_to_keep(model: Path, tmp_path: Path) -> None:
    assert "Name languages" in message_of(run(model, "-o", tmp_path / "a.gguf"))


def test_lists_of_words_need_their_package(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "wordfreq" else real(name))
    text = message_of(run(model, "-o", tmp_path / "a.gguf", "--languages", "bul"))
    assert "demotic[trim]" in text
    assert "--corpus" in text


def test_a_size_below_what_always_stays(model: Path, tmp_path: Path) -> None:
    text = message_of(run(model, "-o", tmp_path / "a.gguf", "--scripts", "Latn", "--size", "100"))
    assert "100 rows are fewer than the" in text
    assert "Choose a --size of at least" in text
    both = message_of(run(model, "-o", tmp_path / "a.gguf", "--size", "400", "--coverage", "0.9"))
    assert "Give one of them" in both


@pytest.mark.parametrize(
    ("content", "fault"),
    [(b"abc\nd\xff\n", "no UTF-8 at byte 5"), (b" \n\n", "too little text"), (None, "There is no file")],
)
def test_a_corpus_that_is_none(model: Path, tmp_path: Path, content: bytes | None, fault: str) -> None:
    corpus = tmp_path / "corpus.txt"
    if content is not None:
        corpus.write_bytes(content)
    for given in (corpus, f"bul={corpus}"):
        assert fault in message_of(run(model, "-o", tmp_path / "a.gguf", "--corpus", given))


def test_an_adapter_of_another_base(model: Path, tmp_path: Path) -> None:
    other = write_tiny_gguf(tmp_path / "other.gguf", embedding_length=32)
    adapter = write_tiny_lora(tmp_path / "adapter.gguf", other)
    text = message_of(run(model, "-o", tmp_path / "a.gguf", "--scripts", "Latn", "--adapter", adapter))
    assert "do not fit" in text
    assert "this very model" in text


def test_a_file_that_is_no_gguf_and_one_of_bytes(tmp_path: Path) -> None:
    text = tmp_path / "model.gguf"
    text.write_text("hello", encoding="utf-8")
    assert "not a GGUF file" in message_of(run(text, "-o", tmp_path / "a.gguf", "--scripts", "Latn"))
    bytes_model = write_seq2seq(tmp_path / "byt5.gguf", tiny_byt5())
    assert "single bytes" in message_of(run(bytes_model, "-o", tmp_path / "a.gguf", "--scripts", "Latn"))


def test_the_file_that_is_read_is_never_written(model: Path, tmp_path: Path) -> None:
    before = model.read_bytes()
    assert "is a file to read from" in message_of(run(model, "-o", model, "--scripts", "Latn", "--force"))
    assert model.read_bytes() == before


def test_ids_to_keep_that_there_are_not(model: Path, tmp_path: Path) -> None:
    keep = tmp_path / "keep.txt"
    keep.write_text("99999\n", encoding="utf-8")
    text = message_of(run(model, "-o", tmp_path / "a.gguf", "--scripts", "Latn", "--keep", keep))
    assert "asks for token 99999, but the vocabulary has 480" in text


def test_an_encoder_is_trimmed_by_letters_too(tmp_path: Path) -> None:
    source = write_encoder(tmp_path / "bert.gguf", tiny_bert())
    done = run(source, "-o", tmp_path / "a.gguf", "--scripts", "Latn")
    assert done.exit_code == 0, done.exception
    assert "Proved" in done.stdout
