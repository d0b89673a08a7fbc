"""Checkpoints in every format that is read, and what is refused before anything is written."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from converters.checkpoint import open_checkpoint
from converters.convert import Request, convert
from converters.tensors import Tensor
from converters.weights.flax import read_flax
from converters.weights.pickled import read_pickled
from converters.weights.safetensors import read_safetensors
from runtime.errors import ConversionRefused, InvalidRequest, ModelNotFound, UnsupportedArchitecture
from tests.converters.families import Families
from tests.tiny.checkpoints import save_checkpoint
from tests.tiny.flax import flax_array


def refusal(source: Path) -> str:
    """The sentence for a checkpoint that is refused; nothing may have been written."""
    target = source.parent / "out" / "model.gguf"
    target.parent.mkdir()
    with pytest.raises(ConversionRefused) as caught:
        convert(Request(str(source), target, "f32"))
    assert list(target.parent.iterdir()) == []
    return str(caught.value)


def safetensors_header(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def write_safetensors(path: Path, header: dict[str, Any], data: bytes) -> None:
    stored = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(stored)) + stored + data)


# Formats


def state_of(families: Families) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = families["llama"].model.state_dict()
    return state


def test_all_formats_give_the_same_artefact(families: Families, llama: Path, tmp_path: Path) -> None:
    wanted = convert(Request(str(llama), tmp_path / "a.gguf", "f32")).manifest.sha256
    (llama / "model.safetensors").unlink()
    torch.save(state_of(families), llama / "pytorch_model.bin")
    assert convert(Request(str(llama), tmp_path / "b.gguf", "f32")).manifest.sha256 == wanted
    torch.save(state_of(families), llama / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert convert(Request(str(llama), tmp_path / "c.gguf", "f32")).manifest.sha256 == wanted


def test_parts_are_read_like_one_file(families: Families, tmp_path: Path) -> None:
    family = families["llama"]
    folder = save_checkpoint(tmp_path / "tiny-llama", family.model, family.tokenizer, max_shard_size="100KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    done = convert(Request(str(folder), tmp_path / "a.gguf", "f32"))
    assert done.manifest.sha256 == family.converted.manifest.sha256


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_values_of_every_type_are_read_exactly(dtype: torch.dtype, tmp_path: Path) -> None:
    import safetensors.torch

    values = torch.linspace(-3, 3, 35).reshape(7, 5).to(dtype)
    safetensors.torch.save_file({"a": values, "b": values[0].clone()}, tmp_path / "a.safetensors")
    torch.save({"a": values, "b": values[0]}, tmp_path / "a.bin")
    for tensors in (read_safetensors(tmp_path / "a.safetensors"), read_pickled(tmp_path / "a.bin")):
        assert tensors["a"].shape == (7, 5)
        assert np.array_equal(tensors["a"].whole(), values.float().numpy())
        assert np.array_equal(tensors["a"].read(2, 4), values[2:4].float().numpy())
        assert np.array_equal(tensors["b"].whole(), values[0].float().numpy())


_CHUNKED = "__msgpack_chunked_array__"


def test_flax_is_read_under_pytorch_s_names_and_layout(tmp_path: Path) -> None:
    kernel, table = np.arange(6, dtype=np.float32).reshape(2, 3), np.arange(8, dtype=np.float32).reshape(4, 2)
    halves = (table.view(np.uint32) >> 16).astype(np.uint16)  # bfloat16
    chunks = {_CHUNKED: True, "shape": {"0": 4, "1": 2}, "chunks": {"0": flax_array(table.ravel(), "float32")}}
    tree = {
        "shared": {"embedding": flax_array(halves, "bfloat16")},
        "encoder": {"block": {"0": {"wi": {"kernel": flax_array(kernel, "float32")}}}},
        "norm": {"scale": flax_array(kernel[0], "float32")},
        "large": {"embedding": chunks},
    }
    (tmp_path / "flax_model.msgpack").write_bytes(msgspec.msgpack.encode(tree))
    tensors = read_flax(tmp_path / "flax_model.msgpack")
    assert set(tensors) == {"shared.weight", "encoder.block.0.wi.weight", "norm.weight", "large.weight"}
    assert np.array_equal(tensors["shared.weight"].whole(), table)
    assert np.array_equal(tensors["encoder.block.0.wi.weight"].whole(), kernel.T)
    assert np.array_equal(tensors["encoder.block.0.wi.weight"].read(1, 3), kernel.T[1:3])
    assert np.array_equal(tensors["norm.weight"].whole(), kernel[0])
    assert np.array_equal(tensors["large.weight"].read(1, 3), table[1:3])


@pytest.mark.parametrize("data", [b"", b"\x81", b"\xc1", b"\x81\xa1a\xc7\x01\x05x", msgspec.msgpack.encode([1])])
def test_a_damaged_flax_file_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "flax_model.msgpack").write_bytes(data)
    with pytest.raises(ConversionRefused, match="Flax checkpoint"):
        read_flax(tmp_path / "flax_model.msgpack")


def test_a_flax_array_that_does_not_fit_its_shape_is_refused(tmp_path: Path) -> None:
    payload = msgspec.msgpack.encode([[2, 3], "float32", b"\0" * 20])
    (tmp_path / "a.msgpack").write_bytes(msgspec.msgpack.encode({"a": msgspec.msgpack.Ext(1, payload)}))
    with pytest.raises(ConversionRefused, match="20 bytes for the shape"):
        read_flax(tmp_path / "a.msgpack")


# A pickle with code


class Payload:
    """What runs a command where a pickle is trusted."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_pickle_with_code_is_refused_and_nothing_of_it_runs(is_zip: bool, llama: Path) -> None:
    mark = llama.parent / "was-run"
    (llama / "model.safetensors").unlink()
    torch.save({"a": Payload(mark)}, llama / "pytorch_model.bin", _use_new_zipfile_serialization=is_zip)
    assert "perhaps code; nothing of it was run" in refusal(llama)
    assert not mark.exists()


def test_the_payload_of_that_test_would_run_where_a_pickle_is_trusted(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Payload(tmp_path / "was-run")))  # noqa: S301
    assert (tmp_path / "was-run").is_dir()


@pytest.mark.parametrize("data", [b"", b"no pickle at all", b"PK\x03\x04 no archive either"])
def test_a_damaged_bin_file_is_refused(data: bytes, llama: Path) -> None:
    (llama / "model.safetensors").unlink()
    (llama / "pytorch_model.bin").write_bytes(data)
    assert str(llama / "pytorch_model.bin") in refusal(llama)


def test_a_bin_file_that_holds_no_tensors_is_refused(llama: Path) -> None:
    (llama / "model.safetensors").unlink()
    torch.save({"epoch": 3}, llama / "pytorch_model.bin")
    assert "something else than tensors by name" in refusal(llama)


# Files that are missing or damaged


def test_a_missing_part_is_named(families: Families, tmp_path: Path) -> None:
    family = families["llama"]
    folder = save_checkpoint(tmp_path / "tiny-llama", family.model, family.tokenizer, max_shard_size="100KB")
    lost = sorted(folder.glob("model-*.safetensors"))[1]
    lost.unlink()
    sentence = refusal(folder)
    assert "lacks 1 of the" in sentence
    assert lost.name in sentence


def test_a_part_without_a_tensor_that_the_index_puts_there_is_named(families: Families, tmp_path: Path) -> None:
    family = families["llama"]
    folder = save_checkpoint(tmp_path / "tiny-llama", family.model, family.tokenizer, max_shard_size="100KB")
    first, second = sorted(folder.glob("model-*.safetensors"))[:2]
    shutil.copy(first, second)
    assert f"{second.name} lacks '" in refusal(folder)


def test_an_index_cannot_name_files_of_other_folders(llama: Path) -> None:
    index = {"weight_map": {"model.norm.weight": "../model.safetensors"}}
    (llama / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "outside of its folder" in refusal(llama)


def test_a_cut_off_part_is_refused(llama: Path) -> None:
    path = llama / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "is cut off: '" in refusal(llama)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "its header does not fit"),
        (struct.pack("<Q", 2**40) + b"{}", "its header does not fit"),
        (struct.pack("<Q", 8) + b"no JSON!", "no JSON object"),
        (struct.pack("<Q", 2) + b"[]", "no JSON object"),
        (struct.pack("<Q", 9) + b'{"a": {}}', "no type, shape and place of 'a'"),
    ],
)
def test_a_part_with_a_wrong_header_is_refused(data: bytes, fault: str, llama: Path) -> None:
    (llama / "model.safetensors").write_bytes(data)
    assert fault in refusal(llama)


def test_a_header_that_gives_a_tensor_too_few_bytes_is_refused(llama: Path) -> None:
    path = llama / "model.safetensors"
    header, data = safetensors_header(path)
    header["model.norm.weight"]["data_offsets"][1] -= 4
    write_safetensors(path, header, data)
    assert "gives 'model.norm.weight' 252 bytes for the shape [64] in F32" in refusal(llama)


def test_a_type_that_is_not_read_is_named(llama: Path) -> None:
    path = llama / "model.safetensors"
    header, data = safetensors_header(path)
    header["model.norm.weight"]["dtype"] = "F8_E4M3"
    write_safetensors(path, header, data)
    assert "stores 'model.norm.weight' as F8_E4M3" in refusal(llama)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(file: str, llama: Path) -> None:
    (llama / file).unlink()
    assert {"config.json": "has no config.json", "tokenizer.json": "has no tokenizer"}.get(
        file, "has no weights"
    ) in refusal(llama)


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff"])
def test_a_damaged_config_is_refused(text: str, llama: Path) -> None:
    (llama / "config.json").write_bytes(text.encode("latin-1"))
    assert "is damaged" in refusal(llama)


# Tensors


def edited(path: Path, change: Any) -> None:
    import safetensors.torch

    tensors = safetensors.torch.load_file(path)
    change(tensors)
    safetensors.torch.save_file(tensors, path)


def test_missing_unexpected_and_wrong_shaped_tensors_are_listed_by_name(llama: Path) -> None:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["model.layers.1.mlp.up_proj.weight"]
        tensors["model.layers.0.extra.weight"] = torch.zeros(3)
        tensors["model.norm.weight"] = torch.zeros(63)
        tensors["lm_head.weight"] = tensors["lm_head.weight"][:-1].contiguous()

    edited(llama / "model.safetensors", change)
    sentence = refusal(llama)
    assert "1 missing: model.layers.1.mlp.up_proj.weight" in sentence
    assert "1 unexpected: model.layers.0.extra.weight" in sentence
    assert "2 of another shape: " in sentence
    assert "model.norm.weight (63 instead of 64)" in sentence
    assert "lm_head.weight (599 x 64 instead of 600 x 64)" in sentence


def test_values_that_are_no_numbers_are_refused_and_leave_no_file(llama: Path) -> None:
    edited(llama / "model.safetensors", lambda tensors: tensors["model.norm.weight"].fill_(float("nan")))
    assert "values in 'output_norm.weight' that are no finite numbers" in refusal(llama)


def test_a_head_that_differs_is_written_although_the_config_ties_it(llama: Path, tmp_path: Path) -> None:
    config = json.loads((llama / "config.json").read_text())
    (llama / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    done = convert(Request(str(llama), tmp_path / "a.gguf", "f32"))
    assert "lm_head.weight is written: it differs from the embedding" in done.manifest.notes[0]
    edited(
        llama / "model.safetensors",
        lambda tensors: tensors["lm_head.weight"].copy_(tensors["model.embed_tokens.weight"]),
    )
    same = convert(Request(str(llama), tmp_path / "b.gguf", "f32"))
    assert same.manifest.notes == ()
    assert same.manifest.size < done.manifest.size - 600 * 64 * 4 + 100


def test_names_of_a_bare_model_are_understood(families: Families, llama: Path, tmp_path: Path) -> None:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        for name in list(tensors):
            tensors[name.removeprefix("model.")] = tensors.pop(name)

    edited(llama / "model.safetensors", change)
    done = convert(Request(str(llama), tmp_path / "a.gguf", "f32"))
    assert done.manifest.sha256 == families["llama"].converted.manifest.sha256


# Families


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [
        (["VoilaForCausalLM"], "is a VoilaForCausalLM, which is not converted. The nearest that is: "),
        (["LlamaForSomething"], "The nearest that is: LlamaForCausalLM"),
        (["Zzz"], "Those that are: BertForMaskedLM, "),
    ],
)
def test_an_unknown_family_is_named_with_the_nearest(classes: list[str], sentence: str, llama: Path) -> None:
    config = json.loads((llama / "config.json").read_text())
    (llama / "config.json").write_text(json.dumps(config | {"architectures": classes}))
    with pytest.raises(UnsupportedArchitecture) as caught:
        convert(Request(str(llama), llama.parent / "a.gguf"))
    assert sentence in str(caught.value)
    assert not list(llama.parent.glob("*.gguf"))


def test_a_checkpoint_that_is_quantized_already_is_refused(llama: Path) -> None:
    config = json.loads((llama / "config.json").read_text())
    (llama / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "gptq"}}))
    with pytest.raises(UnsupportedArchitecture, match=r"quantized already \(gptq\)"):
        convert(Request(str(llama), llama.parent / "a.gguf"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"hidden_act": "relu2"}, "has the activation 'relu2', which llama.cpp's llama does not compute"),
        ({"hidden_size": "many"}, "has 'many' as 'hidden_size', which must be a whole number"),
        ({"hidden_size": None}, "has no 'hidden_size'"),
        ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4}}, "has 'dynamic' as rope type"),
        ({"num_key_value_heads": 3}, "divides 4 heads among 3"),
    ],
)
def test_a_config_that_llama_cpp_does_not_compute_is_refused(
    changes: dict[str, Any], sentence: str, llama: Path
) -> None:
    config = json.loads((llama / "config.json").read_text())
    (llama / "config.json").write_text(json.dumps(config | changes))
    assert sentence in refusal(llama)


# References


def test_a_reference_to_one_file_of_the_hub_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="a checkpoint is a whole repository"):
        open_checkpoint("hf:org/repo:Q4_K_M")


def test_a_folder_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        open_checkpoint(str(tmp_path / "nothing"))
    with pytest.raises(ModelNotFound, match="hf:org/repo"):
        open_checkpoint("org/repo")


def test_a_tensor_is_read_in_blocks_of_rows() -> None:
    reads: list[tuple[int, int]] = []

    def read(start: int, stop: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        reads.append((start, stop))
        return np.zeros((stop - start, 2**20), np.float32)

    blocks = list(Tensor((10, 2**20), read).blocks())
    assert reads == [(0, 4), (4, 8), (8, 10)]
    assert sum(len(block) for block in blocks) == 10
