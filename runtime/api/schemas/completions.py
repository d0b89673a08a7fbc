"""Shapes of `/v1/completions`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, model_validator

from runtime.api.schemas.common import FinishReasonBody, GenerationRequest, UsageBody, refusal
from runtime.api.schemas.logprobs import MAX_TOP, CompletionLogprobs
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
    suffix: str | None = Field(None, description="What comes after the text that is asked for; code models know this.")
    echo: bool | None = Field(None, description="Put the prompt before the text.")
    logprobs: int | None = Field(None, ge=0, le=MAX_TOP, description="Tell the logprobs of so many of the likeliest.")
    best_of: int | None = Field(None, ge=1, le=_LIMITS.max_n, description="Write so many, and give the `n` likeliest.")
    max_tokens: int | None = Field(None, ge=0, description="Longest text; 0 only with `echo` and `logprobs`.")

    @model_validator(mode="after")
    def _refuse_too_many(self) -> CompletionRequest:
        if len(self.prompts) * self.num_written > _LIMITS.max_choices:
            raise refusal("prompt", f"may ask for at most {_LIMITS.max_choices} choices, the prompts times 'n'")
        if self.best_of is not None and self.best_of < self.num_choices:
            raise refusal("best_of", f"must be at least 'n', which is {self.num_choices}")
        if self.stream and self.num_written > self.num_choices:
            raise refusal("best_of", "cannot be streamed: which ones are best is known at their end")
        if self.max_tokens == 0 and not (self.echo and self.logprobs is not None):
            raise refusal("max_tokens", "may be 0 only with 'echo' and 'logprobs'")
        if self.suffix and (self.echo or not isinstance(self.prompt, str)):
            raise refusal("suffix", "needs one prompt that is a text, and goes without 'echo'")
        return self

    @property
    def num_written(self) -> int:
        """See `GenerationRequest.num_written`."""
        return self.best_of or self.num_choices

    def tells_prompt(self, prompt: str | tuple[int, ...]) -> bool:
        """Whether the engine is to tell of the prompt's tokens: of ids only it knows the text."""
        return bool(self.echo) and (self.logprobs is not None or not isinstance(prompt, str))

    @property
    def num_logprobs(self) -> int | None:
        """How many of the likeliest tokens the engine is to tell of: the best texts are found by their logprobs."""
        return 0 if self.logprobs is None and self.num_written > self.num_choices else self.logprobs

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
    """A text, or a piece of it, and why it ended; `score` is that of one that beam search found."""

    index: int = 0
    text: str
    score: float | None = Field(default=None, exclude_if=lambda score: score is None)
    logprobs: CompletionLogprobs | None = None
    finish_reason: FinishReasonBody | None = None


class Completion(BaseModel):
    """The whole text, or one server-sent event of it: OpenAI gives both the same shape."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: UsageBody | None = None
