"""`demotic trim` from end to end on tiny models (seeds S28, S30, S52 and S53): the file, its proof, its adapters."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import regex
from typer.testing import CliRunner

import demotic
from converters.adapt.request import Request
from converters.adapt.selection import Limits
from converters.adapt.trim import Trimmed, trim
from converters.gguf.vocabulary import open_vocabulary
from converters.progress import NoSteps
from runtime.errors import ConversionRefused, ModelFileInvalid
from runtime.models.adapter import check_adapter
from runtime.models.files import NoProgress
from runtime.models.gguf_copy import write_copy
from runtime.models.gguf_format import StringArray
from runtime.models.header import EMBEDDED_KEY, Header
from runtime.models.inspect import read_header
from runtime.models.trimmed import ADAPTER_KEY, MAP_KEY, ROWS_KEY
from tests.tiny.gguf import write_tiny_gguf, write_tiny_lora


def run(*arguments: str) -> Any:
    return CliRunner().invoke(demotic.make_app(), list(arguments))


def do(source: Path, target: Path, **wanted: Any) -> Trimmed:
    return trim(Request(source, target, **wanted), NoProgress(), NoSteps())


def rows_of(header: Header, name: str) -> Any:
    tensor = header.tensors[name]
    data = np.memmap(header.path, np.uint8, "r", tensor.offset, (tensor.size,))
    return data.reshape(tensor.shape[-1], -1)


def tokens_of(header: Header) -> StringArray:
    tokens = header.metadata["tokenizer.ggml.tokens"]
    assert isinstance(tokens, StringArray)
    return tokens


def map_of(header: Header) -> Any:
    rows = header.metadata[MAP_KEY]
    assert isinstance(rows, np.ndarray)
    return rows


@pytest.mark.parametrize("kind", ["spm", "bpe", "seq2seq", "encoder"])
def test_vocabulary_trimming_keeps_the_rows_bit_for_bit_and_proves_it(
    kind: str, models: dict[str, Path], corpus: Path, tmp_path: Path
) -> None:
    """Seed S52."""
    source = models[kind]
    done = do(source, tmp_path / "a.gguf", corpora=(str(corpus),))
    before, after = read_header(source), read_header(done.path)
    kept = map_of(after)
    assert len(kept) == done.report.rows[1] < done.report.rows[0]
    for name in ("token_embd.weight", "output.weight"):
        if name in before.tensors:
            assert np.array_equal(rows_of(before, name)[kept], rows_of(after, name))
    others = set(before.tensors) - {"token_embd.weight", "output.weight"}
    for name in sorted(others)[:5]:
        assert np.array_equal(rows_of(before, name), rows_of(after, name))
    [report] = done.report.sources
    assert report.held_out.num_covered > 5
    assert report.held_out.num_differing == 0
    assert report.proof is not None
    assert report.proof.holds
    assert report.proof.num_tokens > 10
    if kind != "encoder":
        assert report.proof.num_greedy == report.proof.equal_restricted >= 3
    assert report.missing_share is not None
    assert len(kept) % 32 == done.report.rows[0] % 32
    for key, value in before.metadata.items():
        if key.endswith("_token_id"):
            assert kept[after.metadata[key]] == value, key
    assert read_header(done.path).chat_template == before.chat_template


def test_the_tokenizer_json_inside_is_trimmed_with_it(models: dict[str, Path], corpus: Path, tmp_path: Path) -> None:
    done = do(models["bpe"], tmp_path / "a.gguf", corpora=(str(corpus),))
    before, after = (read_header(path).metadata[EMBEDDED_KEY] for path in (models["bpe"], done.path))
    assert isinstance(before, str)
    assert isinstance(after, str)
    old, new = json.loads(before), json.loads(after)
    kept = map_of(read_header(done.path)).tolist()
    assert {kept[token]: piece for piece, token in new["model"]["vocab"].items()}.items() <= {
        token: piece for piece, token in old["model"]["vocab"].items()
    }.items()
    assert len(new["model"]["merges"]) < len(old["model"]["merges"])
    with open_vocabulary(models["bpe"]) as source, open_vocabulary(done.path) as target:
        # Also what no corpus has: in smaller pieces, but never lost.
        text = "Ξεσκεπάζω 東京 \N{WAVING HAND SIGN}"
        for opened in (source, target):
            for tokenizer in (opened.read, opened.own):
                tokens = tokenizer.encode(text, parse_special=False)
                assert b"".join(map(tokenizer.token_bytes, tokens)).decode() == text


def test_a_trimmed_file_is_trimmed_again_and_remembers_its_original(
    models: dict[str, Path], corpus: Path, tmp_path: Path
) -> None:
    once = do(models["spm"], tmp_path / "a.gguf", corpora=(str(corpus),))
    english = tmp_path / "eng.txt"
    english.write_text("All human beings are born free\n" * 3 + "and equal in dignity and rights\n" * 3)
    twice = do(once.path, tmp_path / "b.gguf", corpora=(f"eng={english}",))
    first, second = read_header(once.path), read_header(twice.path)
    assert len(map_of(second)) < len(map_of(first))
    assert set(map_of(second)) < set(map_of(first))
    assert first.metadata[ROWS_KEY] == second.metadata[ROWS_KEY] == once.report.rows[0]
    original = read_header(models["spm"])
    assert np.array_equal(rows_of(original, "token_embd.weight")[map_of(second)], rows_of(second, "token_embd.weight"))


def test_scripts_alone_choose_tokens_and_marks_move_with_their_ids(models: dict[str, Path], tmp_path: Path) -> None:
    """Seed S53: kept scripts only; ids of what stands for no text are remapped."""
    done = do(models["spm"], tmp_path / "a.gguf", scripts=("Latn",))
    header = read_header(done.path)
    tokens = tokens_of(header)
    letters = [token for token in tokens if regex.search(r"\p{L}", token) and not token.startswith("<")]
    assert len(letters) > 50
    assert all(regex.fullmatch(r"[\p{sc=Latn}\p{sc=Zyyy}\p{sc=Zinh}]+", token) for token in letters)
    end = header.metadata["tokenizer.ggml.eos_token_id"]
    assert isinstance(end, int)
    assert tokens[end] == "</s>"


def test_size_and_keep_decide_what_stays(models: dict[str, Path], corpus: Path, tmp_path: Path) -> None:
    before = tokens_of(read_header(models["spm"]))
    wanted = tmp_path / "keep.txt"
    wanted.write_text(f"{before[590]}\n580\n\n日本\n", encoding="utf-8")
    done = do(models["spm"], tmp_path / "a.gguf", corpora=(str(corpus),), limits=Limits(size=448), keep=wanted)
    kept = map_of(read_header(done.path)).tolist()
    assert len(kept) <= 448
    assert {590, 580} <= set(kept)
    half = do(models["spm"], tmp_path / "b.gguf", corpora=(str(corpus),), limits=Limits(coverage=0.5))
    assert half.report.rows[1] < 448


def test_an_adapter_is_remapped_and_refused_by_another_vocabulary(corpus: Path, tmp_path: Path) -> None:
    """Seeds S4, S28 and S30: one small adapter for each language or task, of the model that it was made for."""
    base = write_tiny_gguf(tmp_path / "base.gguf", vocabulary_size=480)
    plain = write_tiny_lora(tmp_path / "plain.gguf", base)
    touching = write_tiny_lora(tmp_path / "head.gguf", base, targets=("output", "attn_q"))
    adapters = (plain, touching)
    done = do(base, tmp_path / "a.gguf", corpora=(str(corpus),), adapters=adapters)
    assert [path.name for path in done.adapters] == ["a-plain.gguf", "a-head.gguf"]
    trimmed, original = read_header(done.path), read_header(base)
    for adapter in done.adapters:
        check_adapter(adapter, trimmed)
        with pytest.raises(ModelFileInvalid, match="another vocabulary"):
            check_adapter(adapter, original)
    kept, old, new = map_of(trimmed), read_header(touching), read_header(done.adapters[1])
    assert np.array_equal(rows_of(old, "output.weight.lora_b")[kept], rows_of(new, "output.weight.lora_b"))
    assert np.array_equal(rows_of(old, "output.weight.lora_a"), rows_of(new, "output.weight.lora_a"))
    # What changes no row of a token fits both; what does must have been remapped.
    check_adapter(plain, trimmed)
    with pytest.raises(ModelFileInvalid, match="another vocabulary"):
        check_adapter(touching, trimmed)
    # Another file of as many rows is another vocabulary all the same.
    fillers = tmp_path / "fillers.txt"
    fillers.write_text("\n".join(f"filler{number}" for number in range(60, 70)), encoding="utf-8")
    other = do(base, tmp_path / "b.gguf", scripts=("Latn",), limits=Limits(size=len(kept)), keep=fillers)
    assert other.report.rows == done.report.rows
    assert new.metadata[ADAPTER_KEY] != ""
    with pytest.raises(ModelFileInvalid, match="another vocabulary"):
        check_adapter(done.adapters[1], read_header(other.path))


def test_a_file_that_computes_otherwise_is_refused_and_nothing_is_left(
    models: dict[str, Path], corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_row_off(*arguments: Any, **more: Any) -> None:
        write_copy(*arguments, **more)
        header = read_header(arguments[0])
        tensor = header.tensors["output.weight"]
        data = np.memmap(header.path, np.float32, "r+", tensor.offset, (tensor.size // 4,))
        data[:4] += 1e-3

    monkeypatch.setattr("converters.adapt.format_gguf.write_copy", one_row_off)
    with pytest.raises(ConversionRefused, match="computes otherwise than its source"):
        do(models["spm"], tmp_path / "a.gguf", corpora=(str(corpus),))
    assert not list(tmp_path.iterdir())
    assert do(models["spm"], tmp_path / "a.gguf", corpora=(str(corpus),), verify=False).path.exists()


def test_the_command_tells_rows_bytes_and_proof_or_json(models: dict[str, Path], corpus: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.gguf"
    shown = run("trim", str(models["spm"]), "-o", str(target), "--corpus", f"bul={corpus}")
    assert shown.exit_code == 0
    assert "rows are kept" in shown.stdout
    assert "bul_Cyrl" in shown.stdout
    assert "Proved:" in shown.stdout
    told = json.loads(
        run("trim", str(models["spm"]), "-o", str(target), "--corpus", str(corpus), "--force", "--json").stdout
    )
    assert told["path"] == str(target)
    assert told["trim"]["rows"][1] == len(map_of(read_header(target)))
    assert told["trim"]["sources"][0]["proof"]["positions_unequal"] == 0
    kept = json.loads((tmp_path / "a.gguf.manifest.json").read_text(encoding="utf-8"))
    assert kept["trim"] == told["trim"]
    again = run("trim", str(models["spm"]), "-o", str(target), "--corpus", str(corpus))
    assert again.exit_code != 0
    assert target.exists()


def test_an_interrupt_leaves_nothing(corpus: Path, gemma_path: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.gguf"
    command = [sys.executable, "-m", "demotic", "trim", str(gemma_path), "-o", str(target), "--corpus", str(corpus)]
    process = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".a.gguf.*")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not list(tmp_path.iterdir())
