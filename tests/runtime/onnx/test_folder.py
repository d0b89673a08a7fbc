"""What a folder of graphs says of itself is checked before it is run, and what is wrong is told."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from runtime.card import ModelCard
from runtime.commands.models import show
from runtime.config import EngineConfig
from runtime.errors import DemoticError, InvalidRequest, ModelFileInvalid, ModelNotFound, UnsupportedArchitecture
from runtime.hardware.onnx_plan import plan_onnx
from runtime.hardware.plan import Plan
from runtime.hardware.probe import NvidiaCard, OnnxBuild, probe
from runtime.models.onnx_folder import read_folder
from runtime.models.onnx_settings import Settings
from runtime.models.store import Store
from tests.converters.onnx.sources import Sources
from tests.runtime.onnx.folders import copied, file_of, opened


def test_a_folder_is_a_model_under_its_own_name(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sources.exported("bert").path
    monkeypatch.chdir(path.parent)
    for reference in (str(path), f"./{path.name}", path.name):
        found = Store().resolve(reference)
        assert (found.name, found.path.resolve()) == ("bert-onnx", path)
    card = ModelCard.read(found)
    assert card.capabilities == ("embedding", "rerank", "score")
    assert (card.header.architecture, card.header.quantization, card.header.trained_context_length) == (
        "bert",
        "F32",
        130,
    )
    assert card.header.file_size == (path / "model.onnx").stat().st_size


def test_a_folder_without_settings_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"has no demotic\.json"):
        Store().resolve(str(tmp_path))


def test_show_tells_settings_and_origin(sources: Sources, capsys: pytest.CaptureFixture[str]) -> None:
    show(str(sources.exported("xlmr-ner").path), as_json=True)
    facts = json.loads(capsys.readouterr().out)
    assert (facts["task"], facts["kind"], facts["made_from"]) == ("token-classify", "encoder", "xlmr-ner")
    assert facts["labels"] == ["O", "B-PER", "I-PER"]


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"format": 2}, (UnsupportedArchitecture, "format 2.*knows 1.*Install a newer")),
        ({"format": 0}, (ModelFileInvalid, "format 0")),
        ({"task": "dream"}, (ModelFileInvalid, r"Invalid enum value 'dream' - at `\$\.task`")),
        ({"sizes": {"vocabulary": -4, "width": 64}}, (ModelFileInvalid, "has -4 as 'vocabulary'")),
        ({"graphs": {"model": "../model.onnx"}}, (ModelFileInvalid, "no file in the folder")),
        ({"graphs": {"model": "/etc/hostname"}}, (ModelFileInvalid, "no file in the folder")),
        ({"graphs": {"model": "gone.onnx"}}, (ModelFileInvalid, r"has no gone\.onnx")),
        ({"graphs": {"decoder": "model.onnx"}}, (ModelFileInvalid, "names decoder graphs")),
        ({"pooling": None}, (ModelFileInvalid, "does not say how vectors are pooled")),
        ({"tokens": {"pad": 10**6}}, (ModelFileInvalid, "names token 1000000")),
        ({"task": "classify"}, (ModelFileInvalid, "has no labels")),
    ],
)
def test_settings_that_break_the_format_are_refused(
    changes: dict[str, Any], wanted: tuple[type[DemoticError], str], sources: Sources, tmp_path: Path
) -> None:
    kind, words = wanted
    with pytest.raises(kind, match=words) as caught:
        read_folder(copied(sources, "bert", tmp_path, **changes))
    assert caught.value.remedy


def test_settings_that_are_no_json_or_have_no_end_are_refused(sources: Sources, tmp_path: Path) -> None:
    folder = copied(sources, "bert", tmp_path)
    (folder / "demotic.json").write_bytes(b'{"format": 1, "task": "\xff"}')
    with pytest.raises(ModelFileInvalid, match="breaks the format"):
        read_folder(folder)
    (folder / "demotic.json").write_text(" " * 2**21)
    with pytest.raises(ModelFileInvalid, match="larger than 1 MiB"):
        read_folder(folder)


def test_settings_can_be_made_without_a_file(sources: Sources) -> None:
    told = read_folder(sources.exported("xlmr-ner").path).settings
    made = Settings(
        task="token-classify",
        shape="encoder",
        architecture="xlm-roberta",
        graphs={"model": "model.onnx"},
        inputs={"model": ("input_ids", "attention_mask")},
        outputs={"model": ("logits",)},
        sizes=told.sizes,
        tokenizer=told.tokenizer,
        tokens=told.tokens,
        max_length=129,
        labels=("O", "B-PER", "I-PER"),
    )
    assert made == dataclasses.replace(told, problem_type=None, global_attention=None)


def test_a_graph_that_is_broken_or_another_one_is_told_of_when_it_is_loaded(sources: Sources, tmp_path: Path) -> None:
    folder = copied(sources, "bert", tmp_path)
    graph = (folder / "model.onnx").read_bytes()
    for broken in (b"", b"half", graph[: len(graph) // 2]):
        (folder / "model.onnx").write_bytes(broken)
        with pytest.raises(ModelFileInvalid, match=r"model\.onnx is no sound ONNX graph.*Export the model anew"):
            opened(folder)
    shutil.copyfile(sources.exported("xlmr-ner").path / "model.onnx", folder / "model.onnx")
    with pytest.raises(ModelFileInvalid, match=r"has the inputs input_ids, attention_mask; its settings say"):
        opened(folder)


def test_a_tokenizer_that_knows_more_than_the_graph_or_nothing_is_refused(sources: Sources, tmp_path: Path) -> None:
    folder = copied(sources, "bert", tmp_path)
    sizes = read_folder(folder).settings.sizes
    library = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    library.add_tokens([f"token {number}" for number in range(sizes.vocabulary)])
    library.save(str(folder / "tokenizer.json"))
    with pytest.raises(ModelFileInvalid, match=f"has tokens up to .*embedding has {sizes.vocabulary} rows"):
        opened(folder)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelFileInvalid, match=r"tokenizer\.json cannot be read"):
        opened(folder)


def test_a_tokenizer_of_as_many_tokens_that_is_not_the_graph_s_is_refused(sources: Sources, tmp_path: Path) -> None:
    folder = copied(sources, "bert", tmp_path)
    spec = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    (first, one), (second, other), *_ = list(spec["model"]["vocab"].items())[-2:]
    spec["model"]["vocab"] |= {first: other, second: one}
    (folder / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    with pytest.raises(ModelFileInvalid, match=r"tokenizer\.json is not the file that demotic\.json tells of"):
        opened(folder)
    settings = json.loads((folder / "demotic.json").read_text(encoding="utf-8"))
    del settings["tokenizer"]["sha256"]  # as of what was exported before it was told
    (folder / "demotic.json").write_text(json.dumps(settings), encoding="utf-8")
    opened(folder).close()


def test_a_folder_takes_no_adapter(sources: Sources, tmp_path: Path) -> None:
    card = ModelCard.read(file_of(sources.exported("bert").path))
    with pytest.raises(InvalidRequest, match=r"take no adapters.*Merge it"):
        card.check_adapter(tmp_path / "a.gguf")


def test_the_plan_takes_a_card_where_onnxruntime_can_use_it_and_says_why(sources: Sources) -> None:
    folder = read_folder(sources.exported("bert").path)
    card = NvidiaCard("RTX", memory_total=2**33, memory_free=2**33)
    here = dataclasses.replace(probe(), onnxruntime=OnnxBuild("1", ("CPUExecutionProvider",)), nvidia_cards=(card,))
    without = plan_onnx(here, folder, EngineConfig())
    both = OnnxBuild("1", ("CUDAExecutionProvider", "CPUExecutionProvider"))
    found = plan_onnx(dataclasses.replace(here, onnxruntime=both), folder, EngineConfig())
    alone = plan_onnx(dataclasses.replace(here, onnxruntime=both, nvidia_cards=()), folder, EngineConfig())
    assert (without.provider, found.provider, alone.provider) == ("cpu", "cuda", "cpu")
    assert "onnxruntime-gpu" in without.reasons["provider"] and "RTX" in found.reasons["provider"]
    assert set(found.reasons) == {field.name for field in dataclasses.fields(Plan)} - {"reasons"}


def test_the_plan_keeps_graphs_off_a_card_that_has_no_room_for_the_longest_text(sources: Sources) -> None:
    folder = read_folder(sources.exported("bert").path)
    card = NvidiaCard("RTX", memory_total=2**33, memory_free=2**18)
    both = OnnxBuild("1", ("CUDAExecutionProvider", "CPUExecutionProvider"))
    here = dataclasses.replace(probe(), onnxruntime=both, nvidia_cards=(card,))
    found = plan_onnx(here, folder, EngineConfig())
    assert found.provider == "cpu" and "RTX has 0 MiB free" in found.reasons["provider"]


def test_the_plan_shortens_the_context_where_memory_is_short(sources: Sources, tmp_path: Path) -> None:
    folder = read_folder(copied(sources, "bert", tmp_path, max_length=8192))
    here = dataclasses.replace(probe(), onnxruntime=OnnxBuild("1", ("CPUExecutionProvider",)))
    roomy, tight = (
        plan_onnx(dataclasses.replace(here, memory_available=size), folder, EngineConfig(max_context=8192))
        for size in (2**36, 2**26)
    )
    assert roomy.context_length == 8192
    assert 128 <= tight.context_length < 8192 and tight.estimated_bytes < 2**26
    assert "8192 were wanted" in tight.reasons["context_length"]
