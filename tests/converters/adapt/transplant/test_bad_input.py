"""What `demotic transplant` refuses, with a sentence that says what to do, and what it leaves: nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import converters.adapt.transplant.transplant
import demotic
from tests.converters.adapt.transplant.toys import read, saved, unigram
from tests.converters.onnx.sources import Sources


def run(*arguments: object) -> Any:
    return CliRunner().invoke(demotic.make_app(), ["transplant", *map(str, arguments)])


def message_of(result: Any) -> str:
    assert result.exit_code != 0
    return str(result.exception)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return saved(unigram("▁a", "▁b"), tmp_path / "target.json")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "out"


@pytest.fixture(autouse=True)
def nothing_is_left(out: Path) -> Any:
    out.parent.mkdir()
    yield
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "There is no tokenizer"),
        (b"\xff\xfe", "is no JSON"),
        (b"{}", "is damaged"),
        (
            b'{"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}',
            "a kind that llama.cpp does not know",
        ),
    ],
)
def test_a_tokenizer_that_is_none(llama: Path, tmp_path: Path, out: Path, content: bytes | None, fault: str) -> None:
    file = tmp_path / "some.json"
    if content is not None:
        file.write_bytes(content)
    assert fault in message_of(run(llama, "--tokenizer", file, "-o", out))


def test_a_folder_without_a_tokenizer_and_a_repository_that_is_written_wrongly(
    llama: Path, tmp_path: Path, out: Path
) -> None:
    (tmp_path / "empty").mkdir()
    assert "has no tokenizer" in message_of(run(llama, "--tokenizer", tmp_path / "empty", "-o", out))
    assert "There is no" in message_of(run(llama, "--tokenizer", tmp_path / "none" / "tokenizer.json", "-o", out))
    assert "names one file" in message_of(run(llama, "--tokenizer", "hf:a/b:c.gguf", "-o", out))


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        ("{", "is no JSON"),
        ('{"a": 1}', "holds no list"),
        ('[["<unk>", []], ["<s>"]]', "has at 1 no token with a list"),
        ('[["<unk>", [["a", "b"]]]]', "no old token with a weight"),
        ('[["<unk>", [["a", NaN]]]]', "no old token with a weight"),
        ('[["<unk>", []]]', "has 1 entries, the new tokenizer 5 tokens"),
        ('[["<unk>", []], ["</s>", []], ["<s>", []], ["▁a", []], ["▁b", []]]', "2 tokens otherwise"),
        ('[["<unk>", []], ["<s>", []], ["</s>", []], ["▁a", [["кот", 1]]], ["▁b", []]]', "old tokens that the model's"),
    ],
)
def test_a_mapping_that_is_none_or_another_s(
    llama: Path, target: Path, tmp_path: Path, out: Path, entries: str, fault: str
) -> None:
    mapping = tmp_path / "mapping.json"
    mapping.write_text(entries, encoding="utf-8")
    assert fault in message_of(run(llama, "--tokenizer", target, "-o", out, "--mapping", mapping))


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("", "holds no vectors"),
        ("2 3\na 1 2 3\nb 1 2\n", "2 numbers in line 3, and 3 in the others"),
        ("a 1 2\nb 1 x\n", "no numbers in line 2"),
        ("a 1 nan\n", "holds what is no number"),
    ],
)
def test_vectors_that_are_none(llama: Path, target: Path, tmp_path: Path, out: Path, lines: str, fault: str) -> None:
    file = tmp_path / "v.txt"
    file.write_text(lines, encoding="utf-8")
    assert fault in message_of(run(llama, "--tokenizer", target, "-o", out, "--method", "ofa", "--vectors", file))
    file = tmp_path / "v.npz"
    file.write_bytes(b"PK")
    assert "cannot be read" in message_of(
        run(llama, "--tokenizer", target, "-o", out, "--method", "ofa", "--vectors", file)
    )


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("a b c\n", "no table of alignments in line 1"),
        ("a\tb\t-1\tmany\n", "no table of alignments in line 1"),
        ("кот\tkat\t-1\t50\n", "no words that are made of tokens of both"),
    ],
)
def test_alignments_that_are_none(llama: Path, target: Path, tmp_path: Path, out: Path, lines: str, fault: str) -> None:
    file = tmp_path / "t.tsv"
    file.write_text(lines, encoding="utf-8")
    options = ["--method", "trans-tokenization", "--alignments", file]
    assert fault in message_of(run(llama, "--tokenizer", target, "-o", out, *options))


@pytest.mark.parametrize(
    ("content", "fault"),
    [(b"one text\n", "no two texts in line 1"), (b"a\t\xff\n", "no UTF-8"), (b"a\t\n", "no line with words on both")],
)
def test_a_parallel_text_that_is_none(
    llama: Path, target: Path, tmp_path: Path, out: Path, content: bytes, fault: str
) -> None:
    (tmp_path / "p.txt").write_bytes(content)
    options = ["--method", "trans-tokenization", "--parallel", tmp_path / "p.txt"]
    assert fault in message_of(run(llama, "--tokenizer", target, "-o", out, *options))


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--mapping", "m.json", "--method", "ofa"], "Give one of them"),
        (["--method", "ofa"], "Give it with --vectors"),
        (["--method", "trans-tokenization"], "Give it with --alignments"),
        (["--method", "trans-tokenization", "--alignments", "a", "--parallel", "b"], "needs one file"),
        (["--method", "trans-tokenization", "--parallel", "none.txt"], "There is no file none.txt"),
        (["--parallel", "a"], "--parallel is for --method trans-tokenization"),
        (["--vectors", "v.txt"], "--vectors is for --method ofa"),
        (["--rank", "4"], "--rank is for --method ofa"),
        (["--mapping", "none.json"], "There is no file none.json"),
    ],
)
def test_options_that_do_not_go_together(llama: Path, target: Path, out: Path, options: list[str], fault: str) -> None:
    assert fault in message_of(run(llama, "--tokenizer", target, "-o", out, *options))


def test_models_without_rows_for_tokens(sources: Sources, llama: Path, target: Path, out: Path) -> None:
    assert "reads single bytes" in message_of(run(sources.checkpoint("byt5"), "--tokenizer", target, "-o", out))
    assert "There is no model named" in message_of(run(llama.parent / "none", "--tokenizer", target, "-o", out))
    config = read(llama / "config.json")
    for extra, fault in (("quantization_config", "is quantized"), ("vision_config", "more than text")):
        (llama / "config.json").write_text(json.dumps({**config, extra: {}}), encoding="utf-8")
        assert fault in message_of(run(llama, "--tokenizer", target, "-o", out))


def test_a_run_that_is_interrupted_leaves_nothing(
    llama: Path, target: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(folder: Path, *_: object, **__: object) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(converters.adapt.transplant.transplant, "write_contents", interrupt)
    assert run(llama, "--tokenizer", target, "-o", out).exit_code != 0


def test_a_folder_is_overwritten_with_force_alone_and_never_the_source(
    llama: Path, target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "done"
    shown = run(llama, "--tokenizer", target, "-o", out)
    assert shown.exit_code == 0 and "tokens (overlap)" in shown.output
    assert "exists already" in message_of(run(llama, "--tokenizer", target, "-o", out))
    again = run(llama, "--tokenizer", target, "-o", out, "--force", "--json")
    told = json.loads(again.stdout)
    assert told["transplant"]["rows"]["special"] == 3 and told["path"] == str(out)
    assert "folder to read from" in message_of(run(out, "--tokenizer", target, "-o", out, "--force"))
