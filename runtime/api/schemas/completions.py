"""Shapes of `/v1/completions`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from runtime.api.schemas.common import FinishReasonBody, GenerationRequest, UsageBody

# What the OpenAI API gives where a request names no length.
DEFAULT_MAX_TOKENS = 16


class CompletionRequest(GenerationRequest):
    """Body of a text completion."""

    prompt: str | list[int] = Field(description="Text, or token ids.", examples=["Érase una vez"])


class CompletionChoice(BaseModel):
    """A text, or a piece of it, and why it ended."""

    index: int = 0
    text: str
    logprobs: None = None
    finish_reason: FinishReasonBody | None


class Completion(BaseModel):
    """The whole text, or one server-sent event of it: OpenAI gives both the same shape."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: UsageBody | None = None
