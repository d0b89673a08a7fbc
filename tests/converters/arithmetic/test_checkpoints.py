"""Averages, differences and transferred fine-tunings of checkpoints, held against numpy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from converters.arithmetic import plan
from converters.convert import Request, convert
from runtime.models.inspect import read_header
from tests.converters.arithmetic.commands import refusal, run
from tests.converters.families import Families
from tests.converters.memory import bytes_for_merge, enlarge
from tests.converters.parity import assert_same
from tests.tiny.checkpoints import save_checkpoint, tiny_llama
from tests.tiny.tokenizers import sentencepiece

ROWS = 600
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes the folder `name` with a tiny Llama whose weights are those of `near` with a little noise, or its own."""
    trained = sentencepiece(size=ROWS).to_str()  # training it twice gives two

    def make(name: str, seed: int, *, near: Path | None = None, rows: int = ROWS, dtype: Any = torch.float32) -> Path:
        tokenizer = Tokenizer.from_str(trained)
        tokenizer.add_tokens([f"<extra{number}>" for number in range(rows - ROWS)])
        folder = save_checkpoint(tmp_path / name, tiny_llama(rows).to(dtype), tokenizer)
        state = {key: value.clone() for key, value in load_file(folder / "model.safetensors").items()}
        old = load_file(near / "model.safetensors") if near is not None else {}
        generator = torch.Generator().manual_seed(seed)
        for key, value in state.items():
            noise = torch.randn(value.shape, generator=generator) * 0.02
            if key in old:
                value[: len(old[key])] = old[key]
            state[key] = (value.float() + noise).to(dtype)
        save_file(state, folder / "model.safetensors", {"format": "pt"})
        return folder

    return make


def weights(folder: Path) -> dict[str, Any]:
    return {name: value.float().numpy() for name, value in load_file(folder / "model.safetensors").items()}


def test_s27_a_linear_merge_is_numpy_s_weighted_mean(make: Make, tmp_path: Path) -> None:
    egyptian = make("egyptian", 1)
    moroccan = make("moroccan", 2, near=egyptian)
    (egyptian / "tokenizer_config.json").write_text('{"chat_template": "first"}')
    out = tmp_path / "nile"
    told = run("merge", egyptian, moroccan, "-o", out, "--weights", "0.25,0.75")
    assert told["notes"] == []
    one, other, found = map(weights, (egyptian, moroccan, out))
    assert found.keys() == one.keys()
    for name, value in found.items():
        wanted = np.average(np.stack([one[name], other[name]]).astype(np.float64), axis=0, weights=[0.25, 0.75])
        assert np.array_equal(value, wanted.astype(np.float32))
    assert (out / "tokenizer.json").read_bytes() == (egyptian / "tokenizer.json").read_bytes()
    assert (out / "tokenizer_config.json").read_text() == '{"chat_template": "first"}'
    manifest = json.loads((out / "manifest.json").read_text())
    assert [(each["made_from"], each["weight"]) for each in manifest["merge"]["models"]] == [
        ("egyptian", 0.25),
        ("moroccan", 0.75),
    ]
    model = transformers.AutoModelForCausalLM.from_pretrained(out)
    assert_same(convert(Request(str(out), tmp_path / "a.gguf", "f32")).path, model, within=1e-4)


def test_s27_three_models_in_bfloat16_are_added_in_float64_and_rounded_once(make: Make, tmp_path: Path) -> None:
    first = make("a", 1, dtype=torch.bfloat16)
    others = [make("b", 2, near=first, dtype=torch.bfloat16), make("c", 3, near=first, dtype=torch.bfloat16)]
    told = run("merge", first, *others, "-o", tmp_path / "out", "--weights", "1,1,-0.5")
    assert told["notes"] == ["The weights add up to 1.5, not to 1."]
    assert told["type"] == "BF16"
    one, two, three = map(weights, (first, *others))
    found = load_file(tmp_path / "out" / "model.safetensors")
    for name, value in found.items():
        wanted = one[name].astype(np.float64) + two[name] - 0.5 * three[name].astype(np.float64)
        assert torch.equal(value, torch.tensor(wanted.astype(np.float32)).bfloat16())


def test_models_of_other_beginnings_and_configs_are_told(make: Make, tmp_path: Path) -> None:
    one, other = make("one", 1), make("other", 2)
    state = {name: -value for name, value in load_file(other / "model.safetensors").items()}
    save_file(state, other / "model.safetensors", {"format": "pt"})
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "rope_parameters": None, "rope_theta": 5000.0}))
    spec = json.loads((other / "tokenizer.json").read_text())
    pieces = list(spec["model"]["vocab"])
    spec["model"]["vocab"] = {piece: number for number, piece in enumerate([*pieces[:-2], pieces[-1], pieces[-2]])}
    (other / "tokenizer.json").write_text(json.dumps(spec))
    notes = run("merge", one, other, "-o", tmp_path / "out", "--weights", "0.5,0.5")["notes"]
    assert len(notes) == 3
    assert "rotary positions" in notes[0]
    assert "5000.0" in notes[0]
    assert notes[1].startswith("2 ids stand for other tokens")
    assert "other lineages" in notes[2]


def test_s10_base_and_difference_are_the_target(make: Make, tmp_path: Path) -> None:
    base = make("llama", 1)
    target = make("bayling", 2, near=base, rows=ROWS + 2)
    difference = Path(shutil.copytree(target, tmp_path / "bayling-diff"))
    old, new = weights(base), load_file(target / "model.safetensors")
    state = {}
    for name, value in new.items():
        padded = torch.zeros_like(value)
        padded[: len(old[name])] = torch.tensor(old[name])
        state[name] = (value.double() - padded.double()).float()
    save_file(state, difference / "model.safetensors", {"format": "pt"})
    out = tmp_path / "out"
    notes = run("merge", base, difference, "--apply-delta", "-o", out)["notes"]
    assert notes == ["2 rows of tokens are new: the base counts as zeros there."]
    found = load_file(out / "model.safetensors")
    assert all(torch.allclose(found[name], value, rtol=0, atol=1e-7) for name, value in new.items())
    rows = found["model.embed_tokens.weight"][ROWS:]
    assert torch.equal(rows, state["model.embed_tokens.weight"][ROWS:])
    assert (out / "tokenizer.json").read_bytes() == (difference / "tokenizer.json").read_bytes()
    assert json.loads((out / "config.json").read_text())["vocab_size"] == ROWS + 2
    converted = convert(Request(str(out), tmp_path / "a.gguf", "f32")).path
    assert read_header(converted).tensors["token_embd.weight"].shape[1] == ROWS + 2


def test_s10_a_difference_with_fewer_rows_is_refused(make: Make, tmp_path: Path) -> None:
    base = make("llama", 1, rows=ROWS + 2)
    difference = make("diff", 2)
    text = refusal("merge", base, difference, "--apply-delta", "-o", tmp_path / "out", left=tmp_path)
    assert "has 600 rows of tokens, the base" in text
    assert "has 602: rows can be added, but none left out" in text


def test_s43_a_transfer_to_its_own_base_is_the_finetuned_model_to_the_bit(make: Make, tmp_path: Path) -> None:
    base = make("v1", 1)
    finetuned = make("v1-bul", 2, near=base)
    wanted = load_file(finetuned / "model.safetensors")
    state = {**wanted, "model.norm.weight": wanted["model.norm.weight"] * 1e-20}  # far from the base's
    save_file(state, finetuned / "model.safetensors", {"format": "pt"})
    out = tmp_path / "out"
    told = run("transfer", "--base", base, "--finetuned", finetuned, "--target", base, "-o", out)
    assert told["notes"] == []
    found = load_file(out / "model.safetensors")
    assert all(torch.equal(found[name], value) for name, value in state.items())
    convert(Request(str(out), tmp_path / "a.gguf", "f32"))


def test_s43_a_scale_of_nothing_is_the_target(make: Make, tmp_path: Path) -> None:
    base = make("v1", 1)
    finetuned, target = make("v1-bul", 2, near=base), make("v2", 3, near=base, dtype=torch.bfloat16)
    out = tmp_path / "out"
    run("transfer", "--base", base, "--finetuned", finetuned, "--target", target, "-o", out, "--scale", "0")
    found, wanted = (load_file(folder / "model.safetensors") for folder in (out, target))
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_s43_rows_that_the_finetuned_model_added_are_its_own(make: Make, tmp_path: Path) -> None:
    base = make("v1", 1)
    finetuned, target = make("v1-bul", 2, near=base, rows=ROWS + 3), make("v2", 3, near=base)
    (finetuned / "tokenizer_config.json").write_text('{"chat_template": "tuned"}')
    (finetuned / "generation_config.json").write_text('{"eos_token_id": [601, 2]}')
    (target / "chat_template.jinja").write_text("untuned")
    config = json.loads((finetuned / "config.json").read_text())
    (finetuned / "config.json").write_text(json.dumps({**config, "eos_token_id": 601}))
    out = tmp_path / "out"
    told = run("transfer", "--base", base, "--finetuned", finetuned, "--target", target, "-o", out, "--scale", "0.5")
    assert told["notes"] == ["3 rows of tokens are new: the base counts as zeros there."]
    assert 0 < told["merge"]["distance"] < 0.5
    old, new, to, found = map(weights, (base, finetuned, target, out))
    for name, value in found.items():
        rows = len(old[name])
        change = new[name][:rows].astype(np.float64) - old[name]
        assert np.array_equal(value[:rows], (to[name] + 0.5 * change).astype(np.float32))
        assert np.array_equal(value[rows:], np.float32(0.5) * new[name][rows:])
    values = json.loads((out / "config.json").read_text())
    assert (values["vocab_size"], values["eos_token_id"]) == (ROWS + 3, 601)
    assert json.loads((out / "generation_config.json").read_text())["eos_token_id"] == [601, 2]
    assert not (out / "chat_template.jinja").exists()
    assert transformers.AutoTokenizer.from_pretrained(out).chat_template == "tuned"
    converted = convert(Request(str(out), tmp_path / "a.gguf", "f32")).path
    assert read_header(converted).metadata["tokenizer.ggml.eos_token_id"] == 601


def test_s43_models_that_look_like_strangers_are_told(make: Make, tmp_path: Path) -> None:
    base, target = make("v1", 1), make("v2", 3)
    finetuned = make("v1-bul", 2, near=base)
    state = {name: torch.randn(value.shape) for name, value in load_file(target / "model.safetensors").items()}
    save_file(state, target / "model.safetensors", {"format": "pt"})
    told = run("transfer", "--base", base, "--finetuned", finetuned, "--target", target, "-o", tmp_path / "out")
    assert told["merge"]["distance"] > 0.5
    assert "models of other lineages" in told["notes"][0]


def test_all_that_differs_is_told_at_once(make: Make, tmp_path: Path) -> None:
    one, other = make("one", 1), make("other", 2)
    state = load_file(other / "model.safetensors")
    del state["model.norm.weight"]
    state["model.extra.weight"] = torch.zeros(3)
    state["model.layers.0.mlp.up_proj.weight"] = torch.zeros(95, 64)
    state["model.embed_tokens.weight"] = torch.zeros(601, 64)  # which its config does not tell of
    save_file(state, other / "model.safetensors", {"format": "pt"})
    for arguments in (
        ("merge", one, other, "--weights", "1,1"),
        ("transfer", "--base", one, "--finetuned", one, "--target", other),
    ):
        text = refusal(*arguments, "-o", tmp_path / "out", left=tmp_path)
        assert "1 missing: model.norm.weight" in text
        assert "1 unexpected: model.extra.weight" in text
        assert "2 of another shape" in text
        assert "model.layers.0.mlp.up_proj.weight (95 x 64 instead of 96 x 64)" in text
        assert "model.embed_tokens.weight (601 x 64 instead of 600 x 64)" in text


def test_a_tied_head_that_one_of_them_saved_is_left_out(make: Make, tmp_path: Path) -> None:
    one, other = make("one", 1), make("other", 2)
    for folder, has_head in ((one, True), (other, False)):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
        state = load_file(folder / "model.safetensors")
        del state["lm_head.weight"]
        if has_head:
            state["lm_head.weight"] = state["model.embed_tokens.weight"].clone()
        save_file(state, folder / "model.safetensors", {"format": "pt"})
    run("merge", one, other, "-o", tmp_path / "out", "--weights", "0.5,0.5")
    assert "lm_head.weight" not in load_file(tmp_path / "out" / "model.safetensors")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--weights", "0.5"), "There are 2 models and 1 weights"),
        (("--weights", "0.5,0.3,0.2"), "There are 2 models and 3 weights"),
        (("--weights", "0.5,half"), "'half' in --weights is no number"),
        (("--weights", "0.5,nan"), "'nan' in --weights is no number"),
        (("--weights", "1,1", "--apply-delta"), "Give one of them"),
        (("--weights", "1,1", "--scale", "2"), "--scale is for adapters"),
        (("--weights", "1,1", "--verify"), "--verify is for adapters"),
        ((), "is a whole model, not an adapter"),
    ],
)
def test_what_does_not_go_together_is_refused(
    arguments: tuple[str, ...], sentence: str, make: Make, tmp_path: Path
) -> None:
    one, other = make("one", 1), make("other", 2)
    assert sentence in refusal("merge", one, other, *arguments, "-o", tmp_path / "out", left=tmp_path)
    assert "alone is not merged" in refusal("merge", one, "-o", tmp_path / "out", left=tmp_path)


def test_nothing_that_is_read_is_overwritten(make: Make, tmp_path: Path) -> None:
    one, other = make("one", 1), make("other", 2)
    text = refusal("merge", one, other, "--weights", "1,0", "-o", one, "--force", left=tmp_path)
    assert "is a folder to read from" in text
    out = tmp_path / "out"
    run("merge", one, other, "--weights", "1,0", "-o", out)
    assert "exists already" in refusal("merge", one, other, "--weights", "0,1", "-o", out, left=tmp_path)
    run("merge", one, other, "--weights", "0,1", "-o", out, "--force")
    found, wanted = (load_file(folder / "model.safetensors") for folder in (out, other))
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_large_models_are_merged_in_a_bounded_memory(families: Families, llama: Path, tmp_path: Path) -> None:
    enlarge(llama, families["llama"].model)
    small = str(families["llama"].folder)
    assert (
        bytes_for_merge((str(llama), str(llama), str(tmp_path / "b")), after=(small, small, str(tmp_path / "a")))
        < 150e6
    )
    assert (tmp_path / "b" / "model.safetensors").stat().st_size > 200e6


def test_an_interrupted_run_leaves_nothing(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = make("one", 1), make("other", 2)
    before = sorted(tmp_path.iterdir())

    def interrupted(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(plan, "source_files", interrupted)  # when the weights have been written
    with pytest.raises(AssertionError):
        run("merge", one, other, "--weights", "1,0", "-o", tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before
