"""Vocabularies of bytes and sentinels: exact on everything that is UTF-8, and nothing is read into a text."""

from __future__ import annotations

import pytest

from runtime.errors import InvalidRequest
from runtime.text.bytes import ByteTokenizer, are_bytes, unescape
from runtime.text.sentinels import with_sentinels
from runtime.text.tokenizer import Tokenizer
from tests.tiny.seq2seq import byte_tokens

TEXTS = [text.encode() for text in byte_tokens()[0]]
CONTROL = {0, 1, 2, *range(259, 384)}


@pytest.fixture
def byt5() -> ByteTokenizer:
    return ByteTokenizer(TEXTS, ends=[1], eos=1)


@pytest.fixture
def filling(byt5: ByteTokenizer) -> Tokenizer:
    return with_sentinels(byt5)


def spelled(tokenizer: Tokenizer, tokens: list[int]) -> bytes:
    return b"".join(map(tokenizer.token_bytes, tokens))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (rb"\x41", b"A"),
        (rb"\xff\xfe<pad>", b"\xff\xfe<pad>"),
        (rb"\n\t\r\\\"", b'\n\t\r\\"'),
        (rb"\x5c", b"\\"),
        (b"a", b"a"),
    ],
)
def test_llama_cpps_notation_is_read(written: bytes, meant: bytes) -> None:
    assert unescape(written) == meant


def test_every_byte_is_a_token_and_every_text_its_bytes(byt5: ByteTokenizer) -> None:
    assert [byt5.token_bytes(byte + 3) for byte in range(256)] == [bytes([byte]) for byte in range(256)]
    every = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x110000, 7))))
    tokens = byt5.encode(every, parse_special=False)
    assert tokens[-1] == 1
    assert spelled(byt5, tokens[:-1]).decode() == every


def test_an_end_comes_only_after_a_whole_text(byt5: ByteTokenizer) -> None:
    assert byt5.encode("ж", parse_special=False) == [0xD0 + 3, 0xB6 + 3, 1]
    assert byt5.encode("ж", parse_special=False, is_beginning=False) == [0xD0 + 3, 0xB6 + 3]
    assert ByteTokenizer(TEXTS, ends=[1]).encode("a", parse_special=False) == [100]


def test_names_of_control_tokens_are_text_unless_they_are_to_be_read(byt5: ByteTokenizer) -> None:
    text = "a</s><extra_id_12>"
    plain = byt5.encode(text, parse_special=False, is_beginning=False)
    assert spelled(byt5, plain) == text.encode()
    assert byt5.encode(text, parse_special=True, is_beginning=False) == [100, 1, 271]
    assert byt5.token_bytes(271) == b""
    assert (byt5.token_text(271), byt5.token_text(100), byt5.token_text(13)) == ("<extra_id_12>", "<0x61>", "<0x0A>")
    assert byt5.is_end(1)
    assert not byt5.is_end(0)


def test_half_a_character_and_tokens_that_are_not_there_are_refused(byt5: ByteTokenizer) -> None:
    with pytest.raises(InvalidRequest, match="lone surrogate at character 1"):
        byt5.encode("a\ud800", parse_special=False)
    for ask in (byt5.token_bytes, byt5.token_text):
        for token in (-1, 384):
            with pytest.raises(InvalidRequest, match=f"no token {token}"):
                ask(token)


def test_only_a_vocabulary_of_single_bytes_is_one_of_bytes() -> None:
    assert are_bytes(TEXTS, set())  # the names cannot be text
    assert not are_bytes(TEXTS[:200], CONTROL)
    assert not are_bytes([*TEXTS, rb"\x41"], CONTROL)
    named = [text.replace(rb"\xff\xfe", b"") for text in TEXTS]
    assert are_bytes(named, CONTROL)
    assert not are_bytes(named, set())  # RWKV's own has words too


def test_sentinels_are_read_from_texts_and_shown_in_answers_and_other_names_are_not(filling: Tokenizer) -> None:
    assert filling.encode("a<extra_id_0></s>b", parse_special=False) == [100, 259, *(b + 3 for b in b"</s>"), 101, 1]
    assert filling.encode("<extra_id_124><extra_id_125>", parse_special=False)[:2] == [383, ord("<") + 3]
    assert filling.encode("x<extra_id_1>", parse_special=False, is_beginning=False) == [ord("x") + 3, 260]
    assert spelled(filling, [259, 100, 260]) == b"<extra_id_0>a<extra_id_1>"
    assert filling.token_text(259) == "<extra_id_0>"
    assert filling.token_bytes(1) == b""
    assert filling.is_end(1)


def test_bytes_that_no_text_has_are_sentinels_too(filling: Tokenizer) -> None:
    assert filling.encode("<0xFF>a<0xFE>", parse_special=False) == [258, 100, 257, 1]
    assert spelled(filling, [258, 0xC0 + 3]) == b"<0xFF><0xC0>"
    # A byte that texts have is read as what it looks like.
    assert filling.encode("<0x61>", parse_special=False)[0] == ord("<") + 3
