"""Tokenizers over the vocabulary inside the GGUF: the one it was made from, or llama.cpp's own; another for bytes."""

from __future__ import annotations

import ctypes

import llama_cpp

from runtime.errors import InvalidRequest
from runtime.text.bytes import ByteTokenizer
from runtime.text.sentinels import with_sentinels
from runtime.text.tokenizer import STAND_IN, Tokenizer, to_utf8


def tokenizer_of(vocabulary: int, *, has_encoder: bool, embedded: str = "") -> Tokenizer:
    """The tokenizer for the vocabulary of a loaded model; for one that `has_encoder`, with its sentinels.

    `embedded` is the tokenizer.json that the file carries, if it does. It must not outlive the model.

    Raises:
        ModelLoadFailed: that cannot be used.
    """
    tokenizer: Tokenizer
    if llama_cpp.llama_vocab_type(vocabulary) == llama_cpp.LLAMA_VOCAB_TYPE_RWKV:
        tokenizer = _byte_tokenizer(vocabulary, has_encoder=has_encoder)
    else:
        tokenizer = LlamaTokenizer(vocabulary)
        if embedded:
            from runtime.text.embedded import EmbeddedTokenizer

            tokenizer = EmbeddedTokenizer(embedded, tokenizer)
    return with_sentinels(tokenizer) if has_encoder else tokenizer


def _byte_tokenizer(vocabulary: int, *, has_encoder: bool) -> ByteTokenizer:
    tokens = range(llama_cpp.llama_vocab_n_tokens(vocabulary))
    # llama.cpp's own tokenizer of this kind never adds an end, without which an encoder's text is not whole.
    eos = llama_cpp.llama_vocab_eos(vocabulary)
    wants_eos = eos >= 0 and (has_encoder or llama_cpp.llama_vocab_get_add_eos(vocabulary))
    return ByteTokenizer(
        [llama_cpp.llama_vocab_get_text(vocabulary, token) for token in tokens],
        ends=[token for token in tokens if llama_cpp.llama_vocab_is_eog(vocabulary, token)],
        eos=eos if wants_eos else None,
    )


class LlamaTokenizer:
    """`Tokenizer` over a loaded model's vocabulary. It must not outlive the model."""

    def __init__(self, vocabulary: int) -> None:
        self._vocabulary = vocabulary
        self.vocabulary_size = llama_cpp.llama_vocab_n_tokens(vocabulary)
        self._bos = llama_cpp.llama_vocab_bos(vocabulary)
        self._is_unigram = llama_cpp.llama_vocab_type(vocabulary) == llama_cpp.LLAMA_VOCAB_TYPE_UGM
        self._bytes: dict[int, bytes] = {}

    def encode(self, text: str, *, parse_special: bool, is_beginning: bool = True) -> list[int]:
        """See `Tokenizer.encode`."""
        if not is_beginning and not self._is_unigram:
            # Some vocabularies put a space before the first word: here that is before a character that is cut off.
            tokens = self._tokenize(STAND_IN + text, parse_special=parse_special, add_special=False)
            before = b""
            while not before.endswith(STAND_IN.encode()):
                before += self.token_bytes(tokens.pop(0))
            return tokens
        if not is_beginning:
            # This kind takes white space for what stands between words, and puts it before each text, as its makers do.
            return self._tokenize(text, parse_special=parse_special, add_special=False)
        starts_with_bos = parse_special and self._bos >= 0 and text.startswith(self.token_text(self._bos))
        return self._tokenize(text, parse_special=parse_special, add_special=not starts_with_bos)

    def _tokenize(self, text: str, *, parse_special: bool, add_special: bool) -> list[int]:
        # Strict, because llama.cpp aborts the process on byte sequences that are not UTF-8.
        data = to_utf8(text)
        capacity = len(data) + 2
        tokens = (llama_cpp.llama_token * capacity)()
        count = llama_cpp.llama_tokenize(
            self._vocabulary, data, len(data), tokens, capacity, add_special, parse_special
        )
        if count < 0:
            capacity = -count
            tokens = (llama_cpp.llama_token * capacity)()
            count = llama_cpp.llama_tokenize(
                self._vocabulary, data, len(data), tokens, capacity, add_special, parse_special
            )
        return tokens[:count]

    def token_bytes(self, token: int) -> bytes:
        """See `Tokenizer.token_bytes`."""
        known = self._bytes.get(token)
        if known is None:
            known = self._bytes[token] = self._read_piece(token, special=False)
        return known

    def token_text(self, token: int) -> str:
        """See `Tokenizer.token_text`."""
        return self._read_piece(token, special=True).decode("utf-8", "replace")

    def is_end(self, token: int) -> bool:
        """See `Tokenizer.is_end`."""
        return bool(llama_cpp.llama_vocab_is_eog(self._vocabulary, token))

    def _read_piece(self, token: int, *, special: bool) -> bytes:
        if not 0 <= token < self.vocabulary_size:
            raise InvalidRequest(f"There is no token {token}: the vocabulary has {self.vocabulary_size}.")
        # One for each call: a grammar reads the vocabulary in a thread of its own.
        buffer = ctypes.create_string_buffer(256)
        size = llama_cpp.llama_token_to_piece(self._vocabulary, token, buffer, len(buffer), 0, special)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = llama_cpp.llama_token_to_piece(self._vocabulary, token, buffer, len(buffer), 0, special)
        return buffer.raw[:size]
