"""The text of a Gemma 3 that also sees images, as transformers 4 and 5 saved it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from transformers import Gemma3TextConfig

from converters.architectures.options import Options
from converters.architectures.registry import architecture_of
from converters.checkpoint import open_checkpoint
from converters.convert import Request, convert
from runtime.errors import ConversionRefused
from tests.converters.families import Families


def test_its_images_are_left_out_and_that_is_told(families: Families) -> None:
    manifest = families["gemma3-multimodal"].converted.manifest
    assert "Only text is read: what the checkpoint knows of images is left out." in manifest.notes
    assert manifest.architecture == "gemma3"


def test_names_of_transformers_4_are_read_too(families: Families, tmp_path: Path) -> None:
    family = families["gemma3-multimodal"]
    folder = tmp_path / "old"
    folder.mkdir()
    for path in family.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    assert any(name.startswith(("language_model.model.", "model.language_model.")) for name in tensors)
    names = {
        name: name.replace("model.language_model.", "language_model.model.").replace("model.vision", "vision")
        for name in tensors
    }
    save_file({names[name]: tensor for name, tensor in tensors.items()}, folder / "model.safetensors")
    done = convert(Request(str(folder), tmp_path / "a.gguf", "f32"))
    assert done.path.read_bytes().endswith(family.converted.path.read_bytes()[-4096:])


def test_a_section_that_says_little_means_transformers_defaults(families: Families, tmp_path: Path) -> None:
    folder = tmp_path / "sparse"
    folder.mkdir()
    for path in families["gemma3-multimodal"].folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    # As google/gemma-3-4b-it has it.
    config["text_config"] = {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    }
    (folder / "config.json").write_text(json.dumps(config))
    architecture = architecture_of(open_checkpoint(str(folder)), Options())
    entries = architecture.hyperparameters()
    usual = Gemma3TextConfig()
    assert entries["attention.head_count"] == usual.num_attention_heads
    assert entries["attention.head_count_kv"] == usual.num_key_value_heads
    assert entries["attention.key_length"] == usual.head_dim
    assert (entries["rope.scaling.type"], entries["rope.scaling.factor"]) == ("linear", 8.0)
    assert (entries["rope.freq_base"], entries["rope.freq_base_swa"]) == (1e6, 1e4)
    pattern = entries["attention.sliding_window_pattern"]
    assert isinstance(pattern, list)
    assert [at for at, has_window in enumerate(pattern) if not has_window] == [5, 11, 17, 23, 29]
    with pytest.raises(ConversionRefused, match="of another shape"):
        architecture.outputs()
