"""What `/v1/messages` is asked: Anthropic's shape of a chat."""

from __future__ import annotations

from itertools import groupby
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from runtime.api.conversation import effort_variables
from runtime.api.schemas.common import (
    STREAM,
    TEMPERATURE,
    TOP_P,
    Number,
    ignored_header,
    refusal,
    refuse_unsupported,
    schema_constraint,
)
from runtime.chat.reasoning import marks_of
from runtime.chat.template import ChatTemplate, Message
from runtime.config import SamplingDefaults
from runtime.engine.constraints import Constraint
from runtime.engine.sampling import SamplingParams
from runtime.errors import InvalidRequest

_DEFAULTS = SamplingDefaults()
_MAX_STOPS = 64
# What an earlier answer thought, which is taken and not shown to the model again.
_REASONING_BLOCKS = ("thinking", "redacted_thinking")

# Fields that would change the answer and cannot be honoured, with the values that ask for nothing.
UNSUPPORTED: dict[str, tuple[object, ...]] = {
    "container": (None,),
    "context_management": (None,),
    "mcp_servers": (None, []),
    "tool_choice": (None, {"type": "auto"}, {"type": "none"}),
    "tools": (None, []),
}


class Block(BaseModel):
    """A part of a message; only text is taken, and the reasoning of earlier answers."""

    model_config = ConfigDict(strict=True)

    type: str = Field(description="`text`, or `thinking` in an earlier answer.")
    text: str | None = Field(None, description="The text of the block.")

    @model_validator(mode="after")
    def _only_text(self) -> Block:
        if self.type not in {"text", *_REASONING_BLOCKS}:
            raise ValueError(f"blocks of type '{self.type}' are not supported by this server, only 'text'")
        if self.type == "text" and self.text is None:
            raise ValueError("a block of type 'text' needs 'text'")
        return self


class Turn(BaseModel):
    """One turn."""

    model_config = ConfigDict(strict=True)

    role: Literal["user", "assistant"] = Field(description="Who speaks.")
    content: str | list[Block] = Field(description="What is said: a text, or blocks of it.")


class ThinkingConfig(BaseModel):
    """Whether a reasoning model thinks before it answers; "adaptive" leaves it to the model."""

    model_config = ConfigDict(strict=True)

    type: Literal["enabled", "disabled", "adaptive"] = Field(description="`adaptive` leaves it to the model.")
    budget_tokens: int | None = Field(None, ge=1, description="Taken, and not kept to.")
    display: Literal["summarized"] | None = Field(None, description="Taken without effect: nothing is hidden.")


class JsonFormat(BaseModel):
    """JSON that matches a schema."""

    model_config = ConfigDict(strict=True)

    type: Literal["json_schema"] = Field(description="There is no other.")
    schema_: dict[str, Any] = Field(alias="schema", description="The JSON schema that the answer must match.")


class OutputConfig(BaseModel):
    """What the answer must be, and how much a reasoning model thinks before it."""

    model_config = ConfigDict(strict=True)

    effort: Literal["low", "medium", "high"] | None = Field(None, description="How much a reasoning model thinks.")
    format: JsonFormat | None = Field(None, description="The form of the answer.")


class CountRequest(BaseModel):
    """Body of a question for a prompt's length. Unknown fields are ignored, and named in `x-demotic-ignored`."""

    model_config = ConfigDict(strict=True, extra="allow")

    model: str | None = Field(None, description="A served model's name, or MODEL:ADAPTER; without it, the first one.")
    messages: list[Turn] = Field(
        min_length=1,
        description="The conversation, the oldest turn first; the last one is the user's.",
        examples=[[{"role": "user", "content": "¿Cuál es la capital de Francia?"}]],
    )
    system: str | list[Block] | None = Field(None, description="What the model is told before the conversation.")
    thinking: ThinkingConfig | None = Field(None, description="Whether a reasoning model thinks.")
    output_config: OutputConfig | None = Field(None, description="What the answer must be.")

    @model_validator(mode="after")
    def _refuse_unsupported(self) -> CountRequest:
        refuse_unsupported(self.model_extra, UNSUPPORTED)
        if self.messages[-1].role != "user":
            raise refusal("messages", "must end with one of the user: no answer can be begun for the model")
        return self

    @property
    def response_headers(self) -> dict[str, str]:
        """Headers of the answer: the names of the fields that this server does not know or cannot keep to."""
        ignored = set(self.model_extra or {}) - set(UNSUPPORTED)
        if self.thinking is not None and self.thinking.budget_tokens is not None:
            ignored.add("thinking.budget_tokens")
        return ignored_header(ignored)

    def conversation(self) -> list[Message]:
        """The turns as the chat layer knows them: the system text first, and neighbours of one role as one turn."""
        turns = [
            Message(role, "\n".join(_text(turn.content) for turn in group))
            for role, group in groupby(self.messages, key=lambda turn: turn.role)
        ]
        return [Message("system", _text(self.system)), *turns] if self.system else turns

    def template_variables(self, template: ChatTemplate) -> dict[str, Any]:
        """What `template` is told beside the messages.

        Raises:
            InvalidRequest: reasoning is asked for of a model that does not reason.
        """
        effort = self.output_config.effort if self.output_config else None
        variables = effort_variables(effort, template, param="output_config.effort")
        if self.thinking is None or self.thinking.type == "adaptive":
            return variables
        if self.thinking.type == "enabled" and marks_of(template.source) is None:
            raise InvalidRequest("thinking: this model does not reason.", param="thinking")
        return variables | {"enable_thinking": self.thinking.type == "enabled"}


class MessageRequest(CountRequest):
    """Body of a message."""

    adapter: str | None = Field(None, description="One of the model's adapters.")
    max_tokens: int = Field(ge=1, description="Longest answer, reasoning and all.")
    metadata: dict[str, Any] | None = Field(None, description="Taken without effect.")
    stop_sequences: list[str] | None = Field(
        None, max_length=_MAX_STOPS, description="Strings that end the answer; not part of it."
    )
    stream: bool | None = Field(False, description=STREAM)
    temperature: Number | None = Field(None, ge=0, le=1, description=TEMPERATURE)
    top_k: int | None = Field(None, ge=0, description="Choose among the k likeliest tokens; 0: all.")
    top_p: Number | None = Field(None, ge=0, le=1, description=TOP_P)

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        return tuple(stop for stop in self.stop_sequences or () if stop)

    def sampling(self) -> SamplingParams:
        """The engine's sampling parameters, with its defaults where the request says nothing."""
        return SamplingParams(
            temperature=_DEFAULTS.temperature if self.temperature is None else self.temperature,
            top_k=_DEFAULTS.top_k if self.top_k is None else self.top_k,
            top_p=_DEFAULTS.top_p if self.top_p is None else self.top_p,
        )

    def constraint(self) -> Constraint | None:
        """What the answer must match, if anything."""
        form = self.output_config.format if self.output_config else None
        return None if form is None else schema_constraint(form.schema_)


def _text(content: str | list[Block]) -> str:
    return content if isinstance(content, str) else "\n".join(block.text for block in content if block.text is not None)
