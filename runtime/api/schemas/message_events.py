"""What `/v1/messages` answers: a message, and the events that make it up."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, SerializerFunctionWrapHandler, model_serializer

from runtime.api.schemas.language import TextUsage
from runtime.api.schemas.tools import Reported
from runtime.api.streaming import NamedEvent
from runtime.engine.messages import Usage

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]


class TextBlock(BaseModel):
    """What the model says."""

    type: Literal["text"] = "text"
    text: str = ""
    citations: None = None


class ThinkingBlock(BaseModel):
    """What the model thinks to itself; it needs no signature here, where nothing is hidden."""

    type: Literal["thinking"] = "thinking"
    thinking: str = ""
    signature: str = ""


class ToolUseBlock(Reported):
    """A tool that the model wants run."""

    type: Literal["tool_use"] = "tool_use"
    id: str
    name: str
    input: dict[str, Any] = Field(default={})


ContentBlock = TextBlock | ThinkingBlock | ToolUseBlock


class MessageUsage(BaseModel):
    """Token counts. The prompt has `input_tokens`, and `cache_read_input_tokens` that were computed before."""

    input_tokens: int
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    output_tokens: int = 0
    demotic: TextUsage | None = None

    @model_serializer(mode="wrap")
    def _text_only_where_it_is_known(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        told: dict[str, Any] = handler(self)
        if self.demotic is None:
            del told["demotic"]
        return told

    @classmethod
    def from_usage(cls, usage: Usage) -> MessageUsage:
        """Anthropic's shape of the engine's counts."""
        return cls(
            input_tokens=usage.prompt_tokens - usage.cached_tokens,
            cache_read_input_tokens=usage.cached_tokens,
            output_tokens=usage.completion_tokens,
        )


class MessageBody(BaseModel):
    """An answer, as far as it has come."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[ContentBlock] = []
    stop_reason: StopReason | None = None
    stop_sequence: str | None = None
    usage: MessageUsage


class TokenCount(BaseModel):
    """How long a prompt is."""

    input_tokens: int


class MessageStart(NamedEvent):
    """The answer begins."""

    type: Literal["message_start"] = "message_start"
    message: MessageBody


class Ping(NamedEvent):
    """The connection is alive."""

    type: Literal["ping"] = "ping"


class BlockStart(NamedEvent):
    """A block begins."""

    type: Literal["content_block_start"] = "content_block_start"
    index: int
    content_block: ContentBlock


class TextDelta(BaseModel):
    """Some more text of an answer."""

    type: Literal["text_delta"] = "text_delta"
    text: str


class ThinkingDelta(BaseModel):
    """Some more text of a reasoning."""

    type: Literal["thinking_delta"] = "thinking_delta"
    thinking: str


class InputDelta(BaseModel):
    """Some more of a call's arguments, as JSON text."""

    type: Literal["input_json_delta"] = "input_json_delta"
    partial_json: str


class BlockDelta(NamedEvent):
    """A block grows."""

    type: Literal["content_block_delta"] = "content_block_delta"
    index: int
    delta: Annotated[TextDelta | ThinkingDelta | InputDelta, Field(discriminator="type")]


class BlockStop(NamedEvent):
    """A block ends."""

    type: Literal["content_block_stop"] = "content_block_stop"
    index: int


class StopDelta(BaseModel):
    """Why the answer ended."""

    stop_reason: StopReason
    stop_sequence: str | None


class MessageDelta(NamedEvent):
    """The answer has ended."""

    type: Literal["message_delta"] = "message_delta"
    delta: StopDelta
    usage: MessageUsage


class MessageStop(NamedEvent):
    """Nothing comes after this."""

    type: Literal["message_stop"] = "message_stop"


class AnthropicError(BaseModel):
    """What went wrong: `type` for programs, `message` for people."""

    type: str
    message: str


class AnthropicErrorBody(BaseModel):
    """Anthropic's error object."""

    type: Literal["error"] = "error"
    error: AnthropicError


class ErrorEvent(NamedEvent):
    """The answer failed on its way."""

    type: Literal["error"] = "error"
    error: dict[str, Any]


StreamEvent = MessageStart | Ping | BlockStart | BlockDelta | BlockStop | MessageDelta | MessageStop | ErrorEvent
