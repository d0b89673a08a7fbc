"""The tokenizer.json that a GGUF carries: the tokenizer that the model was trained with, not one made after it.

llama.cpp's own tokenizers know no normalizers, and split text in the few ways that were written down for them. So where
a file has `tokenizer.huggingface.json` (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), texts are read by
the library that wrote it; what a token stands for is still said by the file's own vocabulary.
"""

from __future__ import annotations

from runtime.errors import ModelLoadFailed
from runtime.text.library import TokenizerLibrary
from runtime.text.tokenizer import Tokenizer, frame_of


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
            self._library = TokenizerLibrary(source)
        except Exception as fault:  # the library raises Exception itself
            raise _refusal(f"cannot be read: {fault}") from fault
        num_tokens = self._library.inner.get_vocab_size(with_added_tokens=True)
        if num_tokens > self.vocabulary_size:
            raise _refusal(f"has {num_tokens} tokens where the model has {self.vocabulary_size}")

    def encode(self, text: str, *, parse_special: bool, is_beginning: bool = True) -> list[int]:
        """See `Tokenizer.encode`."""
        if not is_beginning:
            return self._library.go_on(text, parse_special=parse_special)
        tokens = self._library.read(text, parse_special=parse_special).ids
        if parse_special and self._before and tokens[: len(self._before)] == self._before:
            return tokens
        return [*self._before, *tokens, *self._after]

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
