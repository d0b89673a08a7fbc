"""Shapes of `/v1/chat/completions`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from runtime.api.conversation import Effort, effort_variables, name_results
from runtime.api.schemas.common import FinishReasonBody, GenerationRequest, UsageBody, refusal
from runtime.api.schemas.logprobs import MAX_TOP, ChatLogprobs
from runtime.api.schemas.tools import NORMALIZE, ToolCallBody, ToolCallDelta, ToolChoice, ToolDefinition, to_use
from runtime.chat.template import ChatTemplate, Message, Opening
from runtime.chat.tools.call import Tool
from runtime.chat.tools.use import ToolUse

ChatFinishReason = FinishReasonBody | Literal["tool_calls"]


class ContentPart(BaseModel):
    """A part of a message; only text is taken."""

    model_config = ConfigDict(strict=True)

    type: str = Field(description="Only `text`.")
    text: str | None = Field(None, description="The text of the part.")

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

    role: Literal["system", "developer", "user", "assistant", "tool"] = Field(description="Who speaks.")
    content: str | list[ContentPart] | None = Field(None, description="What is said: a text, or parts of one.")
    tool_calls: list[ToolCallBody] | None = Field(None, description="Calls of an earlier answer.")
    tool_call_id: str | None = Field(None, description="Of a tool's turn: the call whose result it is.")

    @model_validator(mode="after")
    def _whole_turn(self) -> ChatMessage:
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            raise ValueError(f"a message of role '{self.role}' needs 'content'")
        if self.tool_calls and self.role != "assistant":
            raise ValueError(f"a message of role '{self.role}' has no 'tool_calls'")
        if (self.role == "tool") != (self.tool_call_id is not None):
            raise ValueError("a message of role 'tool' needs 'tool_call_id', and no other has one")
        self.to_message()
        return self

    def to_message(self) -> Message:
        """The turn as the chat layer knows it."""
        role = "system" if self.role == "developer" else self.role
        content = self.content or ""
        if isinstance(content, list):
            content = "".join(part.text or "" for part in content)
        return Message(role, content, tuple(call.to_call() for call in self.tool_calls or ()), self.tool_call_id)


class ChatCompletionRequest(GenerationRequest):
    """Body of a chat completion."""

    messages: list[ChatMessage] = Field(
        min_length=1,
        description="The conversation, the oldest turn first.",
        examples=[[{"role": "user", "content": "¿Cuál es la capital de Francia?"}]],
    )
    logprobs: bool | None = Field(None, description="Tell the logprob of each token of the answer.")
    top_logprobs: int | None = Field(
        None, ge=0, le=MAX_TOP, description="And those of the likeliest; needs `logprobs`."
    )
    tools: list[ToolDefinition] | None = Field(None, description="Functions that the model may call.")
    tool_choice: ToolChoice | None = Field(
        None, description="Whether it may call one (`auto`), must (`required`, or a name), or may not (`none`)."
    )
    parallel_tool_calls: bool | None = Field(None, description="`false`: at most one call in an answer.")
    normalize: bool | None = Field(None, description=NORMALIZE)
    reasoning_effort: Effort | None = Field(None, description="How much a reasoning model thinks before it answers.")
    chat_template_kwargs: dict[str, Any] | None = Field(
        None, description="More variables for the model's chat template, such as `enable_thinking`."
    )
    continue_final_message: bool | None = Field(
        None, description="The last message, an answer, goes on; the new text alone is given."
    )
    add_generation_prompt: bool | None = Field(
        None, description="`false`: no answer is begun behind the last message; so too where that goes on."
    )

    source: str | None = Field(None, description="Of a translator: the language of what the user said last.")
    target: str | None = Field(None, description="Of a translator: the language to translate it to.")

    @model_validator(mode="after")
    def _refuse_top_alone(self) -> ChatCompletionRequest:
        if self.top_logprobs and not self.logprobs:
            raise refusal("top_logprobs", "needs 'logprobs': true")
        return self

    @model_validator(mode="after")
    def _refuse_both_openings(self) -> ChatCompletionRequest:
        if self.continue_final_message and self.add_generation_prompt:
            raise refusal("add_generation_prompt", "does not go with 'continue_final_message': true")
        return self

    @property
    def opening(self) -> Opening:
        """What the prompt ends with."""
        if self.continue_final_message:
            return "last"
        return "none" if self.add_generation_prompt is False else "answer"

    def conversation(self) -> list[Message]:
        """The turns as the chat layer knows them. Raises as `name_results` does."""
        return name_results([turn.to_message() for turn in self.messages], param="messages")

    def tool_use(self, served: tuple[Tool, ...] = ()) -> ToolUse:
        """What the request says of its own tools and of those that the server runs. Raises as `to_use` does."""
        own = tuple(tool.function.to_tool() for tool in self.tools or ())
        return to_use((*own, *served), self.tool_choice, is_parallel=self.parallel_tool_calls)

    @property
    def num_logprobs(self) -> int | None:
        """How many of the likeliest tokens are told of; None where no logprobs are."""
        return (self.top_logprobs or 0) if self.logprobs else None

    def template_variables(self, template: ChatTemplate) -> dict[str, Any]:
        """What `template` is told beside the messages.

        Raises:
            InvalidRequest: an effort is asked for of a model that does not reason.
        """
        asked = effort_variables(self.reasoning_effort, template, param="reasoning_effort")
        return asked | (self.chat_template_kwargs or {})


class AnswerMessage(BaseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallBody] | None = None


class ChatChoice(BaseModel):
    """An answer and why it ended."""

    index: int = 0
    message: AnswerMessage
    logprobs: ChatLogprobs | None = None
    finish_reason: ChatFinishReason

    @classmethod
    def from_pieces(cls, pieces: Sequence[ChatChunkChoice]) -> ChatChoice:
        """The answer that a streaming client puts together; the last piece says why it ended."""
        reasoning = "".join(piece.delta.reasoning_content or "" for piece in pieces)
        tokens = [token for piece in pieces if piece.logprobs is not None for token in piece.logprobs.content]
        calls = ToolCallBody.from_deltas([delta for piece in pieces for delta in piece.delta.tool_calls or ()])
        content = "".join(piece.delta.content or "" for piece in pieces)
        reason = pieces[-1].finish_reason
        assert reason is not None  # noqa: S101  # the last piece has it
        return cls(
            index=pieces[0].index,
            message=AnswerMessage(
                content=content if content or not calls else None,
                reasoning_content=reasoning or None,
                tool_calls=calls or None,
            ),
            logprobs=ChatLogprobs(content=tokens) if tokens else None,
            finish_reason=reason,
        )


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
    reasoning_content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None

    @model_serializer(mode="wrap")
    def _only_what_is_new(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


class ChatChunkChoice(BaseModel):
    """A chunk's piece of an answer."""

    index: int = 0
    delta: ChatDelta
    logprobs: ChatLogprobs | None = None
    finish_reason: ChatFinishReason | None = None


class ChatCompletionChunk(BaseModel):
    """One server-sent event of a streamed answer."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChatChunkChoice]
    usage: UsageBody | None = None
