"""Shapes of `/v1/embeddings`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, model_validator

from runtime.api.schemas.common import refusal
from runtime.api.schemas.encoding import MAX_INPUTS, EncodingUsage, WindowedRequest


class EmbeddingRequest(WindowedRequest):
    """Body of a request for vectors."""

    input: str | list[str] | list[int] | list[list[int]] = Field(
        description="A text, several, the token ids of one, or of several.", examples=[["猫が座る", "un gato sentado"]]
    )
    encoding_format: Literal["float", "base64"] = Field("float", description="base64: float32, the lowest byte first.")
    dimensions: int | None = Field(None, ge=1, description="Keep so many numbers, and bring them to length 1 again.")
    instruction: str | None = Field(None, description="What the queries are for, to models that want to know.")

    @model_validator(mode="after")
    def _fields_fit_together(self) -> EmbeddingRequest:
        if len(self.inputs) > MAX_INPUTS:
            raise refusal("input", f"may hold at most {MAX_INPUTS} texts")
        if self.instruction is not None and not all(isinstance(one, str) for one in self.inputs):
            raise refusal("instruction", "needs texts, not token ids")
        return self

    @property
    def inputs(self) -> list[str | tuple[int, ...]]:
        """The inputs one by one."""
        if isinstance(self.input, str):
            return [self.input]
        tokens = [one for one in self.input if isinstance(one, int)]
        if tokens or not self.input:
            return [tuple(tokens)]
        return [one if isinstance(one, str) else tuple(one) for one in self.input if not isinstance(one, int)]


class Embedding(BaseModel):
    """The vector of one input: numbers, or base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingList(BaseModel):
    """The vectors of all inputs, in their order."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EncodingUsage
