"""`demotic bundle`: what fits is packed with its hashes, what does not is refused, and nothing is left of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import demotic
from converters.adapt.request import Request as TrimRequest
from converters.adapt.selection import Limits
from converters.adapt.trim import trim
from converters.bundles.evaluation import write_evaluation
from converters.bundles.pack import Packed, Request, pack
from converters.convert import Request as ConvertRequest
from converters.convert import convert
from converters.progress import NoSteps
from runtime.errors import ConversionRefused, DemoticError, InvalidRequest, ModelFileInvalid, UnknownLanguage
from runtime.models.bundles import read_evaluation
from runtime.models.files import NoProgress
from runtime.models.recipe import read_recipe
from runtime.models.store import Store
from tests.converters.families import EXACT, Families
from tests.converters.parity import assert_same
from tests.tiny.adapters import save_adapter
from tests.tiny.gguf import spm_vocabulary, write_tiny_gguf, write_tiny_lora

TEXT = "\n".join(f"the world and the working ring {number}" for number in range(60))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base, an adapter of it, and what it was trimmed to."""
    folder = tmp_path_factory.mktemp("made")
    base = write_tiny_gguf(folder / "base.gguf")
    write_tiny_lora(folder / "legal.gguf", base)
    corpus = folder / "corpus.txt"
    corpus.write_text(TEXT, encoding="utf-8")
    asked = TrimRequest(base, folder / "trimmed.gguf", corpora=(f"eng={corpus}",), limits=Limits(384), verify=False)
    trim(asked, NoProgress(), NoSteps())
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of it without what packing writes."""
    for path in made.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


def packed(folder: Path, store: Store, **asked: Any) -> Packed:
    request = Request(str(folder / "base.gguf"), folder / "out.bundle.json", "tiny-bul", **asked)
    return pack(request, store, NoProgress())


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_recipe_names_every_file_with_its_hash(folder: Path, store: Store) -> None:
    (folder / "card.json").write_text('{"languages": {"bul_Cyrl": {"chrf": 40.5}}}', encoding="utf-8")
    (folder / "chat.jinja").write_text("{{ messages[-1].content }}", encoding="utf-8")
    done = packed(
        folder, store, adapter=folder / "legal.gguf", languages=("Bulgarian",), evaluation=folder / "card.json",
        template=folder / "chat.jinja", options={"system": "Кратко.", "temperature": 0.5},
    )  # fmt: skip
    recipe = read_recipe(folder / "out.bundle.json")
    assert recipe == done.recipe
    assert (recipe.base.reference, recipe.base.sha256) == ("base.gguf", digest(folder / "base.gguf"))
    assert recipe.license == "apache-2.0"
    assert [part.file for part in recipe.parts] == ["tiny-bul.adapter.gguf", "tiny-bul.evaluation.json"]
    for part in recipe.parts:
        assert (part.sha256, part.size) == (digest(folder / part.file), (folder / part.file).stat().st_size)
    assert recipe.template == "{{ messages[-1].content }}"
    assert recipe.languages == ("bul_Cyrl",)
    assert recipe.defaults.options() == {"language": "bul_Cyrl", "temperature": 0.5}
    assert recipe.defaults.system == "Кратко."
    assert done.adapter_share is not None and 0 < done.adapter_share < 0.05


def test_a_trimmed_model_is_made_of_the_base_bit_for_bit(folder: Path, store: Store) -> None:
    done = packed(folder, store, trimmed=folder / "trimmed.gguf")
    vocabulary = done.recipe.vocabulary
    assert vocabulary is not None and done.num_new_rows == 0
    assert vocabulary.size < (folder / "trimmed.gguf").stat().st_size / 8
    for name in ("trimmed.gguf", "legal.gguf"):
        (folder / name).unlink()
    model = store.pull(str(folder / "out.bundle.json"))
    assert digest(model.path) == vocabulary.made_sha256
    again = TrimRequest(
        folder / "base.gguf", folder / "again.gguf", corpora=(f"eng={folder / 'corpus.txt'}",), limits=Limits(384),
        verify=False,
    )  # fmt: skip
    assert trim(again, NoProgress(), NoSteps()).path.read_bytes() == model.path.read_bytes()


def test_what_demotic_eval_wrote_becomes_a_card_of_fractions(tmp_path: Path) -> None:
    cells = {"bpb": {"bits_per_byte": 0.75, "bytes": 1896}, "ranker": {"cosine": 0.93, "layers": [1.0, 0.9]}}
    result: dict[str, Any] = {"benchmark": "eval", "cells": {"gemma": {"bul_Cyrl": cells}}}
    source, target = tmp_path / "eval.json", tmp_path / "card.json"
    source.write_text(json.dumps(result), encoding="utf-8")
    write_evaluation(source, target)
    assert read_evaluation(target) == {"bul_Cyrl": {"bpb.bits_per_byte": 0.75, "ranker.cosine": 0.93}}
    result["cells"]["other"] = result["cells"]["gemma"]
    source.write_text(json.dumps(result), encoding="utf-8")
    with pytest.raises(InvalidRequest, match="figures of 2 models: gemma, other"):
        write_evaluation(source, target)


def test_a_model_with_more_tokens_keeps_only_their_rows_in_the_bundle(folder: Path, store: Store) -> None:
    texts, scores, types = spm_vocabulary(400)
    added = ["▁щедрост", "▁мъдрост", "▁радост"]
    tables = {
        name: np.random.default_rng(seed).normal(0, 1, (403, 64)).astype(np.float32)
        for seed, name in enumerate(("token_embd.weight", "output.weight"))
    }
    base = write_tiny_gguf(folder / "base.gguf", tensors={name: table[:400] for name, table in tables.items()})
    metadata = {
        "tokenizer.ggml.tokens": texts + added,
        "tokenizer.ggml.scores": [*scores, -500.0, -501.0, -502.0],
        "tokenizer.ggml.token_type": [*types, 1, 1, 1],
    }
    more = write_tiny_gguf(folder / "more.gguf", tensors=tables, metadata=metadata)
    done = packed(folder, store, tokens=more)
    vocabulary = done.recipe.vocabulary
    assert vocabulary is not None
    assert (vocabulary.rows, done.num_new_rows) == (403, 3)
    assert vocabulary.size < base.stat().st_size / 10
    model = store.pull(str(folder / "out.bundle.json"))
    from converters.served import ServedModel

    ours, wanted = ServedModel(model.path), ServedModel(more)
    try:
        tokens = [1, 400, 401, 402, 300]
        assert np.array_equal(ours.logits(tokens), wanted.logits(tokens))
    finally:
        ours.close()
        wanted.close()


def test_an_adapter_of_peft_brings_its_lora_and_its_rows_of_tokens(
    families: Families, tmp_path: Path, store: Store
) -> None:
    family = families["llama"]
    adapted = save_adapter(
        tmp_path / "peft", family.model, targets=("q_proj", "v_proj"), base=str(family.folder),
        trainable_token_indices={"embed_tokens": [7, 300, 301]},
    )  # fmt: skip
    base = tmp_path / "base.gguf"
    base.write_bytes(family.converted.path.read_bytes())
    with pytest.raises(ConversionRefused, match="holds rows of tokens"):
        convert(ConvertRequest(str(tmp_path / "peft"), tmp_path / "lora.gguf", base=str(family.folder)))
    request = Request(str(base), tmp_path / "out.bundle.json", "tiny-tokens", adapter=tmp_path / "peft")
    done = pack(request, store, NoProgress())
    assert done.num_new_rows == 3
    bundle = store.pull(str(tmp_path / "out.bundle.json"))
    assert bundle.bundle is not None
    assert_same(bundle.path, adapted, within=EXACT, lora=bundle.bundle.adapter)


def test_a_scale_is_in_the_adapter_itself(folder: Path, store: Store) -> None:
    from runtime.models.gguf_format import parse

    whole = parse(folder / "legal.gguf")
    packed(folder, store, adapter=folder / "legal.gguf", scale=0.25)
    weaker = parse(folder / "tiny-bul.adapter.gguf")
    assert whole.metadata["adapter.lora.alpha"] == 4.0
    assert weaker.metadata["adapter.lora.alpha"] == 1.0
    assert weaker.tensors.keys() == whole.tensors.keys()


def _foreign(folder: Path) -> dict[str, Any]:
    other = write_tiny_gguf(folder / "other.gguf", embedding_length=32)
    return {"adapter": write_tiny_lora(folder / "foreign.gguf", other)}


def _of_rows(folder: Path) -> dict[str, Any]:
    head = write_tiny_lora(folder / "head.gguf", folder / "base.gguf", targets=("output",))
    return {"adapter": head, "trimmed": folder / "trimmed.gguf"}


def _of_other_weights(folder: Path) -> dict[str, Any]:
    return {"tokens": write_tiny_gguf(folder / "other.gguf", seed=1)}


def _not_trimmed(folder: Path) -> dict[str, Any]:
    tables = {"token_embd.weight": np.zeros((400, 64), np.float32)}
    return {"trimmed": write_tiny_gguf(folder / "other.gguf", tensors=tables)}


def _written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


REFUSED: dict[str, tuple[Any, type[DemoticError], str]] = {
    "an adapter of another base": (_foreign, ModelFileInvalid, "which they do not fit"),
    "an adapter of all rows for a trimmed model": (_of_rows, ModelFileInvalid, "another vocabulary|do not fit"),
    "a model with other weights": (_of_other_weights, ConversionRefused, "has another 'output_norm"),
    "a trimmed model of another base": (_not_trimmed, ConversionRefused, "was not trimmed from it"),
    "a base that is no model": (lambda folder: {"base": "nowhere.gguf"}, DemoticError, "nowhere"),
    "a language that there is none of": (lambda _: {"languages": ("Nowherish",)}, UnknownLanguage, "Nowherish"),
    "a temperature out of range": (lambda _: {"options": {"temperature": 9.0}}, InvalidRequest, "temperature"),
    "a lock of nothing": (lambda _: {"options": {"mode": "hard"}}, ModelFileInvalid, "neither 'language' nor"),
    "a scale of nothing": (lambda _: {"scale": 2.0}, InvalidRequest, "--scale is for an adapter"),
    "a template that does not parse": (
        lambda folder: {"template": _written(folder, "t.jinja", "{% if %}")}, ModelFileInvalid, "template"
    ),
    "figures of no language": (
        lambda folder: {"evaluation": _written(folder, "e.json", '{"chrf": 4}')}, ModelFileInvalid, "no figures"
    ),
    "a name of the catalogue": (lambda _: {"name": "qwen3-0.6b"}, InvalidRequest, "as another model is"),
    "a name that leads elsewhere": (lambda _: {"name": "../x"}, InvalidRequest, "no name of a bundle"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_and_nothing_is_written(case: str, folder: Path, store: Store) -> None:
    make, error, sentence = REFUSED[case]
    asked = {"base": str(folder / "base.gguf"), "name": "tiny-bul", **make(folder)}
    before = {path.name for path in folder.iterdir()}
    with pytest.raises(error, match=sentence):
        pack(Request(output=folder / "out.bundle.json", **asked), store, NoProgress())
    assert {path.name for path in folder.iterdir()} == before


def test_a_base_that_others_would_not_find_is_refused(folder: Path, store: Store, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    request = Request(str(folder / "base.gguf"), tmp_path / "elsewhere" / "out.bundle.json", "tiny-bul")
    with pytest.raises(ConversionRefused, match=r"is not in .*Put the base beside the bundle"):
        pack(request, store, NoProgress())
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_command_packs_and_says_what_is_in_it(folder: Path) -> None:
    def run(*more: str) -> Any:
        arguments = ["bundle", "base.gguf", "--name", "tiny-bul", "-o", "out.bundle.json", "--adapter", "legal.gguf"]
        return CliRunner().invoke(demotic.make_app(), [*arguments, *more])

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = run("--language", "bul", "--sampling", "temperature=0.3", "--json")
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        assert told["recipe"]["defaults"] == {"language": "bul_Cyrl", "temperature": 0.3}
        assert told["files"] == ["tiny-bul.adapter.gguf"]
        assert isinstance(run().exception, ConversionRefused), "the name is taken"
        again = run("--force")
        assert "adapter: " in again.stdout and "out.bundle.json" in again.stdout
        wrong = run("--force", "--sampling", "heat=3")
        assert isinstance(wrong.exception, InvalidRequest) and "temperature" in str(wrong.exception)
