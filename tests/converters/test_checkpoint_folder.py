"""Checkpoints that are written: each tensor in its type, what lies beside the weights, whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from converters.checkpoint import open_checkpoint
from converters.checkpoint_folder import contents_of, require_target, write_contents
from converters.convert import Request, convert
from converters.tensors import Tensor, of_array, to_bfloat16
from converters.weights.write import write_weights
from runtime.errors import ConversionRefused, InvalidRequest
from runtime.models.files import NoProgress
from tests.converters.families import Families
from tests.converters.parity import assert_same


def write(folder: Path, tensors: Mapping[str, Tensor], **options: int) -> Path:
    folder.mkdir()
    write_weights(folder, tensors, NoProgress(), title="w", **options)
    return folder


def test_values_are_rounded_to_the_nearest_bfloat16_ties_to_even() -> None:
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 2**32, 100_000, dtype=np.uint32)
    values = bits.view(np.float32)[np.isfinite(bits.view(np.float32))]
    ties = (np.arange(1000, dtype=np.uint32) << 16 | 0x8000).view(np.float32)
    for given in (values, ties):
        wanted = torch.tensor(given).bfloat16().view(torch.uint16).numpy()
        assert np.array_equal(to_bfloat16(given), wanted)


def test_each_tensor_keeps_its_type_and_its_bits(llama: Path, tmp_path: Path) -> None:
    stored = {
        "wide": torch.randn(5, 3),
        "half": torch.randn(7, 3).half(),
        "brain": torch.randn(3, 3).bfloat16(),
        "counted": torch.arange(5),
        "scalar": torch.tensor(3),
        "mask": torch.tensor([True, False]),
    }
    save_file(stored, llama / "model.safetensors")
    folder = write(tmp_path / "out", open_checkpoint(str(llama)).tensors)
    found = load_file(folder / "model.safetensors")
    assert {name: (value.dtype, value.shape) for name, value in found.items()} == {
        name: (value.dtype, value.shape) for name, value in stored.items()
    }
    assert all(torch.equal(found[name], stored[name]) for name in stored)


def test_a_pickled_checkpoint_keeps_its_types_too(llama: Path, tmp_path: Path) -> None:
    state = load_file(llama / "model.safetensors")
    (llama / "model.safetensors").unlink()
    names = list(state)
    state |= {names[0]: state[names[0]].half(), names[1]: state[names[1]].bfloat16()}
    torch.save(state, llama / "pytorch_model.bin")
    folder = write(tmp_path / "out", open_checkpoint(str(llama)).tensors)
    found = load_file(folder / "model.safetensors")
    assert all(torch.equal(found[name], state[name]) and found[name].dtype == state[name].dtype for name in state)


@pytest.mark.parametrize(
    ("values", "dtype", "message"),
    [
        ([np.inf, 1.0], "F32", "no finite numbers"),
        ([7e4, 1.0], "F16", "above the most that F16 holds"),
        ([3.4028235e38, 1.0], "BF16", "above the most that BF16 holds"),
        ([2.0**25, 1.0], "I32", r"packed numbers \(I32\)"),
    ],
)
def test_what_a_type_does_not_hold_is_refused(values: list[float], dtype: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionRefused, match=message):
        write(tmp_path / "out", {"w": of_array(np.array(values, np.float32), dtype)})


def test_weights_of_more_than_one_file_are_loaded_by_their_index(
    families: Families, llama: Path, tmp_path: Path
) -> None:
    checkpoint = open_checkpoint(str(llama))
    folder = write(tmp_path / "out", checkpoint.tensors, most=200_000)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    files = set(index["weight_map"].values())
    assert len(files) > 2
    assert all((folder / file).stat().st_size < 210_000 for file in files)
    shutil.copy(llama / "config.json", folder)
    model = transformers.LlamaForCausalLM.from_pretrained(folder)
    wanted = families["llama"].model.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in model.state_dict().items())
    assert open_checkpoint(str(folder)).tensors.keys() == checkpoint.tensors.keys()


def test_what_is_written_is_loaded_by_transformers_and_converted(
    families: Families, llama: Path, tmp_path: Path
) -> None:
    (llama / "generation_config.json").write_text('{"eos_token_id": [1, 2]}')
    (llama / "chat_template.jinja").write_text("{{ messages[0].content }}")
    (llama / "README.md").write_text("---\nlicense: apache-2.0\nlanguage: ['no', bg]\n---\nAn old story.\n")
    (llama / "LICENSE").write_text("Terms.")
    (llama / "modeling_own.py").write_text("print('code')")
    contents = contents_of(open_checkpoint(str(llama)), {"bos_token_id": 1, "eos_token_id": None})
    folder = tmp_path / "out"
    folder.mkdir()
    write_contents(folder, contents, NoProgress(), title="out")
    copied = {"generation_config.json", "chat_template.jinja", "LICENSE", "tokenizer.json", "tokenizer_config.json"}
    assert {path.name for path in folder.iterdir()} == {*copied, "config.json", "model.safetensors", "README.md"}
    config = json.loads((folder / "config.json").read_text())
    before = json.loads((llama / "config.json").read_text())
    assert config == {**before, "bos_token_id": 1, "eos_token_id": None}
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template == "{{ messages[0].content }}"
    done = convert(Request(str(folder), tmp_path / "a.gguf", "f32"))
    assert (done.manifest.license, done.manifest.languages) == ("apache-2.0", ("no", "bg"))
    assert_same(done.path, model, within=1e-4)


def test_a_tokenizer_of_another_folder_takes_the_place_of_the_base_s(llama: Path, tmp_path: Path) -> None:
    (llama / "tokenizer.model").write_bytes(b"old")
    (llama / "chat_template.jinja").write_text("old")
    (llama / "generation_config.json").write_text("{}")
    other = tmp_path / "other"
    other.mkdir()
    (other / "tokenizer.json").write_text("{}")
    contents = contents_of(replace(open_checkpoint(str(llama)), tokenizer_folder=other))
    assert contents.files["tokenizer.json"] == other / "tokenizer.json"
    assert contents.files["generation_config.json"] == llama / "generation_config.json"
    assert not contents.files.keys() & {"tokenizer.model", "chat_template.jinja", "tokenizer_config.json"}


def test_a_target_that_cannot_be_is_refused_before_anything_is_written(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = contents_of(open_checkpoint(str(llama)))
    for inside in (llama, llama.parent):
        with pytest.raises(InvalidRequest, match="is a folder to read from"):
            require_target(inside, contents, [llama], force=True)
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.txt").write_text("mine")
    with pytest.raises(ConversionRefused, match="exists already"):
        require_target(taken, contents, [llama], force=False)
    with pytest.raises(ConversionRefused, match="is not what was converted before"):
        require_target(taken, contents, [llama], force=True)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: type("Usage", (), {"free": 10}))
    with pytest.raises(ConversionRefused, match=r"its disk has 0\.00 GB free"):
        require_target(tmp_path / "out", contents, [llama], force=False)
