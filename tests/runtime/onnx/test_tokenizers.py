"""Each kind of tokenizer reads texts as its export did, and knows what its tokens stand for."""

from __future__ import annotations

import json

import pytest

from converters.checkpoint import locate, read_checkpoint
from converters.onnx.tokenizer import carried_tokenizer
from converters.probes import LINES
from runtime.backends.onnx.tokenizer import load_tokenizer
from runtime.errors import InvalidRequest, ModelFileInvalid
from runtime.models.files import NoProgress
from runtime.models.onnx_folder import read_folder
from runtime.text.tokenizer import AligningTokenizer, Tokenizer
from tests.converters.onnx.sources import Sources
from tests.runtime.onnx.folders import copied

KINDS = ["bert", "roberta", "xlmr-ner", "qwen3-reward", "llama-reward", "byt5", "m2m100", "marian"]
TEXTS = (LINES["fra_Latn"], LINES["bul_Cyrl"], LINES["hin_Deva"])


def tokenizer_of(sources: Sources, name: str) -> Tokenizer:
    return load_tokenizer(read_folder(sources.exported(name).path))


@pytest.mark.parametrize("name", KINDS)
def test_texts_are_read_as_the_export_read_them(name: str, sources: Sources) -> None:
    folder = read_folder(sources.exported(name).path)
    tokenizer = load_tokenizer(folder)
    checkpoint = read_checkpoint(*locate(str(sources.checkpoint(name)), NoProgress()))
    theirs = carried_tokenizer(checkpoint, folder.settings.sizes.vocabulary)
    assert tokenizer.vocabulary_size == folder.settings.sizes.vocabulary
    for text in TEXTS:
        assert tokenizer.encode(text, parse_special=False) == theirs.encode(text)
    ends = folder.settings.tokens.eos
    assert all(tokenizer.is_end(token) for token in ends) and not tokenizer.is_end(9)
    for beyond in (-1, tokenizer.vocabulary_size):
        with pytest.raises(InvalidRequest, match=f"no token {beyond}"):
            tokenizer.token_bytes(beyond)


@pytest.mark.parametrize("name", ["roberta", "xlmr-ner", "qwen3-reward", "llama-reward", "byt5", "m2m100"])
def test_the_bytes_of_tokens_are_those_of_the_text(name: str, sources: Sources) -> None:
    tokenizer = tokenizer_of(sources, name)
    text = "Tous les lins" if name in {"xlmr-ner", "m2m100"} else "Tous les êtres humains 👩‍👧"
    tokens = tokenizer.encode(text, parse_special=False)
    assert b"".join(tokenizer.token_bytes(token) for token in tokens).decode().lstrip() == text


@pytest.mark.parametrize(("name", "between"), [("bert", 1), ("roberta", 2), ("xlmr-ner", 2), ("llama-reward", 0)])
def test_what_stands_between_two_texts_is_what_the_file_says(name: str, between: int, sources: Sources) -> None:
    tokenizer = tokenizer_of(sources, name)
    assert isinstance(tokenizer, AligningTokenizer)
    assert len(tokenizer.separators) == between
    assert set(tokenizer.separators) <= {tokenizer.encode("a", parse_special=False)[-1]}


def test_names_of_control_tokens_are_text_unless_they_are_asked_for(sources: Sources) -> None:
    tokenizer = tokenizer_of(sources, "roberta")
    plain, parsed = (tokenizer.encode("a</s>b", parse_special=special) for special in (False, True))
    assert parsed.count(2) == plain.count(2) + 1
    assert b"".join(map(tokenizer.token_bytes, plain)) == b"a</s>b"
    assert tokenizer.encode("<s>a", parse_special=True).count(0) == 1
    assert tokenizer.encode("a", parse_special=False, is_beginning=False) == plain[1:2]


def test_sentinels_are_read_by_models_that_fill_gaps(sources: Sources) -> None:
    tokenizer = tokenizer_of(sources, "byt5")
    assert tokenizer.encode("a<extra_id_0>", parse_special=False) == [ord("a") + 3, 259, 1]
    assert tokenizer.token_text(259) == "<extra_id_0>"


def test_a_vocabulary_beyond_the_graph_or_out_of_order_is_refused(
    sources: Sources, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = copied(sources, "marian", tmp_path_factory.mktemp("a"))
    ids = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    (folder / "vocab.json").write_text(json.dumps({**ids, "more": 10**5}), encoding="utf-8")
    with pytest.raises(ModelFileInvalid, match="has tokens up to 100000"):
        load_tokenizer(read_folder(folder))
    (folder / "source.spm").write_bytes(b"no model")
    with pytest.raises(ModelFileInvalid, match="has a damaged tokenizer"):
        load_tokenizer(read_folder(folder))
    told = {"kind": "bytes", "offset": 3, "pad": 0, "eos": 1, "unk": 2, "sentinels": 10**4}
    with pytest.raises(ModelFileInvalid, match="contradicts itself"):
        load_tokenizer(read_folder(copied(sources, "byt5", tmp_path_factory.mktemp("b"), tokenizer=told)))
