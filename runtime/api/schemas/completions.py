"""Shapes of `/v1/completions`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, model_validator

from runtime.api.schemas.common import FinishReasonBody, GenerationRequest, UsageBody, refusal
from runtime.config import ChoiceLimits

# What the OpenAI API gives where a request names no length.
DEFAULT_MAX_TOKENS = 16
_LIMITS = ChoiceLimits()


class CompletionRequest(GenerationRequest):
    """Body of a text completion."""

    prompt: str | list[int] | list[str] | list[list[int]] = Field(
        description="Text or token ids, or a list of either: then each is a prompt of its own.",
        examples=["Érase una vez"],
    )

    @model_validator(mode="after")
    def _refuse_too_many(self) -> CompletionRequest:
        if len(self.prompts) * self.num_choices > _LIMITS.max_choices:
            raise refusal("prompt", f"may ask for at most {_LIMITS.max_choices} choices, the prompts times 'n'")
        return self

    @property
    def prompts(self) -> list[str | tuple[int, ...]]:
        """The prompts, however they were sent."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        tokens = tuple(token for token in self.prompt if isinstance(token, int))
        if tokens or not self.prompt:
            return [tokens]
        return [each if isinstance(each, str) else tuple(each) for each in self.prompt if not isinstance(each, int)]


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
