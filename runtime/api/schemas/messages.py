"""What `/v1/messages` is asked: Anthropic's shape of a chat."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from runtime.api.conversation import effort_variables, name_results
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
from runtime.api.schemas.language import LanguageFields
from runtime.api.schemas.tools import NORMALIZE, to_tool
from runtime.chat.reasoning import marks_of
from runtime.chat.template import ChatTemplate, Message
from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.use import Choice, ToolUse
from runtime.config import SamplingDefaults
from runtime.engine.constraints import Constraint
from runtime.engine.sampling import SamplingParams
from runtime.errors import InvalidRequest

_DEFAULTS = SamplingDefaults()
_MAX_STOPS = 64
# What an earlier answer thought, which is taken and not shown to the model again.
_REASONING_BLOCKS = ("thinking", "redacted_thinking")
_CHOICES: dict[str, Choice] = {"auto": "auto", "none": "none", "any": "required", "tool": "required"}

# Fields that would change the answer and cannot be honoured, with the values that ask for nothing.
UNSUPPORTED: dict[str, tuple[object, ...]] = {
    "container": (None,),
    "context_management": (None,),
    "mcp_servers": (None, []),
}


class TextOnly(BaseModel):
    """A part of a text."""

    model_config = ConfigDict(strict=True)

    type: str = Field(description="`text`, or `thinking` in an earlier answer.")
    text: str | None = Field(default=None, description="The text of the block.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        taken = self._taken()
        if self.type not in taken:
            raise ValueError(f"blocks of type '{self.type}' are not supported by this server, only {', '.join(taken)}")
        for name in taken[self.type]:
            if getattr(self, name) is None:
                raise ValueError(f"a block of type '{self.type}' needs '{name}'")
        return self

    def _taken(self) -> dict[str, tuple[str, ...]]:
        """The types that are taken, and what a block of each must have."""
        return {"text": ("text",)}


class Block(TextOnly):
    """A part of a message: text, a call, its result, or the reasoning of an earlier answer."""

    id: str | None = Field(default=None, description="Of a call: its own name.")
    name: str | None = Field(default=None, description="Of a call: the tool's name.")
    input: dict[str, Any] | None = Field(default=None, description="Of a call: its arguments.")
    tool_use_id: str | None = Field(default=None, description="Of a result: the call that it belongs to.")
    content: str | list[TextOnly] | None = Field(default=None, description="Of a result: what came out.")
    is_error: bool | None = Field(default=None, description="Of a result: whether the tool failed.")

    def _taken(self) -> dict[str, tuple[str, ...]]:
        blocks: dict[str, tuple[str, ...]] = {"tool_use": ("id", "name", "input"), "tool_result": ("tool_use_id",)}
        return super()._taken() | blocks | dict.fromkeys(_REASONING_BLOCKS, ())

    def to_result(self) -> Message:
        """A result as the chat layer knows it."""
        text = _text(self.content or "")
        return Message("tool", f"Error: {text}" if self.is_error else text, tool_call_id=self.tool_use_id)


class CustomTool(BaseModel):
    """A tool that the model may call."""

    model_config = ConfigDict(strict=True)

    type: Literal["custom"] | None = Field(None, description="There is no other.")
    name: str = Field(description="What the tool is called.")
    description: str | None = Field(None, description="What it does, for the model.")
    input_schema: dict[str, Any] = Field(description="JSON schema of its arguments.")
    strict: bool | None = Field(None, description="Hold the arguments to the schema.")


class ToolChoice(BaseModel):
    """Whether it may call one (`auto`), must (`any`), must call one of that name (`tool`), or may not (`none`)."""

    model_config = ConfigDict(strict=True)

    type: Literal["auto", "any", "tool", "none"] = Field(description="Whether a tool is called.")
    name: str | None = Field(default=None, description="The tool that must be called.")
    disable_parallel_tool_use: bool | None = Field(default=None, description="At most one call in an answer.")

    @model_validator(mode="after")
    def _name_where_it_belongs(self) -> ToolChoice:
        if (self.type == "tool") != (self.name is not None):
            raise ValueError("a choice has a 'name' where its type is 'tool', and only there")
        return self


class Turn(BaseModel):
    """One turn."""

    model_config = ConfigDict(strict=True)

    role: Literal["user", "assistant"] = Field(description="Who speaks.")
    content: str | list[Block] = Field(description="What is said: a text, or blocks of it.")

    @model_validator(mode="after")
    def _blocks_where_they_belong(self) -> Turn:
        stranger = {"user": "tool_use", "assistant": "tool_result"}[self.role]
        if any(block.type == stranger for block in self.blocks):
            raise ValueError(f"a message of role '{self.role}' has no blocks of type '{stranger}'")
        return self

    @property
    def blocks(self) -> list[Block]:
        """Its parts."""
        return [Block(type="text", text=self.content)] if isinstance(self.content, str) else self.content


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


class CountRequest(LanguageFields):
    """Body of a question for a prompt's length. Unknown fields are ignored, and named in `x-demotic-ignored`."""

    model_config = ConfigDict(strict=True, extra="allow")

    model: str | None = Field(None, description="A served model's name, or MODEL:ADAPTER; without it, the first one.")
    messages: list[Turn] = Field(
        min_length=1,
        description="The conversation, the oldest turn first; the last one is the user's.",
        examples=[[{"role": "user", "content": "¿Cuál es la capital de Francia?"}]],
    )
    system: str | list[TextOnly] | None = Field(None, description="What the model is told before the conversation.")
    tools: list[CustomTool] | None = Field(None, description="Tools that the model may call.")
    tool_choice: ToolChoice | None = Field(None, description="Whether it may, must or may not call one.")
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
        """The turns as the chat layer knows them: the system text first, and neighbours of one role as one turn.

        Raises as `name_results` does.
        """
        turns = [Message("system", _text(self.system))] if self.system else []
        for role, group in groupby(self.messages, key=lambda turn: turn.role):
            blocks = [block for turn in group for block in turn.blocks]
            text = "\n".join(block.text for block in blocks if block.text is not None)
            calls = [
                ToolCall(block.id or "", block.name or "", json.dumps(block.input, ensure_ascii=False))
                for block in blocks
                if block.type == "tool_use"
            ]
            results = [block.to_result() for block in blocks if block.type == "tool_result"]
            turns += results
            if role == "assistant" or text or not results:
                turns.append(Message(role, text, tuple(calls)))
        return name_results(turns, param="messages")

    def tool_use(self) -> ToolUse:
        """What the request says of tools. Raises as `ToolUse.checked` does."""
        tools = tuple(
            to_tool(tool.name, tool.description, tool.input_schema, is_strict=tool.strict) for tool in self.tools or ()
        )
        choice = self.tool_choice or ToolChoice(type="auto")
        return ToolUse.checked(
            tools, _CHOICES[choice.type], named=choice.name, is_parallel=not choice.disable_parallel_tool_use
        )

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
    normalize: bool | None = Field(None, description=NORMALIZE)
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


def _text(content: str | list[TextOnly]) -> str:
    return content if isinstance(content, str) else "\n".join(block.text for block in content if block.text is not None)
