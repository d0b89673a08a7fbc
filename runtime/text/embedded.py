"""The tokenizer.json that a GGUF carries: the tokenizer that the model was trained with, not one made after it.

llama.cpp's own tokenizers know no normalizers, and split text in the few ways that were written down for them. So where
a file has `tokenizer.huggingface.json` (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), texts are read by
the library that wrote it; what a token stands for is still said by the file's own vocabulary.
"""

from __future__ import annotations

import json
import threading

import tokenizers

from runtime.errors import InvalidRequest, ModelLoadFailed
from runtime.text.tokenizer import STAND_IN, Tokenizer, frame_of, to_utf8


class EmbeddedTokenizer:
    """`Tokenizer` that reads texts as a tokenizer.json says, over one that knows the vocabulary."""

    def __init__(self, source: str, vocabulary: Tokenizer) -> None:
        """`source` is the JSON; what stands around a text is what `vocabulary` puts there.

        Raises:
            ModelLoadFailed: it cannot be read, or belongs to another vocabulary.
        """
        self.vocabulary_size = vocabulary.vocabulary_size
        self._vocabulary = vocabulary
        self._before, self._after = frame_of(vocabulary)
        try:
            self._library = tokenizers.Tokenizer.from_str(source)
            self._is_unigram = json.loads(source)["model"].get("type") == "Unigram"
        except Exception as fault:  # the library raises Exception itself
            raise _refusal(f"cannot be read: {fault}") from fault
        self._library.no_truncation()
        self._library.no_padding()
        num_tokens = self._library.get_vocab_size(with_added_tokens=True)
        if num_tokens > self.vocabulary_size:
            raise _refusal(f"has {num_tokens} tokens where the model has {self.vocabulary_size}")
        # Whether names of control tokens are read is a state of the library, and grammars ask in another thread.
        self._lock = threading.Lock()

    def encode(self, text: str, *, parse_special: bool, is_beginning: bool = True) -> list[int]:
        """See `Tokenizer.encode`."""
        to_utf8(text)
        if not is_beginning:
            return self._go_on(text, parse_special=parse_special)
        tokens = self._read(text, parse_special=parse_special).ids
        if parse_special and self._before and tokens[: len(self._before)] == self._before:
            return tokens
        return [*self._before, *tokens, *self._after]

    def _go_on(self, text: str, *, parse_special: bool) -> list[int]:
        """Ids of a text that others stand before: without the space that some vocabularies put before the first word.

        Those of unigrams take white space for what stands between words, and put it before whatever follows a token
        that is no text.
        """
        if self._is_unigram:
            return self._read(text, parse_special=parse_special).ids
        read = self._read(STAND_IN + text, parse_special=parse_special)
        return [token for token, (start, _) in zip(read.ids, read.offsets, strict=True) if start >= len(STAND_IN)]

    def _read(self, text: str, *, parse_special: bool) -> tokenizers.Encoding:
        with self._lock:
            self._library.encode_special_tokens = not parse_special
            try:
                return self._library.encode(text, add_special_tokens=False)
            except Exception as fault:  # as above
                raise InvalidRequest(f"The model's tokenizer cannot read the text: {fault}.") from fault

    def token_bytes(self, token: int) -> bytes:
        """See `Tokenizer.token_bytes`."""
        return self._vocabulary.token_bytes(token)

    def token_text(self, token: int) -> str:
        """See `Tokenizer.token_text`."""
        return self._vocabulary.token_text(token)

    def is_end(self, token: int) -> bool:
        """See `Tokenizer.is_end`."""
        return self._vocabulary.is_end(token)


def _refusal(fault: str) -> ModelLoadFailed:
    return ModelLoadFailed(f"The model's tokenizer.json {fault}.", remedy="Convert the model anew.")
