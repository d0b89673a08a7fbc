"""Tokenizers of checkpoints that have no tokenizer.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import transformers
from sentencepiece import SentencePieceProcessor
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

from converters.checkpoint import open_checkpoint
from converters.convert import Converted, Request, convert
from converters.gguf.vocabulary import open_vocabulary
from converters.probes import DECLARATION, PROBES
from converters.tokenizer_source import choose_tokenizer, tokenizer_source
from runtime.errors import ConversionRefused
from runtime.models.header import EMBEDDED_KEY
from runtime.models.inspect import read_header
from tests.tiny import sentencepiece as tiny_models
from tests.tiny import tokenizers as tiny_tokenizers
from tests.tiny.checkpoints import tiny_gemma, tiny_gpt2, tiny_llama, tiny_mt5, tiny_qwen2, tiny_t5

ROWS = 1800  # pieces of the models


def saved(folder: Path, model: Any, files: Mapping[str, Any]) -> Path:
    """A checkpoint with files of a tokenizer: bytes as they are, the rest as JSON."""
    model.save_pretrained(folder)
    for name, content in files.items():
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / name).write_bytes(data)
    return folder


def converted(folder: Path) -> Converted:
    return convert(Request(str(folder), folder / "a.gguf"))


ENCODERS: dict[str, tuple[Any, Any]] = {
    "bert": (transformers.BertModel, transformers.BertConfig),
    "roberta": (transformers.RobertaModel, transformers.RobertaConfig),
    "xlm-roberta": (transformers.XLMRobertaModel, transformers.XLMRobertaConfig),
}


def tiny_encoder(kind: str, rows: int) -> Any:
    model, config = ENCODERS[kind]
    more = {} if kind == "bert" else {"type_vocab_size": 1}
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
    return model(config(vocab_size=rows, max_position_embeddings=130, **sizes, **more))


def assert_read_as(done: Converted, wanted: Callable[[str], list[int]]) -> None:
    with open_vocabulary(done.path) as vocabulary:
        for probe in PROBES:
            assert vocabulary.read.encode(probe.text, parse_special=False) == wanted(probe.text), probe.name


# SentencePiece


def test_llama_2_s_model_with_added_tokens(tmp_path: Path) -> None:
    data = tiny_models.llama_model()
    added = {"<|im_start|>": ROWS, "<think>": ROWS + 1}
    settings = {"tokenizer_class": "LlamaTokenizer", "additional_special_tokens": ["<|im_start|>"]}
    files = {"tokenizer.model": data, "added_tokens.json": added, "tokenizer_config.json": settings}
    done = converted(saved(tmp_path / "llama-2", tiny_llama(ROWS + 2), files))
    reference = SentencePieceProcessor(model_proto=data)
    assert_read_as(done, lambda text: [1, *reference.encode(text)])
    assert done.manifest.tokenizer["different"] == 0
    assert done.manifest.notes == ()
    with open_vocabulary(done.path) as vocabulary:
        tokens = vocabulary.read.encode("<|im_start|>user", parse_special=True)
        assert tokens[:2] == [1, ROWS]
        # Of text from outside, only tokens that are no control tokens are read.
        assert ROWS not in vocabulary.read.encode("<|im_start|>", parse_special=False)
        assert ROWS + 1 in vocabulary.read.encode("<think>", parse_special=False)


def test_a_llama_that_begins_with_nothing_and_ends_texts(tmp_path: Path) -> None:
    data = tiny_models.llama_model()
    settings = {"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": False, "add_eos_token": True}
    files = {"tokenizer.model": data, "tokenizer_config.json": settings}
    done = converted(saved(tmp_path / "llama", tiny_llama(ROWS), files))
    reference = SentencePieceProcessor(model_proto=data)
    assert_read_as(done, lambda text: [*reference.encode(text), 2])


def test_gemma_s_model_with_runs_of_spaces_that_are_pieces(tmp_path: Path) -> None:
    data = tiny_models.llama_model(add_dummy_prefix=False, user_defined_symbols=["▁▁", "▁▁▁", "<unused0>"])
    files = {"tokenizer.model": data, "tokenizer_config.json": {"tokenizer_class": "GemmaTokenizer"}}
    done = converted(saved(tmp_path / "gemma", tiny_gemma(ROWS), files))
    reference = SentencePieceProcessor(model_proto=data)
    assert_read_as(done, lambda text: [1, *reference.encode(text)])
    assert EMBEDDED_KEY in read_header(done.path).metadata
    assert done.manifest.tokenizer["different_names"] == ["sentencepiece_s_space"]


@pytest.mark.parametrize("rule", ["identity", "nmt_nfkc"])
def test_t5_s_model_with_its_sentinels_after_the_pieces(rule: str, tmp_path: Path) -> None:
    data = tiny_models.t5_model(normalization_rule_name=rule)
    files = {"spiece.model": data, "tokenizer_config.json": {"tokenizer_class": "T5Tokenizer"}}
    done = converted(saved(tmp_path / "t5", tiny_t5(ROWS + 128), files))
    reference = SentencePieceProcessor(model_proto=data)
    assert_read_as(done, lambda text: [*reference.encode(text), 1])
    with open_vocabulary(done.path) as vocabulary:
        tokens = vocabulary.read.encode("<extra_id_0> dog <extra_id_99>", parse_special=False)
    assert (tokens[0], tokens[-2]) == (ROWS + 99, ROWS)


def test_where_no_json_gives_the_model_s_ids_the_file_carries_none_and_llama_cpp_s_own_are_right(
    tmp_path: Path,
) -> None:
    # tokenizers takes letters with several marks otherwise than SentencePiece where characters are changed (NFKC).
    files = {"spiece.model": tiny_models.t5_model(), "tokenizer_config.json": {"tokenizer_class": "T5Tokenizer"}}
    done = converted(saved(tmp_path / "t5", tiny_t5(ROWS + 128), files))
    assert EMBEDDED_KEY not in read_header(done.path).metadata
    assert done.manifest.tokenizer["different"] == 0
    (note,) = done.manifest.notes
    assert note == (
        "No tokenizer.json gives the ids of spiece.model on all texts, so the file carries none; it is read by "
        "llama.cpp's own tokenizer."
    )


def test_a_model_that_neither_gives_the_ids_of_is_refused(tmp_path: Path) -> None:
    # llama.cpp's Unigram has no bytes for what is unknown, and tokenizers' NFKC is not SentencePiece's.
    files = {
        "spiece.model": tiny_models.t5_model(byte_fallback=True),
        "tokenizer_config.json": {"tokenizer_class": "MT5Tokenizer"},
    }
    folder = saved(tmp_path / "mt5", tiny_mt5(ROWS + 128), files)
    with pytest.raises(ConversionRefused, match=r"read otherwise than its source: of the text .*tokenizer\.json, as"):
        converted(folder)
    assert not list(folder.glob("*gguf*"))


@pytest.mark.parametrize("rule", ["identity", "nmt_nfkc"])
def test_xlm_roberta_s_rows_begin_with_those_of_fairseq(rule: str, tmp_path: Path) -> None:
    data = tiny_models.xlm_roberta_model(normalization_rule_name=rule)
    folder = saved(tmp_path / "xlm-r", tiny_encoder("xlm-roberta", ROWS + 2), {"sentencepiece.bpe.model": data})
    reference = SentencePieceProcessor(model_proto=data)
    done = converted(folder)
    assert_read_as(done, lambda text: [0, *(3 if piece == 0 else piece + 1 for piece in reference.encode(text)), 2])
    tokens: Any = read_header(done.path).metadata["tokenizer.ggml.tokens"]
    assert [tokens[row] for row in (0, 1, 2, 3, ROWS + 1)] == ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"no model at all", "is no SentencePiece model"), (b"", "without pieces"), (b"\n\x03\n\x01a", "is damaged")],
)
def test_a_damaged_model_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionRefused, match=message):
        converted(saved(tmp_path / "bad", tiny_llama(ROWS), {"tokenizer.model": content}))


def test_a_class_whose_rows_are_not_known_is_refused(tmp_path: Path) -> None:
    files = {"spiece.model": tiny_models.t5_model(), "tokenizer_config.json": {"tokenizer_class": "AlbertTokenizer"}}
    with pytest.raises(ConversionRefused, match=r"as a 'AlbertTokenizer' knows.*save_pretrained"):
        converted(saved(tmp_path / "albert", tiny_gpt2(ROWS), files))


def test_added_tokens_that_leave_rows_free_are_refused(tmp_path: Path) -> None:
    files = {
        "tokenizer.model": tiny_models.llama_model(),
        "added_tokens.json": {"<far>": ROWS + 7},
        "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer"},
    }
    with pytest.raises(ConversionRefused, match=f"leave rows free: '<far>' is row {ROWS + 7}"):
        converted(saved(tmp_path / "holes", tiny_llama(ROWS + 8), files))


# vocab.json with merges.txt, and vocab.txt


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("GPT2Tokenizer", {}),
        ("GPT2Tokenizer", {"add_prefix_space": True}),
        ("GPT2Tokenizer", {"add_bos_token": True}),
        ("Qwen2Tokenizer", {}),
    ],
)
def test_vocab_json_with_merges(kind: str, settings: dict[str, Any], tmp_path: Path) -> None:
    end = tiny_tokenizers.END
    reference = tiny_tokenizers.qwen2() if kind == "Qwen2Tokenizer" else tiny_tokenizers.byte_level()
    reference.add_tokens(["<think>"])
    if settings.get("add_prefix_space"):
        reference.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    if settings.get("add_bos_token"):
        around = [(end, reference.token_to_id(end))]
        reference.post_processor = processors.TemplateProcessing(single=f"{end} $A", special_tokens=around)
    make = tiny_qwen2 if kind == "Qwen2Tokenizer" else tiny_gpt2
    named = dict.fromkeys(("bos_token", "eos_token", "unk_token"), end)
    files = {
        "tokenizer_config.json": {"tokenizer_class": kind, **named, **settings},
        "added_tokens.json": {token.content: row for row, token in reference.get_added_tokens_decoder().items()},
    }
    folder = saved(tmp_path / "gpt2", make(reference.get_vocab_size()), files)
    reference.model.save(str(folder))
    done = converted(folder)
    assert_read_as(done, lambda text: reference.encode(text).ids)
    assert {"vocab.json", "merges.txt"} <= {file.name for file in done.manifest.source_files}
    with open_vocabulary(done.path) as vocabulary:
        assert reference.token_to_id("<think>") in vocabulary.read.encode("<think>", parse_special=False)


def test_roberta_s_vocab_json_puts_its_tokens_around_texts(tmp_path: Path) -> None:
    reference = tokenizers.Tokenizer(models.BPE())
    reference.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    reference.train_from_iterator(DECLARATION.values(), trainer)
    reference.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    model = tiny_encoder("roberta", reference.get_vocab_size())
    folder = saved(tmp_path / "roberta", model, {"tokenizer_config.json": {"tokenizer_class": "RobertaTokenizer"}})
    reference.model.save(str(folder))
    done = converted(folder)
    assert_read_as(done, lambda text: reference.encode(text).ids)
    assert done.manifest.tokenizer["different"] == 0


@pytest.mark.parametrize(
    ("lowercase", "strips", "parts_chinese"),
    [(True, None, True), (False, None, True), (True, False, True), (False, True, True), (False, None, False)],
)
def test_vocab_txt_with_the_settings_of_bert(
    lowercase: bool, strips: bool | None, parts_chinese: bool, tmp_path: Path
) -> None:
    reference = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    reference.normalizer = normalizers.BertNormalizer(
        lowercase=lowercase, strip_accents=strips, handle_chinese_chars=parts_chinese
    )
    reference.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=900, special_tokens=special, show_progress=False)
    reference.train_from_iterator(list(DECLARATION.values())[:60], trainer)
    around = [(name, reference.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    reference.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=around)
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": lowercase, "tokenize_chinese_chars": parts_chinese}
    if strips is not None:
        settings["strip_accents"] = strips
    model = tiny_encoder("bert", reference.get_vocab_size())
    folder = saved(tmp_path / "bert", model, {"tokenizer_config.json": settings})
    reference.model.save(str(folder))
    assert_read_as(converted(folder), lambda text: reference.encode(text).ids)


def test_a_vocabulary_that_transformers_cannot_read_is_refused(tmp_path: Path) -> None:
    files = {"vocab.json": b"{", "merges.txt": b"", "tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer"}}
    folder = saved(tmp_path / "bad", tiny_gpt2(300), files)
    with pytest.raises(ConversionRefused, match="transformers cannot read the tokenizer of"):
        converted(folder)


# Which files


def test_without_any_file_of_a_tokenizer_the_error_lists_them(tmp_path: Path) -> None:
    tiny_llama(300).save_pretrained(tmp_path / "none")
    with pytest.raises(ConversionRefused, match=r"tokenizer\.json, tokenizer\.model, .*vocab\.json with merges\.txt"):
        converted(tmp_path / "none")


def test_a_tokenizer_json_is_taken_before_any_other_file(llama: Path) -> None:
    (llama / "tokenizer.model").write_bytes(b"never read")
    assert tokenizer_source(open_checkpoint(str(llama))).where.endswith("tokenizer.json")


def test_half_of_a_pair_of_files_is_no_tokenizer() -> None:
    assert choose_tokenizer({"vocab.json"}) == ()
    assert choose_tokenizer({"vocab.json", "vocab.txt"}) == ("vocab.txt",)
    assert choose_tokenizer({"vocab.json", "merges.txt", "vocab.txt"}) == ("vocab.json", "merges.txt")
