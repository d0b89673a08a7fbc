"""Vectors and scores against transformers, from the same tiny random weights, and what becomes of long texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch

from runtime.card import ModelCard
from runtime.chat.instructions import yes_no_prompt
from runtime.config import EngineConfig
from runtime.engine.client import encode
from runtime.engine.messages import Encode, Pair
from runtime.errors import ContextOverflow, InvalidRequest
from runtime.model import Model, start
from runtime.models.store import ModelFile
from tests.tiny.encoders import (
    byte_vocabulary,
    tiny_bert,
    tiny_qwen3,
    tiny_xlm_roberta,
    unigram_vocabulary,
    wordpiece_vocabulary,
    write_encoder,
)
from tests.tiny.gguf import REMOVED

TEXTS = ("the cats sat on the mat.", "кот сидит", "猫坐", "a dog ran, ran and ran!", "zebra")
LIMITS = EngineConfig(max_context=512)
MAKERS: dict[str, Callable[[], Any]] = {"bert": tiny_bert, "xlm-roberta": tiny_xlm_roberta, "qwen3": tiny_qwen3}


def opened(path: Path, limits: EngineConfig = LIMITS) -> Model:
    return start(ModelCard.read(ModelFile(path.stem, path, None, "path", None)), limits)


def wordpiece() -> tokenizers.Tokenizer:
    ids = {token: index for index, token in enumerate(wordpiece_vocabulary())}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        "[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=ends
    )
    return tokenizer


def unigram() -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(tokenizers.models.Unigram(unigram_vocabulary(), unk_id=3))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    ends = [("<s>", 0), ("</s>", 2)]
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        "<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=ends
    )
    return tokenizer


def byte_level(*, with_control: bool = True) -> tokenizers.Tokenizer:
    tokens, merges, control = byte_vocabulary()
    ids = {token: index for index, token in enumerate(tokens)}
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(ids, pairs))
    if with_control:
        tokenizer.add_special_tokens(list(control))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    end = control[0]
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(f"$A {end}", special_tokens=[(end, ids[end])])
    return tokenizer


TOKENIZERS = {"bert": wordpiece, "xlm-roberta": unigram, "qwen3": byte_level}


def hidden_states(reference: Any, tokens: list[int]) -> Any:
    with torch.no_grad():
        return reference(torch.tensor([tokens])).last_hidden_state[0].numpy()


def pooled(states: Any, pooling: str) -> Any:
    return {"mean": states.mean(0), "cls": states[0], "last": states[-1]}[pooling]


def cosine(one: Any, other: Any) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("encoders")


@pytest.fixture(scope="module")
def bert(folder: Path) -> Iterator[Model]:
    with opened(write_encoder(folder / "bert.gguf", tiny_bert(), pooling="mean")) as model:
        yield model


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_vectors_are_those_of_transformers(kind: str, pooling: str, folder: Path) -> None:
    reference = MAKERS[kind]()
    path = write_encoder(folder / f"{kind}-{pooling}.gguf", reference, pooling=pooling)
    tokenizer = TOKENIZERS[kind]()
    with opened(path) as model:
        found = model.embed(TEXTS)
    assert found.dtype == np.float32 and found.shape == (len(TEXTS), 64)
    for text, vector in zip(TEXTS, found, strict=True):
        expected = pooled(hidden_states(reference, tokenizer.encode(text).ids), pooling)
        assert cosine(vector, expected) > 0.9999
        assert np.linalg.norm(vector) == pytest.approx(1)
    # Random models are not all alike: each text is told from the others.
    assert (found @ found.T - 2 * np.eye(len(TEXTS))).max() < 0.999


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_a_batch_gives_what_each_text_gives_alone(kind: str, folder: Path) -> None:
    path = write_encoder(folder / f"{kind}-batch.gguf", MAKERS[kind](), pooling="last" if kind == "qwen3" else "mean")
    many = [f"{text} {number}" for number in range(40) for text in TEXTS]
    with opened(path) as model:
        together = model.embed(many)
        alone = np.concatenate([model.embed([text]) for text in many[:10]])
    assert np.abs(together[:10] - alone).max() < 2e-3
    assert all(cosine(one, other) > 0.99999 for one, other in zip(together, alone, strict=False))


@pytest.mark.parametrize(("kind", "unsaid"), [("qwen3", "add_eos_token"), ("xlm-roberta", "add_bos_token")])
def test_a_file_that_does_not_say_which_tokens_belong_around_a_text_gives_the_same_vectors(
    kind: str, unsaid: str, folder: Path
) -> None:
    said = write_encoder(folder / f"{kind}-said.gguf", MAKERS[kind](), pooling="last")
    changes = {f"tokenizer.ggml.{unsaid}": REMOVED}
    older = write_encoder(folder / f"{kind}-older.gguf", MAKERS[kind](), pooling="last", metadata=changes)
    with opened(said) as one, opened(older) as other:
        assert np.array_equal(one.embed(TEXTS), other.embed(TEXTS))


def test_a_causal_model_reads_a_long_text_in_pieces(folder: Path) -> None:
    reference = tiny_qwen3()
    path = write_encoder(folder / "pieces.gguf", reference, pooling="last")
    text = "the cats sat on the mat. " * 12
    tokens = byte_level().encode(text).ids
    assert 128 < len(tokens) < 512
    with opened(path, EngineConfig(max_context=512, batch_size=64)) as model:
        assert cosine(model.embed([text])[0], hidden_states(reference, tokens)[-1]) > 0.9999


def test_an_instruction_is_put_before_the_query_as_qwen3_embedding_wants_it(folder: Path) -> None:
    path = write_encoder(folder / "instructed.gguf", tiny_qwen3(), pooling="last")
    task = "Given a web search query, retrieve relevant passages that answer the query"
    written = (
        "Instruct: Given a web search query, retrieve relevant passages that answer the query\n"
        "Query:What is the capital of China?"
    )
    with opened(path) as model:
        told = model.embed(["What is the capital of China?"], instruction=task)
        assert np.array_equal(told, model.embed([written]))
        assert cosine(told[0], model.embed(["What is the capital of China?"])[0]) < 0.999


def test_a_model_that_knows_no_instructions_refuses_them(bert: Model) -> None:
    with pytest.raises(InvalidRequest, match="not trained with instructions"):
        bert.embed(["cat"], instruction="Find cats")


def test_dimensions_cut_the_vector_and_bring_it_to_length_1_again(bert: Model) -> None:
    whole, cut = bert.embed(["the cat"])[0], bert.embed(["the cat"], dimensions=16)[0]
    assert cut.shape == (16,)
    assert np.abs(cut - whole[:16] / np.linalg.norm(whole[:16])).max() < 1e-6
    for wrong in (0, 65, -1):
        with pytest.raises(InvalidRequest, match="from 1 to 64"):
            bert.embed(["the cat"], dimensions=wrong)


def test_a_text_longer_than_the_context_is_refused_cut_or_taken_in_windows(bert: Model) -> None:
    tokenizer, words = wordpiece(), ["cat", "dog", "mat", "the"] * 75
    text = " ".join(words)
    with pytest.raises(ContextOverflow, match="needs 302 tokens, but the context holds 128") as caught:
        bert.embed(["cat", text])
    assert caught.value.param == "input[1]"
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    windows = [[2, *ids[start : start + 126], 3] for start in range(0, len(ids), 126)]
    reference = tiny_bert()
    vectors = [hidden_states(reference, window).mean(0) for window in windows]
    assert cosine(bert.embed([text], overflow="truncate")[0], vectors[0]) > 0.9999
    units = [vector / np.linalg.norm(vector) for vector in vectors]
    mean = np.average(units, axis=0, weights=[len(window) - 2 for window in windows])
    found = bert.embed([text], overflow="chunk")[0]
    assert cosine(found, mean) > 0.9999
    assert np.linalg.norm(found) == pytest.approx(1)


def test_token_ids_are_taken_as_they_are(bert: Model) -> None:
    tokens = tuple(wordpiece().encode("the cats sat").ids)
    answer = encode(bert.client, Encode("a", (tokens, "the cats sat")))
    assert np.abs(answer.values[0] - answer.values[1]).max() < 1e-3
    assert answer.num_tokens == 2 * len(tokens)
    with pytest.raises(InvalidRequest, match="token 9999"):
        encode(bert.client, Encode("b", ((9999,),)))


@pytest.mark.parametrize("empty", ["", "  ", ()])
def test_an_empty_input_is_refused(empty: str | tuple[int, ...], bert: Model) -> None:
    with pytest.raises(InvalidRequest, match=r"input\[1\] is empty"):
        encode(bert.client, Encode("a", ("cat", empty)))


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
def test_scores_of_a_pair_are_those_of_transformers(kind: str, folder: Path) -> None:
    reference = tiny_bert(labels=1, token_types=1) if kind == "bert" else tiny_xlm_roberta(labels=1)
    path = write_encoder(folder / f"{kind}-rank.gguf", reference, pooling="rank")
    pairs = [Pair("the cat sat", text) for text in TEXTS]
    with opened(path) as model:
        found = encode(model.client, Encode("a", tuple(pairs))).values
    assert found.shape == (len(TEXTS), 1)
    for pair, (score,) in zip(pairs, found, strict=True):
        tokens = TOKENIZERS[kind]().encode(pair.first, pair.second).ids
        with torch.no_grad():
            expected = float(reference(torch.tensor([tokens])).logits[0, 0])
        assert score == pytest.approx(expected, abs=0.01)


def test_a_document_too_long_for_a_pair_is_cut_and_the_query_is_not(folder: Path) -> None:
    reference = tiny_xlm_roberta(labels=1)
    path = write_encoder(folder / "long-rank.gguf", reference, pooling="rank")
    document = "the cat sat on the mat " * 60
    with opened(path) as model:
        with pytest.raises(ContextOverflow):
            encode(model.client, Encode("a", (Pair("the dog", document),)))
        score = encode(model.client, Encode("b", (Pair("the dog", document),), overflow="truncate")).values[0, 0]
    tokens = unigram().encode("the dog", document).ids
    with torch.no_grad():
        expected = float(reference(torch.tensor([[*tokens[:127], 2]])).logits[0, 0])
    assert score == pytest.approx(expected, abs=0.01)


def test_a_qwen3_reranker_gives_yes_and_no_of_the_models_own_head(folder: Path) -> None:
    reference = tiny_qwen3(with_head=True)
    tokens, _, _ = byte_vocabulary()
    yes, no = tokens.index("yes"), tokens.index("no")
    path = write_encoder(folder / "judge.gguf", reference, pooling="rank", yes_no=(yes, no))
    framed = yes_no_prompt("the cat", "the cat sat", "Find cats")
    with opened(path) as model:
        found = encode(model.client, Encode("a", (framed,))).values[0]
    prompt = byte_level().encode(framed.before + framed.text + framed.after, add_special_tokens=False).ids
    with torch.no_grad():
        logits = reference(torch.tensor([prompt])).logits[0, -1, [yes, no]]
    assert found == pytest.approx(torch.softmax(logits, 0).numpy(), abs=1e-3)


def test_a_model_of_vectors_says_what_it_is_for_when_it_is_asked_for_text(bert: Model) -> None:
    with pytest.raises(InvalidRequest, match="is an embedding model"):
        bert.complete("Once upon")
    with pytest.raises(InvalidRequest, match="is an embedding model"):
        bert.chat("Hello")
