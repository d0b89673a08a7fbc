"""Importance matrices as files: llama.cpp's form, and what is refused of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from converters.calibration.importance import Importance
from converters.gguf.imatrix import ImportanceMatrix, read_imatrix, write_imatrix
from runtime.errors import ModelFileInvalid
from tests.tiny.gguf import write_tiny_gguf

DENSE = Importance(np.array([[2.0, 0.5, 0.0]]), np.array([4.0]))
EXPERTS = Importance(np.array([[1.0, 3.0], [0.0, 0.0]]), np.array([2.5, 0.0]))


def matrix(**entries: Importance) -> ImportanceMatrix:
    return ImportanceMatrix(entries, ("bul_Cyrl=a.txt",), 3, 512, {"bul_Cyrl": 1.5})


def written(path: Path, **entries: Importance) -> Path:
    write_imatrix(path, matrix(**entries), model="Tiny")
    return path


def test_what_is_written_is_llama_cpp_s_form(tmp_path: Path) -> None:
    """As read by the gguf package: the names, types and shapes that common/imatrix-loader.cpp looks for."""
    reader = gguf.GGUFReader(written(tmp_path / "a.gguf", dense=DENSE, experts=EXPERTS))
    values = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    assert values == {
        "general.type": "imatrix",
        "imatrix.datasets": ["bul_Cyrl=a.txt"],
        "imatrix.chunk_count": 3,
        "imatrix.chunk_size": 512,
        "demotic.imatrix.model": "Tiny",
        "demotic.imatrix.languages": ["bul_Cyrl"],
        "demotic.imatrix.weights": [1.5],
    }
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    assert list(tensors) == ["dense.in_sum2", "dense.counts", "experts.in_sum2", "experts.counts"]
    assert {tensor.tensor_type for tensor in reader.tensors} == {gguf.GGMLQuantizationType.F32}
    assert [tensor.shape.tolist() for tensor in reader.tensors] == [[3, 1], [1, 1], [2, 2], [1, 2]]
    assert tensors["dense.in_sum2"].data.tolist() == [[2.0, 0.5, 0.0]]


def test_counts_become_whole_numbers_and_means_stay(tmp_path: Path) -> None:
    few = Importance(np.array([[0.3]]), np.array([0.1]))
    found = read_imatrix(written(tmp_path / "a.gguf", few=few, experts=EXPERTS)).entries
    assert found["few"].counts.tolist() == [1]
    assert found["few"].means() == pytest.approx(few.means())
    assert found["experts"].counts.tolist() == [2, 0]
    assert found["experts"].means() == pytest.approx(np.array([[0.4, 1.2], [1, 1]]))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    found = read_imatrix(written(tmp_path / "a.gguf", dense=DENSE))
    assert (found.datasets, found.num_chunks, found.chunk_size) == (("bul_Cyrl=a.txt",), 3, 512)
    assert found.languages == {"bul_Cyrl": 1.5}
    assert (found.entries["dense"].squares == DENSE.squares).all()


def raw(path: Path, tensors: dict[str, Any], kind: str = "imatrix") -> Path:
    writer = gguf.GGUFWriter(path, "")
    writer.add_type(kind)
    for name, values in tensors.items():
        writer.add_tensor(name, np.array(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


SUMS = np.ones((1, 4), np.float32)
COUNTS = np.ones((1, 1), np.float32)


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({}, "is an importance matrix without entries"),
        ({"a.in_sum2": SUMS}, "has no counts for 'a'"),
        ({"a.in_sum2": SUMS.astype(np.float16), "a.counts": COUNTS}, "or other numbers than F32"),
        ({"a.in_sum2": SUMS, "a.counts": np.ones((3, 1), np.float32)}, "has 4 sums and 3 counts for 'a'"),
        ({"a.in_sum2": SUMS * np.nan, "a.counts": COUNTS}, "values that are no numbers"),
        ({"a.in_sum2": -SUMS, "a.counts": COUNTS}, "below 0"),
        ({"a.in_sum2": SUMS, "a.counts": -COUNTS}, "below 0"),
    ],
)
def test_a_damaged_file_is_refused(tensors: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileInvalid, match=sentence):
        read_imatrix(raw(tmp_path / "a.gguf", tensors))


def test_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileInvalid, match="is no importance matrix"):
        read_imatrix(write_tiny_gguf(tmp_path / "model.gguf"))
    (tmp_path / "old.dat").write_bytes(b"\1\0\0\0")
    with pytest.raises(ModelFileInvalid):
        read_imatrix(tmp_path / "old.dat")
    whole = written(tmp_path / "a.gguf", dense=DENSE).read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[:-40])
    with pytest.raises(ModelFileInvalid):
        read_imatrix(tmp_path / "cut.gguf")
