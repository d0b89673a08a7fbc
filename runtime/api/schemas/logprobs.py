"""Logprobs in OpenAI's two shapes: a list of objects for chat, parallel lists for completions."""

from __future__ import annotations

import codecs
from collections.abc import Iterable

from pydantic import BaseModel

from runtime.engine.messages import TokenLogprob

MAX_TOP = 20


class TopLogprob(BaseModel):
    """A token that might have come. `token` is its text, where its bytes are whole characters."""

    token: str
    bytes: list[int]
    logprob: float


class ChatTokenLogprob(TopLogprob):
    """A token of the answer, and the likeliest in its place."""

    top_logprobs: list[TopLogprob]


class ChatLogprobs(BaseModel):
    """The tokens of an answer, or of a piece of it."""

    content: list[ChatTokenLogprob]
    refusal: None = None

    @classmethod
    def from_tokens(cls, tokens: Iterable[TokenLogprob]) -> ChatLogprobs:
        """OpenAI's shape of what the engine told."""
        return cls(
            content=[
                ChatTokenLogprob(
                    token=_text(token.data),
                    bytes=list(token.data),
                    logprob=token.logprob or 0.0,
                    top_logprobs=[
                        TopLogprob(token=_text(rival.data), bytes=list(rival.data), logprob=rival.logprob)
                        for rival in token.top
                    ],
                )
                for token in tokens
            ]
        )


class CompletionLogprobs(BaseModel):
    """One entry a token in each list; of the first token of an echoed prompt nothing is known but its text."""

    tokens: list[str] = []
    token_logprobs: list[float | None] = []
    top_logprobs: list[dict[str, float] | None] = []
    text_offset: list[int] = []

    @classmethod
    def joined(cls, pieces: Iterable[CompletionLogprobs]) -> CompletionLogprobs:
        """The lists of all pieces, one after the other."""
        whole = cls()
        for piece in pieces:
            whole.tokens += piece.tokens
            whole.token_logprobs += piece.token_logprobs
            whole.top_logprobs += piece.top_logprobs
            whole.text_offset += piece.text_offset
        return whole


class CompletionLogprobsWriter:
    """Makes the pieces of one text, and counts at which character each token begins."""

    def __init__(self) -> None:
        self._offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def is_new(self) -> bool:
        """Whether nothing is written yet."""
        return self._offset == 0

    def skip_added_space(self) -> None:
        """Count nothing for the space that a vocabulary puts before the first word, which is not in the text."""
        self._offset -= 1

    def write(self, tokens: Iterable[TokenLogprob]) -> tuple[CompletionLogprobs, str]:
        """The next piece, and the text that its tokens make certain."""
        piece, text = CompletionLogprobs(), ""
        for token in tokens:
            piece.tokens.append(_spelled(token.data))
            piece.token_logprobs.append(token.logprob)
            is_known = token.logprob is not None
            piece.top_logprobs.append(
                {_spelled(rival.data): rival.logprob for rival in token.top} if is_known else None
            )
            piece.text_offset.append(max(0, self._offset + len(text)))
            text += self._decoder.decode(token.data)
        self._offset += len(text)
        return piece, text


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _spelled(data: bytes) -> str:
    """The text of a token; part of a character as OpenAI writes it, so that two of them stay apart."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)
