"""Checkpoints and graphs trimmed like GGUF files (seeds S52 and S53): the same numbers for the rows that stay."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import regex
import torch
import transformers
from typer.testing import CliRunner

import demotic
from converters.adapt.folder import MAP_FILE
from converters.adapt.format import open_model
from converters.adapt.request import Request
from converters.adapt.selection import Limits
from converters.adapt.trim import Trimmed, trim
from converters.checkpoint import open_checkpoint
from converters.onnx.artefact import open_artefact
from converters.onnx.computed import Model, Text
from converters.onnx.quantize import Request as Shrink
from converters.onnx.quantize import Shrinking, quantize
from converters.probes import DECLARATION, LINES
from converters.progress import NoSteps
from runtime.errors import ConversionRefused, ModelFileInvalid
from runtime.models.files import NoProgress
from runtime.models.onnx_folder import read_folder
from tests.converters.onnx.sources import FOUR_SCRIPTS, Sources
from tests.runtime.onnx.serving import serving_here
from tests.tiny.adapters import load_adapter, save_adapter

OPTIMUM = Path(__file__).parents[2] / "runtime" / "onnx" / "optimum"
STAYING = "Latn,Ethi,Arab"


def do(source: Path, target: Path, **wanted: Any) -> Trimmed:
    return trim(Request(source, target, **wanted), NoProgress(), NoSteps())


def run(*arguments: object) -> Any:
    return CliRunner().invoke(demotic.make_app(), ["trim", *map(str, arguments)])


def json_of(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def map_of(folder: Path) -> Any:
    return np.load(folder / MAP_FILE, allow_pickle=False)


def pieces_of(folder: Path) -> list[str]:
    spec = json_of(folder / "tokenizer.json")
    pieces: list[str] = [piece for piece, _ in spec["model"]["vocab"]]
    return [*pieces, *(each["content"] for each in spec["added_tokens"] if each["id"] >= len(pieces))]


def logits_of(name: str, folder: Path, ids: list[int], **more: Any) -> Any:
    """Of sixteen copies in one thread, so that the last bits do not depend on how many rows there are."""
    model = getattr(transformers, name).from_pretrained(folder, dtype=torch.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            return model.eval()(input_ids=torch.tensor([ids] * 16), **more).logits[0].numpy()
    finally:
        torch.set_num_threads(before)


def four_scripts_corpus(folder: Path) -> list[str]:
    """A corpus of each language, held-out lines and all."""
    given = []
    for name in FOUR_SCRIPTS[:3]:
        text = f"{LINES[name]} {DECLARATION[name]}"
        lines = [text[at : at + 30] for at in range(0, len(text) - 30, 3)]
        path = folder / f"{name}.txt"
        path.write_text("\n".join(lines), encoding="utf-8")
        given.append(f"{name}={path}")
    return given


@pytest.fixture(scope="module")
def trimmed_afro(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The checkpoint with four scripts and its graphs, each trimmed by the command to three."""
    folder = tmp_path_factory.mktemp("afro")
    corpora = [part for each in four_scripts_corpus(folder) for part in ("--corpus", each)]
    made = {"checkpoint": sources.checkpoint("xlmr-four-scripts"), "graphs": sources.exported("xlmr-four-scripts").path}
    for kind, source in made.items():
        done = run(source, "-o", folder / kind, "--scripts", STAYING, *corpora)
        assert done.exit_code == 0, done.exception
        assert "Proved:" in done.stdout
        size = sum(each.stat().st_size for each in (folder / kind).iterdir() if each.name != "manifest.json")
        assert f"{folder / kind} ({size / 1e6:,.1f} MB)" in done.stdout.replace("\n", "")
    return {kind: folder / kind for kind in made}


@pytest.mark.parametrize("kind", ["checkpoint", "graphs"])
def test_s53_only_the_scripts_that_were_named_stay_and_the_mask_moves(
    kind: str, sources: Sources, trimmed_afro: dict[str, Path]
) -> None:
    source, folder = sources.checkpoint("xlmr-four-scripts"), trimmed_afro[kind]
    before, after, rows = pieces_of(source), pieces_of(folder), map_of(folder)
    assert [before[row] for row in rows] == after
    letters = [piece for piece in after if regex.search(r"\p{L}", piece) and not piece.startswith("<")]
    assert len(letters) > 50
    assert not [piece for piece in letters if regex.search(r"\p{sc=Cyrl}", piece)]
    assert {"Latn", "Ethi", "Arab"} == {
        script for script in ("Latn", "Ethi", "Arab") for piece in letters if regex.search(rf"\p{{sc={script}}}", piece)
    }
    assert after[:4] == ["<s>", "<pad>", "</s>", "<unk>"]
    assert after[-1] == "<mask>"
    assert len(after) == len(rows) < len(before)
    trim_entry = json_of(folder / "manifest.json")["trim"]
    assert trim_entry["rows"] == [len(before), len(after)]
    assert trim_entry["original"]["rows"] == len(before)
    assert trim_entry["map"] == MAP_FILE
    assert [each["proof"]["positions_unequal"] for each in trim_entry["sources"]] == [0, 0, 0]


def test_s53_a_checkpoint_s_bias_is_sliced_and_transformers_reads_it_as_before(
    sources: Sources, trimmed_afro: dict[str, Path]
) -> None:
    source, folder = sources.checkpoint("xlmr-four-scripts"), trimmed_afro["checkpoint"]
    rows = map_of(folder)
    old, new = open_checkpoint(str(source)), open_checkpoint(str(folder))
    assert np.array_equal(new.tensors["lm_head.bias"].whole(), old.tensors["lm_head.bias"].whole()[rows])
    assert new.config.integer("vocab_size") == len(rows)
    assert json_of(folder / "manifest.json")["notes"] == []  # transformers' own tokenizers were held, too
    auto: Any = transformers.AutoTokenizer
    tokenizers = [auto.from_pretrained(each) for each in (source, folder)]
    assert tokenizers[1].mask_token_id == len(rows) - 1 < tokenizers[0].mask_token_id
    text = f"{LINES['hau_Latn'][:30]} <mask> {LINES['amh_Ethi'][:20]}"
    ids = [tokenizer(text).input_ids for tokenizer in tokenizers]
    assert rows[ids[1]].tolist() == ids[0]
    wanted, found = (
        logits_of("XLMRobertaForMaskedLM", each, row) for each, row in zip((source, folder), ids, strict=True)
    )
    assert np.array_equal(found, wanted[:, rows])


def test_s53_gaps_are_filled_as_before_when_the_trimmed_graphs_are_served(
    sources: Sources, trimmed_afro: dict[str, Path]
) -> None:
    source, folder = sources.exported("xlmr-four-scripts").path, trimmed_afro["graphs"]
    kept = set(map_of(folder).tolist())
    body = {"input": f"{LINES['hau_Latn'][:30]} <mask>", "top_k": 100}
    with serving_here({"before": source, "after": folder}) as http:
        answers = [
            http.post("/v1/fill-mask", json={**body, "model": name}).raise_for_status().json()["data"][0]["masks"][0]
            for name in ("before", "after")
        ]
    guesses = [[(each["token_str"], each["token"], each["score"]) for each in one] for one in answers]
    wanted = [(text, token, score) for text, token, score in guesses[0] if token in kept]
    found = [(text, int(map_of(folder)[token]), score) for text, token, score in guesses[1]][: len(wanted)]
    assert len(wanted) > 10
    assert [each[:2] for each in found] == [each[:2] for each in wanted]
    # Of fewer tokens each is likelier, all by the same factor.
    ratios = np.array([after / before for (*_, after), (*_, before) in zip(found, wanted, strict=True)])
    assert np.allclose(ratios, ratios[0], rtol=1e-4)


def test_s52_an_mt5_s_rows_and_sentinels_stay_for_one_language(sources: Sources, corpus: Path, tmp_path: Path) -> None:
    source = sources.checkpoint("mt5-sentinels")
    done = do(source, tmp_path / "a", corpora=(f"bul={corpus}",), limits=Limits(size=130))
    folder, rows = done.path, map_of(done.path)
    assert done.manifest.notes == ()
    assert len(rows) == done.report.rows[1] <= 130
    old, new = open_checkpoint(str(source)), open_checkpoint(str(folder))
    for name in ("shared.weight", "lm_head.weight"):
        assert np.array_equal(new.tensors[name].whole(), old.tensors[name].whole()[rows])
    assert pieces_of(folder)[-2:] == ["<extra_id_1>", "<extra_id_0>"]
    [held] = done.report.sources
    assert held.proof is not None
    assert held.proof.num_greedy == held.proof.equal_restricted > 0
    ids = [5, 9, len(rows) - 1, 1]
    start = {"decoder_input_ids": torch.tensor([[0, 4, 6]] * 16)}
    moved = {"decoder_input_ids": torch.tensor([rows[[0, 4, 6]].tolist()] * 16)}
    wanted = logits_of("MT5ForConditionalGeneration", source, rows[ids].tolist(), **moved)
    assert np.array_equal(logits_of("MT5ForConditionalGeneration", folder, ids, **start), wanted[:, rows])


@pytest.mark.parametrize("name", ["mt5-sentinels", "llama", "mbart50"])
def test_s52_graphs_that_write_give_the_rows_that_their_source_gives(
    name: str, sources: Sources, corpus: Path, tmp_path: Path
) -> None:
    source = sources.exported(name).path
    done = do(source, tmp_path / "a", corpora=(str(corpus),))
    rows = map_of(done.path)
    assert len(rows) < done.report.rows[0]
    models = [Model(open_artefact(path)) for path in (source, done.path)]
    ids = [3, len(rows) - 1, 5, 7, 1]
    start = [1] if models[1].settings["shape"] == "encoder-decoder" else []
    wanted = models[0].compute(Text("x", rows[ids].tolist(), rows[start].tolist())).rows
    assert np.array_equal(models[1].compute(Text("x", ids, start)).rows, wanted[:, rows])
    settings, before = (json_of(path / "demotic.json") for path in (done.path, source))
    for mark, token in settings["tokens"].items():
        assert rows[token].tolist() == before["tokens"][mark], mark
    if name == "mbart50":
        codes = settings["languages"]["codes"]
        assert {code: int(rows[token]) for code, token in codes.items()} == before["languages"]["codes"]
        assert codes != before["languages"]["codes"]
        last = [int(rows[each]) if isinstance(each, int) else each for each in settings["languages"]["source"]]
        assert last == before["languages"]["source"]


@pytest.mark.parametrize("type_name", ["int8", "int4"])
def test_quantized_graphs_keep_their_rows_as_they_are(
    type_name: str, sources: Sources, corpus: Path, tmp_path: Path
) -> None:
    small = quantize(
        Shrink(sources.exported("xlmr-mlm").path, tmp_path / "small", Shrinking(type_name, languages=("eng",)))
    ).path
    done = do(small, tmp_path / "a", corpora=(str(corpus),))
    assert done.report.sizes[1] < done.report.sizes[0]
    assert json_of(done.path / "demotic.json")["quantization"]["type"] == type_name
    [held] = done.report.sources
    assert held.proof is not None
    assert held.proof.holds
    assert held.proof.num_tokens > 50


@pytest.mark.parametrize("name", ["bert-classify", "llama", "t5-merged", "t5-split"])
def test_folders_of_optimum_are_trimmed_with_the_files_that_transformers_saved(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("converters.adapt.selection.ROW_MULTIPLE", 1)  # of a vocabulary of 21 no 32 could go
    text = tmp_path / "text.txt"
    text.write_text("the cat sat\non a mat\n" * 9, encoding="utf-8")
    done = do(OPTIMUM / name, tmp_path / "a", corpora=(str(text),))
    rows, size = map_of(done.path), done.report.rows[1]
    assert size < done.report.rows[0]
    config, before = json_of(done.path / "config.json"), json_of(OPTIMUM / name / "config.json")
    assert config["vocab_size"] == size
    for key in ("pad_token_id", "eos_token_id", "decoder_start_token_id"):
        if before.get(key) is not None:
            assert rows[config[key]] == before[key]
    assert read_folder(done.path).settings.sizes.vocabulary == size
    for graph in done.path.rglob("*.onnx"):
        assert graph.stat().st_size < (OPTIMUM / name / graph.relative_to(done.path)).stat().st_size


@pytest.mark.parametrize("kind", ["checkpoint", "graphs"])
def test_a_folder_that_was_trimmed_is_trimmed_again_and_leads_to_the_first(
    kind: str, sources: Sources, trimmed_afro: dict[str, Path], tmp_path: Path
) -> None:
    once = trimmed_afro[kind]
    done = do(once, tmp_path / "a", scripts=("Ethi",))
    first, second = map_of(once), map_of(done.path)
    assert set(second) < set(first)
    before = pieces_of(sources.checkpoint("xlmr-four-scripts"))
    assert [before[row] for row in second] == pieces_of(done.path)
    original = json_of(once / "manifest.json")["trim"]["original"]
    assert json_of(done.path / "manifest.json")["trim"]["original"] == original


@pytest.mark.parametrize("kind", ["checkpoint", "graphs"])
def test_a_folder_that_computes_otherwise_is_refused_and_nothing_is_left(
    kind: str, sources: Sources, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows_in_another_order(what: Any, rows: Any, *more: Any) -> Any:
        return real(what, np.asarray(rows)[[0, 1, 2, 3, *range(len(rows) - 1, 3, -1)]], *more)

    from converters.onnx.rows import keep_rows
    from converters.tensors import reordered

    real: Any
    if kind == "graphs":
        source, real = sources.exported("xlmr-mlm").path, keep_rows
        monkeypatch.setattr("converters.adapt.format_onnx.keep_rows", rows_in_another_order)
    else:
        source, real = sources.checkpoint("xlmr-mlm"), reordered
        monkeypatch.setattr("converters.adapt.checkpoint_rows.kept_rows", rows_in_another_order)
    with pytest.raises(ConversionRefused, match="computes otherwise than its source"):
        do(source, tmp_path / "a", corpora=(str(corpus),))
    assert not list(tmp_path.iterdir())
    assert do(source, tmp_path / "a", corpora=(str(corpus),), verify=False).path.is_dir()


def test_what_any_chat_template_of_a_checkpoint_writes_is_kept(sources: Sources, tmp_path: Path) -> None:
    source = Path(shutil.copytree(sources.checkpoint("llama"), tmp_path / "source"))
    settings = json_of(source / "tokenizer_config.json") if (source / "tokenizer_config.json").is_file() else {}
    settings["chat_template"] = [{"name": "default", "template": "one {{ 'two' }}"}, {"name": "damaged"}]
    (source / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    (source / "chat_template.jinja").write_text("three", encoding="utf-8")
    (source / "additional_chat_templates").mkdir()
    (source / "additional_chat_templates" / "tools.jinja").write_text("four", encoding="utf-8")
    with open_model(Request(source, tmp_path / "out", scripts=("Latn",))) as opened:
        assert [text.strip() for text in opened.texts] == ["one", "two", "three", "four"]


def with_adapter(folder: Path, adapter: Path, ids: list[int]) -> Any:
    model = load_adapter(adapter, transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0].numpy()


@pytest.mark.parametrize(
    "settings",
    [
        {"targets": ["q_proj", "embed_tokens", "lm_head"]},
        {"targets": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
        {"targets": ["q_proj"], "trainable_token_indices": [301, 404]},
    ],
)
def test_an_adapter_of_peft_goes_along_with_the_rows_that_stay(
    settings: dict[str, Any], sources: Sources, corpus: Path, tmp_path: Path
) -> None:
    source, legal = sources.checkpoint("llama"), tmp_path / "legal"
    save_adapter(legal, transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32), **settings)
    done = do(source, tmp_path / "a", corpora=(str(corpus),), adapters=(legal,))
    assert done.adapters == (tmp_path / "a-legal",)
    rows = map_of(done.path)
    told = json_of(done.adapters[0] / "adapter_config.json")
    assert told["base_model_name_or_path"] == str(done.path)
    assert set(settings.get("trainable_token_indices", ())) <= set(rows.tolist())
    ids = [3, len(rows) - 1, *np.searchsorted(rows, settings.get("trainable_token_indices", [301])).tolist()]
    found, wanted = with_adapter(done.path, done.adapters[0], ids), with_adapter(source, legal, rows[ids].tolist())
    assert np.allclose(found, wanted[:, rows], atol=1e-4)
    assert not np.allclose(logits_of("LlamaForCausalLM", done.path, ids), found, atol=1e-2)
    other = do(source, tmp_path / "b", corpora=(str(corpus),), limits=Limits(size=400))
    with pytest.raises(ModelFileInvalid, match="an adapter of another model"):
        do(sources.checkpoint("gpt2"), tmp_path / "c", scripts=("Latn",), adapters=(legal,))
    if "trainable_token_indices" not in settings:
        with pytest.raises(ModelFileInvalid, match="an adapter of another model"):
            do(other.path, tmp_path / "d", scripts=("Latn",), adapters=(legal,))
    assert {path.name for path in tmp_path.iterdir()} == {"legal", "a", "a-legal", "b"}
