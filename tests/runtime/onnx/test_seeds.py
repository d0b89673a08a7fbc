"""What systems of several languages ask of graphs, over HTTP: Spanish encoders, long documents, mT5, and bytes."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from converters.onnx.export import Request, export
from tests.converters.onnx.sources import Sources
from tests.runtime.onnx.reference import computed, model_of, pipeline, tokenizer_of
from tests.runtime.onnx.serving import serving_here
from tests.runtime.onnx.test_translate import post
from tests.runtime.onnx.writers import Writer, make_writer
from tests.tiny.flax import to_flax

TOLERANCE = 1e-4
ENCODERS = (
    "bert-ner", "roberta-ner", "xlmr-ner", "deberta-ner", "bert-mlm", "roberta-mlm", "xlmr-mlm", "roberta", "deberta",
    "xlmr-topics", "longformer",
)  # fmt: skip
SPANISH = ["José Núñez vivió en León; su pingüino, ¿dónde está?", "¡Qué día! Íñigo y la señora Peña"]
# A verdict in the five languages of the Swiss courts' texts.
VERDICTS = (
    "Das Gericht weist die Beschwerde ab. Le recours est rejeté, sans frais. Il ricorso è respinto. "
    "Il recurs vegn refusà. The appeal is dismissed. "
)


@pytest.fixture(scope="module")
def monobyte(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The graphs of a ByT5 as MonoByte's are on the hub: weights of Flax, and no file of a tokenizer."""
    folder = tmp_path_factory.mktemp("monobyte")
    source = Path(shutil.copytree(sources.checkpoint("byt5"), folder / "source"))
    to_flax(source)
    (source / "tokenizer_config.json").unlink()
    return export(Request(str(source), folder / "monobyte")).path


@pytest.fixture(scope="module")
def served(sources: Sources, monobyte: Path) -> Iterator[httpx.Client]:
    folders = {name: sources.exported(name).path for name in (*ENCODERS, "mt5")}
    with serving_here({**folders, "monobyte": monobyte}) as client:
        yield client


def probabilities(sources: Sources, name: str, ids: list[int]) -> np.ndarray[Any, Any]:
    logits = computed(model_of(sources, name, "classify"), ids)
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())


@pytest.mark.parametrize("name", ["bert-ner", "roberta-ner", "xlmr-ner", "deberta-ner"])
def test_s26_names_of_each_class_stand_where_they_are_in_accented_text(
    name: str, served: httpx.Client, sources: Sources
) -> None:
    judge = pipeline(sources, name, "ner", "token-classification", aggregation_strategy="first", ignore_labels=[])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a vocabulary that does not tell which pieces go on with a word
        wanted = judge(SPANISH)
    found = post(
        served, "/v1/token-classify", model=name, input=SPANISH, aggregation_strategy="first", ignore_labels=[]
    )
    for text, theirs, ours in zip(SPANISH, wanted, found["data"], strict=True):
        entities = ours["entities"]
        assert [(one["label"], one["start"], one["end"]) for one in entities] == [
            (one["entity_group"], one["start"], one["end"]) for one in theirs
        ]
        scores = [float(one["score"]) for one in theirs]
        assert [one["score"] for one in entities] == pytest.approx(scores, abs=TOLERANCE)
        assert all(one["word"] == text[one["start"] : one["end"]] for one in entities)
        # No letter is lost between two entities, whatever bytes or pieces it is made of.
        covered = {at for one in entities for at in range(one["start"], one["end"])}
        assert covered >= {at for at, letter in enumerate(text) if letter != " "}


@pytest.mark.parametrize("name", ["bert-mlm", "roberta-mlm", "xlmr-mlm"])
def test_s26_hidden_words_are_those_of_each_class(name: str, served: httpx.Client, sources: Sources) -> None:
    guess = pipeline(sources, name, "mlm", "fill-mask", top_k=5)
    text = f"La señora Peña vivió en {guess.tokenizer.mask_token}."
    (mask,) = post(served, "/v1/fill-mask", model=name, input=text)["data"][0]["masks"]
    wanted = guess(text)
    assert [one["token"] for one in mask] == [one["token"] for one in wanted]
    assert [one["score"] for one in mask] == pytest.approx([one["score"] for one in wanted], abs=TOLERANCE)


def test_s26_models_of_different_classes_are_asked_side_by_side(served: httpx.Client, sources: Sources) -> None:
    for name in ("roberta", "xlmr-topics", "deberta"):
        tokenizer = tokenizer_of(sources, name)
        found = post(served, "/v1/classify", model=name, input=SPANISH)["data"]
        for text, one in zip(SPANISH, found, strict=True):
            assert one["probs"] == pytest.approx(probabilities(sources, name, tokenizer(text).input_ids), abs=TOLERANCE)


def test_s36_a_longformer_reads_beyond_its_window_and_a_long_document_in_windows(
    served: httpx.Client, sources: Sources
) -> None:
    tokenizer, model = tokenizer_of(sources, "longformer"), model_of(sources, "longformer", "classify")
    short, long = VERDICTS[:70], VERDICTS * 4
    ids = tokenizer(short).input_ids
    assert 4 * 8 < len(ids) < 128  # windows of 8 tokens, and one text
    whole, alone = (
        post(served, "/v1/classify", model="longformer", input=short, chunk=chunk)["data"] for chunk in (True, False)
    )
    assert whole == alone
    assert whole[0]["probs"] == pytest.approx(probabilities(sources, "longformer", ids), abs=TOLERANCE)
    inner = tokenizer(long, add_special_tokens=False).input_ids
    (start, *_, end), room = ids, alone_room(served, "longformer", long)
    pieces = [inner[at : at + room] for at in range(0, len(inner), room)]
    assert len(pieces) > 2
    logits = [computed(model, [start, *piece, end]) for piece in pieces]
    mean = np.average(logits, axis=0, weights=[len(piece) for piece in pieces])
    weights = np.exp(mean - mean.max())
    found = post(served, "/v1/classify", model="longformer", input=[short, long], chunk=True)
    assert found["data"][0]["probs"] == pytest.approx(alone[0]["probs"], abs=TOLERANCE)
    assert found["data"][1]["probs"] == pytest.approx(weights / weights.sum(), abs=TOLERANCE)
    assert found["usage"]["prompt_tokens"] == len(ids) + len(inner) + 2 * len(pieces)


def alone_room(served: httpx.Client, name: str, text: str) -> int:
    """How many tokens of a text go into a window."""
    cut = post(served, "/v1/classify", model=name, input=text, truncate=True)
    num_ends = 2
    return int(cut["usage"]["prompt_tokens"]) - num_ends


def test_s36_a_document_of_fifty_thousand_tokens_is_classified(served: httpx.Client) -> None:
    document = VERDICTS * 400
    refused = served.post("/v1/classify", json={"model": "roberta", "input": document})
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "context_length_exceeded"
    found = post(served, "/v1/classify", model="roberta", input=document, chunk=True)
    assert found["usage"]["prompt_tokens"] > 50_000
    assert sum(found["data"][0]["probs"]) == pytest.approx(1)
    both = served.post("/v1/classify", json={"model": "roberta", "input": "a", "chunk": True, "truncate": True})
    assert both.json()["error"]["param"] == "chunk"


# A few examples in one language, and what is asked in another.
FEW_SHOTS = [
    "premise: El gato duerme. hypothesis: El gato está despierto. label: 2 premise: Paka amelala. label:",
    "words: Котката спи tags: NOUN VERB words: 猫が座る tags:",
    "question: Où est le chat ? answer: sur la chaise question: बिल्ली कहाँ है? answer:",
]


def test_s48_mt5_answers_few_shot_prompts_of_other_languages_as_transformers_does(
    served: httpx.Client, sources: Sources
) -> None:
    mt5 = make_writer(sources, "mt5")
    config = mt5.reference.config
    assert (config.model_type, config.feed_forward_proj) == ("mt5", "gated-gelu")
    assert not mt5.reference.lm_head.weight.equal(mt5.reference.shared.weight)
    rows = [mt5.loaded.tokenizer.encode(text, parse_special=False) for text in FEW_SHOTS]
    assert len({len(row) for row in rows}) == len(rows)
    for num_beams in (1, 4):
        # Each alone there; together, with padding, here.
        wanted = [mt5.generate([row], num_beams=num_beams, max_length=11)[0][0][0] for row in rows]
        answer = post(
            served, "/v1/completions", model="mt5", prompt=FEW_SHOTS, max_tokens=10, temperature=0, num_beams=num_beams
        )
        assert [choice["text"] for choice in answer["choices"]] == [mt5.text_of(tokens) for tokens in wanted]
        assert answer["usage"]["prompt_tokens"] == sum(map(len, rows))
    mt5.loaded.close()


BYTES = ["Olá, coração!", "Привет, мир", "你好", "مرحبا 👩‍👩‍👧", "tudo bem\n"]


def test_s50_bytes_are_tokens_without_any_file_of_a_tokenizer(served: httpx.Client, monobyte: Path) -> None:
    assert json.loads((monobyte / "demotic.json").read_text(encoding="utf-8"))["tokenizer"]["kind"] == "bytes"
    for text in BYTES:
        tokens = post(served, "/tokenize", model="monobyte", text=text)["tokens"]
        assert tokens == [*(byte + 3 for byte in text.encode()), 1]
        assert post(served, "/detokenize", model="monobyte", tokens=tokens) == {"text": text}
    # Sentinels are read as the file of the checkpoint counts them: upwards, after the bytes.
    found = post(served, "/tokenize", model="monobyte", text="a<extra_id_0>b<extra_id_124>")["tokens"]
    assert found == [ord("a") + 3, 259, ord("b") + 3, 383, 1]


def test_s50_graphs_of_flax_fill_gaps_as_the_checkpoint_does_and_stream_whole_characters(
    served: httpx.Client, sources: Sources, monobyte: Path
) -> None:
    byt5 = Writer("monobyte", monobyte, sources.checkpoint("byt5"))
    config = byt5.reference.config
    assert (config.vocab_size, config.num_layers, config.num_decoder_layers) == (384, 4, 2)
    for text in (*BYTES, "Olá, <extra_id_0> mundo <extra_id_1>."):
        source = byt5.loaded.tokenizer.encode(text, parse_special=False)
        ((tokens, _),) = byt5.generate([source], num_beams=1, max_length=25)[0]
        body = {"model": "monobyte", "prompt": text, "max_tokens": 24, "temperature": 0}
        whole = post(served, "/v1/completions", **body)["choices"][0]["text"]
        assert whole == byt5.text_of(tokens)
        with served.stream("POST", "/v1/completions", json={**body, "stream": True}) as answer:
            lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
        assert lines.pop() == "[DONE]"
        pieces = [choice["text"] for line in lines for choice in json.loads(line)["choices"]]
        assert "".join(pieces) == whole
    byt5.loaded.close()
