"""Shapes of `/v1/chat/completions`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from runtime.api.schemas.common import FinishReasonBody, GenerationRequest, UsageBody
from runtime.chat.template import Message


class ContentPart(BaseModel):
    """A part of a message; only text is taken."""

    model_config = ConfigDict(strict=True)

    type: str
    text: str | None = None

    @model_validator(mode="after")
    def _only_text(self) -> ContentPart:
        if self.type != "text":
            raise ValueError(f"parts of type '{self.type}' are not supported by this server, only 'text'")
        if self.text is None:
            raise ValueError("a part of type 'text' needs 'text'")
        return self


class ChatMessage(BaseModel):
    """One turn. "developer" is a newer name of "system"."""

    model_config = ConfigDict(strict=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[ContentPart]

    def to_message(self) -> Message:
        """The turn as the chat layer knows it."""
        role = "system" if self.role == "developer" else self.role
        if isinstance(self.content, str):
            return Message(role, self.content)
        return Message(role, "".join(part.text or "" for part in self.content))


class ChatCompletionRequest(GenerationRequest):
    """Body of a chat completion."""

    messages: list[ChatMessage] = Field(
        min_length=1, examples=[[{"role": "user", "content": "¿Cuál es la capital de Francia?"}]]
    )


class AnswerMessage(BaseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(BaseModel):
    """An answer and why it ended."""

    index: int = 0
    message: AnswerMessage
    logprobs: None = None
    finish_reason: FinishReasonBody


class ChatCompletion(BaseModel):
    """The whole answer in one object."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: UsageBody


class ChatDelta(BaseModel):
    """What a chunk adds to the answer."""

    role: Literal["assistant"] | None = None
    content: str | None = None

    @model_serializer(mode="wrap")
    def _only_what_is_new(self, handler: SerializerFunctionWrapHandler) -> dict[str, str]:
        return {name: value for name, value in handler(self).items() if value is not None}


class ChatChunkChoice(BaseModel):
    """A chunk's piece of an answer."""

    index: int = 0
    delta: ChatDelta
    logprobs: None = None
    finish_reason: FinishReasonBody | None = None

    @property
    def text(self) -> str:
        """What the piece adds to the text."""
        return self.delta.content or ""


class ChatCompletionChunk(BaseModel):
    """One server-sent event of a streamed answer."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChatChunkChoice]
    usage: UsageBody | None = None
