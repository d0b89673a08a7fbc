"""Shapes of `/tokenize`, `/detokenize` and `/v1/chat/completions/tokens`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

# Longest text and list of tokens: far more than any context holds, and little enough that others hardly wait for it.
MAX_TEXT = 256 * 1024


class _OfModel(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    model: str | None = Field(None, description="A served model's name; without it, the first one.")


class TokenizeRequest(_OfModel):
    """A text. Names of control tokens in it are text like any other."""

    text: str = Field(max_length=MAX_TEXT, description="What is made tokens.", examples=["Érase una vez"])
    add_special: bool = Field(True, description="Add what the model wants at the beginning of a sequence.")
    with_pieces: bool = Field(False, description="Tell what each token stands for.")


class PieceBody(BaseModel):
    """A token: as the vocabulary writes it, and its bytes in text, which are none for control tokens."""

    id: int
    text: str
    bytes: list[int]


class TokenizeAnswer(BaseModel):
    """Token ids, and what they stand for where that was asked for."""

    tokens: list[int]
    pieces: list[PieceBody] | None = None


class DetokenizeRequest(_OfModel):
    """Token ids."""

    tokens: list[int] = Field(max_length=MAX_TEXT, description="Token ids.", examples=[[1, 2, 3]])


class DetokenizeAnswer(BaseModel):
    """The text that the tokens stand for; bytes that are no UTF-8 are U+FFFD."""

    text: str


class TokenCount(BaseModel):
    """Tokens of a chat's prompt, and how many prompt and answer may have together."""

    prompt_tokens: int
    context_length: int
