"""What requests for vectors and for scores have in common."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from runtime.api.schemas.common import refusal
from runtime.engine.messages import Overflow

# As many as OpenAI takes in one request.
MAX_INPUTS = 2048

_MAX_HEADER = 1024
_ACCEPTED = frozenset({"user"})


class EncodingRequest(BaseModel):
    """Fields of all these requests. Unknown ones are ignored, and named in the header `x-demotic-ignored`."""

    model_config = ConfigDict(strict=True, extra="allow")

    model: str | None = Field(None, description="A served model's name; without it, the first one.")
    truncate: bool = Field(False, description="Cut a text that is longer than the context off at its end.")

    @property
    def overflow(self) -> Overflow:
        """What becomes of a text that is longer than the context."""
        return "truncate" if self.truncate else "error"

    @property
    def response_headers(self) -> dict[str, str]:
        """Headers of the answer: the names of the fields that this server does not know."""
        ignored = sorted(ascii(name)[1:-1] for name in set(self.model_extra or {}) - _ACCEPTED)
        return {"x-demotic-ignored": ", ".join(ignored)[:_MAX_HEADER]} if ignored else {}


class WindowedRequest(EncodingRequest):
    """Fields of those that may take a text in windows."""

    chunk: bool = Field(False, description="Take a text that is longer than the context in windows.")

    @model_validator(mode="after")
    def _is_cut_in_one_way(self) -> Self:
        if self.chunk and self.truncate:
            raise refusal("chunk", "and 'truncate' exclude each other: send one")
        return self

    @property
    def overflow(self) -> Overflow:
        """See `EncodingRequest.overflow`."""
        return "chunk" if self.chunk else super().overflow


class EncodingUsage(BaseModel):
    """Token counts; nothing is generated."""

    prompt_tokens: int
    total_tokens: int

    @classmethod
    def of(cls, num_tokens: int) -> EncodingUsage:
        """Counts of a request that read so many tokens."""
        return cls(prompt_tokens=num_tokens, total_tokens=num_tokens)
