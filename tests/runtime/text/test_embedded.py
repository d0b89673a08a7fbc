"""Models whose file carries a tokenizer.json: texts are read by it, where llama.cpp's own would read them otherwise."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from runtime.backends.llama.model import LlamaModel
from runtime.errors import InvalidRequest, ModelLoadFailed
from tests.tiny.encoders import tiny_bert, wordpiece_vocabulary, write_encoder
from tests.tiny.gguf import spm_vocabulary, write_tiny_gguf
from tests.tiny.seq2seq import NUM_SENTINELS, tiny_mt5, unigram_vocabulary, write_seq2seq

KEY = "tokenizer.huggingface.json"
TURN = "<|turn|>"
BOS, EOS = 1, 2


@pytest.fixture(scope="module")
def library() -> Tokenizer:
    """A vocabulary of SentencePiece whose normalizer writes one form of accents, and a space after a quote."""
    texts, _, _ = spm_vocabulary(400, [TURN])
    ids = {text: index for index, text in enumerate(texts)}
    merges = [
        (text[:at], text[at:])
        for text in texts[260:]
        for at in range(1, len(text))
        if text[:at] in ids and text[at:] in ids
    ]
    made = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    made.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Replace(Regex('"'), '" '),
            normalizers.Prepend("▁"),
            normalizers.Replace(" ", "▁"),
        ]
    )
    made.add_special_tokens(["<s>", "</s>", TURN])
    made.enable_truncation(3)
    return made


@contextmanager
def opened(path: Path) -> Iterator[LlamaModel]:
    model = LlamaModel(path)
    yield model
    model.close()


@pytest.fixture(scope="module")
def make(library: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    folder = tmp_path_factory.mktemp("embedded")

    def make(**metadata: Any) -> Path:
        entries = {KEY: library.to_str()} | {f"tokenizer.{key}": value for key, value in metadata.items()}
        return write_tiny_gguf(folder / "a.gguf", control_tokens=[TURN], metadata=entries)

    return make


def test_texts_are_read_as_the_tokenizer_of_the_source_reads_them(
    library: Tokenizer, make: Callable[..., Path]
) -> None:
    library.no_truncation()
    texts = ("the world", 'a "b" c', unicodedata.normalize("NFD", "café é"), "Добър ден", "", "  two\n\n", "▁")
    with opened(make()) as model:
        for text in texts:
            expected = library.encode(text, add_special_tokens=False).ids
            assert model.tokenizer.encode(text, parse_special=False) == [BOS, *expected]
    with opened(write_tiny_gguf(make(), control_tokens=[TURN])) as own:
        assert own.tokenizer.encode('a "b"', parse_special=False) != [BOS, *library.encode('a "b"').ids]


def test_names_of_control_tokens_are_read_only_where_they_are_meant(make: Callable[..., Path]) -> None:
    with opened(make()) as model:
        encode = model.tokenizer.encode
        turn = 259
        assert turn in encode(f"{TURN}a", parse_special=True)
        plain = encode(f"{TURN}a</s>", parse_special=False)
        assert turn not in plain
        assert EOS not in plain
        assert b"".join(map(model.tokenizer.token_bytes, plain)) == f" {TURN}a</s>".encode()
        assert model.tokenizer.token_text(turn) == TURN
        assert model.tokenizer.is_end(EOS)


def test_a_beginning_is_as_the_file_says_and_not_doubled(make: Callable[..., Path]) -> None:
    with opened(make()) as model:
        assert model.tokenizer.encode("<s>a", parse_special=True).count(BOS) == 1
    with opened(make(**{"ggml.add_bos_token": False, "ggml.add_eos_token": True})) as model:
        tokens = model.tokenizer.encode("a", parse_special=False)
        assert tokens[0] != BOS
        assert tokens[-1] == EOS


def test_a_text_that_goes_on_has_no_space_before_it(make: Callable[..., Path]) -> None:
    with opened(make()) as model:
        for text in ("the", " the", "жd", "", '"a'):
            tokens = model.tokenizer.encode(text, parse_special=False, is_beginning=False)
            spelled = b"".join(map(model.tokenizer.token_bytes, tokens)).decode()
            assert spelled == text.replace('"', '" ')


def test_half_a_character_is_refused(make: Callable[..., Path]) -> None:
    with opened(make()) as model, pytest.raises(InvalidRequest, match="lone surrogate"):
        model.tokenizer.encode("a\ud800", parse_special=False)


@pytest.mark.parametrize(
    ("source", "says"),
    [("{", "cannot be read"), ('{"version": "1.0", "model": {"type": "Telepathy"}}', "cannot be read")],
)
def test_a_tokenizer_that_cannot_be_read_is_refused(make: Callable[..., Path], source: str, says: str) -> None:
    path = write_tiny_gguf(make(), control_tokens=[TURN], metadata={KEY: source})
    with pytest.raises(ModelLoadFailed, match=says):
        LlamaModel(path)


def test_a_tokenizer_of_a_larger_vocabulary_is_refused(make: Callable[..., Path]) -> None:
    larger = Tokenizer(models.BPE({f"t{index}": index for index in range(401)}, []))
    path = write_tiny_gguf(make(), control_tokens=[TURN], metadata={KEY: larger.to_str()})
    with pytest.raises(ModelLoadFailed, match="has 401 tokens where the model has 400"):
        LlamaModel(path)


def test_unigrams_around_sentinels_are_read_so_too(tmp_path: Path) -> None:
    made = Tokenizer(models.Unigram(unigram_vocabulary(), unk_id=2))
    made.add_special_tokens([f"<extra_id_{index}>" for index in range(NUM_SENTINELS)])
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    # As converters write it that find no removal of spaces among the normalizers.
    entries = {KEY: made.to_str(), "tokenizer.ggml.remove_extra_whitespaces": False}
    texts = ("The  cat", "<extra_id_0>\n sat <extra_id_1>  кот\u3000猫", " ")
    with opened(write_seq2seq(tmp_path / "a.gguf", tiny_mt5(), metadata=entries)) as model:
        for text in texts:
            assert model.tokenizer.encode(text, parse_special=False) == [*made.encode(text).ids, 1]
            assert model.tokenizer.encode(text, parse_special=False, is_beginning=False) == made.encode(text).ids


def test_a_model_that_gives_vectors_is_read_so_too(tmp_path: Path) -> None:
    ids = {token: index for index, token in enumerate(wordpiece_vocabulary())}
    made = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    made.normalizer = normalizers.Sequence([normalizers.Replace("&", " and "), normalizers.BertNormalizer()])
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    path = write_encoder(tmp_path / "bert.gguf", tiny_bert(), metadata={KEY: made.to_str()})
    with opened(path) as model:
        text = "The cats & dogs."
        assert model.tokenizer.encode(text, parse_special=False) == [2, *made.encode(text).ids, 3]
