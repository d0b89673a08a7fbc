"""The vocabulary of single bytes that ByT5 and MonoByte have, in the notation that llama.cpp calls `rwkv`.

A byte is `\\xNN`. The names of the other tokens begin with two bytes that no text has, so that none is read from a
text. Ids: padding 0, end 1, unknown 2, then the 256 bytes, then sentinels (`ByT5Tokenizer` of transformers).
"""

from __future__ import annotations

from collections.abc import Sequence

from gguf import TokenType

from converters.architectures.base import Value
from converters.checkpoint import Checkpoint
from runtime.errors import ConversionRefused

PAD, END, UNKNOWN = 0, 1, 2
OFFSET = 3
ROWS = 384  # with 125 sentinels
_NUM_BYTES = 256
_TOKENIZER_FILES = ("tokenizer.json", "spiece.model", "tokenizer.model")


def is_of_bytes(checkpoint: Checkpoint) -> bool:
    """Whether the checkpoint says that its tokens are bytes: MonoByte has no file of a tokenizer at all."""
    config = checkpoint.config
    named = checkpoint.json("tokenizer_config.json").get("tokenizer_class") or config.values.get("tokenizer_class")
    if named is not None:
        return bool(named == "ByT5Tokenizer")
    is_of_its_size = config.values.get("model_type") == "t5" and config.values.get("vocab_size") == ROWS
    return is_of_its_size and not any(checkpoint.path(name).is_file() for name in _TOKENIZER_FILES)


def byte_entries(num_rows: int, *, adds_end: bool) -> dict[str, Value]:
    """The entries of a GGUF for an embedding of `num_rows` rows.

    Raises:
        ConversionRefused: there are fewer rows than bytes.
    """
    num_sentinels = num_rows - OFFSET - _NUM_BYTES
    if num_sentinels < 0:
        raise ConversionRefused(f"A vocabulary of bytes has 259 tokens at least, the embedding has {num_rows} rows.")
    names = ["<pad>", "</s>", "<unk>"]
    tokens = [rf"\xff\xfe{name}" for name in names]
    tokens += [rf"\x{byte:02x}" for byte in range(_NUM_BYTES)]
    tokens += [rf"\xff\xfe<extra_id_{index}>" for index in range(num_sentinels)]
    types = [TokenType.CONTROL, TokenType.CONTROL, TokenType.UNKNOWN]
    types += [TokenType.NORMAL] * _NUM_BYTES + [TokenType.CONTROL] * num_sentinels
    return {
        "tokenizer.ggml.model": "rwkv",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [int(each) for each in types],
        "tokenizer.ggml.padding_token_id": PAD,
        "tokenizer.ggml.eos_token_id": END,
        "tokenizer.ggml.unknown_token_id": UNKNOWN,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_eos_token": adds_end,
    }


def encode_bytes(text: str, *, adds_end: bool) -> list[int]:
    """Ids of a text's UTF-8, and perhaps of an end."""
    return [*(byte + OFFSET for byte in text.encode()), *([END] if adds_end else [])]


def decode_bytes(tokens: Sequence[int]) -> str:
    """The text of tokens; what is no byte is left out."""
    values = bytes(token - OFFSET for token in tokens if 0 <= token - OFFSET < _NUM_BYTES)
    return values.decode("utf-8", "replace")
