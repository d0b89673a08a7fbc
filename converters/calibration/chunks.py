"""Text as the chunks of tokens that a model is calibrated on, cut as llama.cpp's tool llama-imatrix cuts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from converters.calibration.texts import Piece
from runtime.text.tokenizer import Tokenizer, frame_of

CHUNK_TOKENS = 512


@dataclass(frozen=True)
class TokenChunk:
    """Tokens that are computed together, and how often each counts: shape (len(tokens))."""

    tokens: list[int]
    weights: npt.NDArray[np.float64]


def chunks_of(pieces: Sequence[Piece], tokenizer: Tokenizer, size: int) -> list[TokenChunk]:
    """Chunks of `size` tokens, or all of a text that has fewer; of longer ones the rest is left out.

    Where the model wants a token at the beginning of a text, it stands in place of the first of each chunk.
    """
    before, after = frame_of(tokenizer)
    tokens: list[int] = []
    weights: list[int] = []
    for index, piece in enumerate(pieces):
        found = tokenizer.encode(piece.text, parse_special=False, is_beginning=index == 0)
        found = found[: len(found) - len(after)] if index == 0 else found
        tokens += found
        weights += [piece.weight] * len(found)
    starts = range(0, len(tokens) - size + 1, size) if len(tokens) >= size else range(min(1, len(tokens)))
    chunks = []
    for start in starts:
        chunk = tokens[start : start + size]
        chunk[: len(before)] = before
        chunks.append(TokenChunk(chunk, np.array(weights[start : start + size], np.float64)))
    return chunks
