"""`demotic calibrate`: the file, the report, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import demotic
from converters.calibration.calibrate import Request, calibrate
from converters.gguf.imatrix import read_imatrix
from converters.probes import LINES
from runtime.errors import ConversionRefused, InvalidRequest, ModelFileInvalid, UnsupportedArchitecture
from runtime.models.gguf_format import parse
from tests.converters.calibration.conftest import Calibrable
from tests.tiny.encoders import tiny_bert, write_encoder
from tests.tiny.seq2seq import tiny_t5, write_seq2seq


def run(*arguments: str) -> Any:
    return CliRunner().invoke(demotic.make_app(), list(arguments))


def test_the_file_has_every_matrix_of_the_blocks_and_says_what_it_is_of(calibrable: Calibrable, tmp_path: Path) -> None:
    done = calibrate(Request(calibrable.path, tmp_path / "a.gguf", calibrable.text_options(), "tam=2.5"))
    matrix = read_imatrix(done.path)
    assert len(matrix.entries) == done.report.num_tensors == 14
    assert matrix.languages == {"bul_Cyrl": 1, "tam_Taml": 2.5}
    assert matrix.datasets == ("bul_Cyrl=bul_Cyrl.txt", "tam_Taml=tam_Taml.txt")
    assert matrix.chunk_size == 128  # the model's context; 512 where it has as much
    assert matrix.num_chunks == sum(each.num_chunks for each in done.report.languages)
    metadata = parse(done.path).metadata
    assert (metadata["general.type"], metadata["demotic.imatrix.model"]) == ("imatrix", "tiny-gemma3")
    bul, tam = done.report.languages
    assert tam.share == pytest.approx(2.5 * tam.num_tokens / (2.5 * tam.num_tokens + bul.num_tokens))
    assert bul.num_tokens == 128 * bul.num_chunks
    assert all("fewer than 10,000 tokens of bul_Cyrl, tam_Taml" in note for note in done.notes)


def test_weights_lead_from_one_language_s_matrix_to_the_other_s(calibrable: Calibrable, tmp_path: Path) -> None:
    mixes = {"alone": "bul=0", "much": "tam=1000", "even": "", "other": "tam=0"}
    made = {}
    for name, mix in mixes.items():
        calibrate(Request(calibrable.path, tmp_path / name, calibrable.text_options(), mix))
        made[name] = read_imatrix(tmp_path / name).entries["blk.1.ffn_down.weight"].means()
    far = {name: abs(made[name] - made["alone"]).sum() for name in mixes}
    assert 0 < far["much"] < 0.01 * far["even"] < far["even"] < far["other"]
    only = calibrate(Request(calibrable.path, tmp_path / "tam", [f"tam={calibrable.texts['tam_Taml']}"])).path
    assert read_imatrix(only).entries["blk.1.ffn_down.weight"].means() == pytest.approx(made["alone"], rel=1e-6)


def test_the_command_prints_a_table_or_json(calibrable: Calibrable, tmp_path: Path) -> None:
    texts = [word for option in calibrable.text_options() for word in ("--text", option)]
    words = ["calibrate", str(calibrable.path), "-o", str(tmp_path / "a.gguf"), *texts]
    shown = run(*words)
    assert shown.exit_code == 0
    assert all(
        part in shown.stdout for part in ("bul_Cyrl", "tam_Taml", "starved in", "bul_Cyrl and tam_Taml", "of 14")
    )
    assert f"{tmp_path / 'a.gguf'} (14 tensors)" in shown.stdout
    assert "Calibrating tiny-gemma3-F16.gguf, in chunks: 0 of" in shown.stderr
    again = run(*words)
    assert isinstance(again.exception, ConversionRefused)
    told = json.loads(run(*words, "--force", "--json").stdout)
    assert [each["language"] for each in told["languages"]] == ["bul_Cyrl", "tam_Taml"]
    assert told["pairs"][0]["languages"] == ["bul_Cyrl", "tam_Taml"]
    assert told["pairs"][0]["disagreement"] > 0.001
    assert [path.name for path in tmp_path.iterdir()] == ["a.gguf"]


def test_without_text_our_own_lines_stand_in_with_a_note(calibrable: Calibrable, tmp_path: Path) -> None:
    done = calibrate(Request(calibrable.path, tmp_path / "a.gguf"))
    assert [each.language for each in done.report.languages] == list(LINES)
    assert f"a line in each of {len(LINES)} languages stood in" in done.notes[0]
    assert read_imatrix(done.path).datasets[0] == f"{next(iter(LINES))}=demotic"


def test_what_cannot_be_calibrated_is_refused_and_nothing_is_left(calibrable: Calibrable, tmp_path: Path) -> None:
    target = tmp_path / "out" / "a.gguf"
    target.parent.mkdir()
    with pytest.raises(ModelFileInvalid):
        calibrate(Request(tmp_path / "no.gguf", target))
    with pytest.raises(
        UnsupportedArchitecture, match="is an encoder-decoder; decoders, which give text, are calibrated"
    ):
        calibrate(Request(write_seq2seq(tmp_path / "t5.gguf", tiny_t5()), target))
    with pytest.raises(UnsupportedArchitecture, match="gives vectors"):
        calibrate(Request(write_encoder(tmp_path / "bert.gguf", tiny_bert(), pooling="mean"), target))
    with pytest.raises(InvalidRequest, match="--mix gives ron_Latn a weight"):
        calibrate(Request(calibrable.path, target, calibrable.text_options(), "ron=2"))
    with pytest.raises(ConversionRefused, match="There is no folder"):
        calibrate(Request(calibrable.path, tmp_path / "none" / "a.gguf"))
    assert list(target.parent.iterdir()) == []


def test_ctrl_c_ends_it_and_leaves_nothing(calibrable: Calibrable, tmp_path: Path) -> None:
    text = tmp_path / "long.txt"
    text.write_text("\n".join(f"{LINES['tam_Taml']} {i}" for i in range(20_000)), encoding="utf-8")
    target = tmp_path / "out" / "a.gguf"
    target.parent.mkdir()
    command = ["calibrate", str(calibrable.path), "-o", str(target), "--text", f"tam={text}"]
    process = subprocess.Popen([sys.executable, "-m", "demotic", *command], stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert b"Calibrating" in os.read(process.stderr.fileno(), 100)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in errors
    assert b"ignored" not in errors
    assert list(target.parent.iterdir()) == []
