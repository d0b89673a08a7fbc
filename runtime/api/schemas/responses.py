"""What `/v1/responses` is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from runtime.api.conversation import Effort
from runtime.api.schemas.common import (
    STREAM,
    TEMPERATURE,
    TOP_P,
    JsonSchema,
    Number,
    ignored_header,
    refusal,
    refuse_unsupported,
    schema_constraint,
)
from runtime.api.schemas.language import LanguageFields
from runtime.api.schemas.logprobs import MAX_TOP
from runtime.api.schemas.tools import NORMALIZE, FunctionDefinition, FunctionName
from runtime.chat.template import Message
from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.use import ToolUse
from runtime.config import SamplingDefaults
from runtime.engine.constraints import Constraint
from runtime.engine.sampling import SamplingParams

_DEFAULTS = SamplingDefaults()
_TEXT_PARTS = ("input_text", "output_text")
# The items that are taken, and what each must have.
_NEEDED = {
    "message": ("role", "content"),
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
    "reasoning": (),
}
_LOGPROBS = "message.output_text.logprobs"
# What may be included beside the answer; the second asks for nothing here, where no reasoning is hidden.
_INCLUDED = {_LOGPROBS, "reasoning.encrypted_content"}
# As OpenAI has it.
_MAX_PAIRS, _MAX_KEY, _MAX_VALUE = 16, 64, 512

# Fields that would change the answer and cannot be honoured, with the values that ask for nothing.
UNSUPPORTED: dict[str, tuple[object, ...]] = {
    "background": (None, False),
    "context_management": (None, []),
    "conversation": (None,),
    "moderation": (None,),
    "prompt": (None,),
}


class InputPart(BaseModel):
    """A part of a message; only text is taken."""

    model_config = ConfigDict(strict=True)

    type: str = Field(description="`input_text`, or `output_text` in an earlier answer.")
    text: str | None = Field(None, description="The text of the part.")

    @model_validator(mode="after")
    def _only_text(self) -> InputPart:
        if self.type not in _TEXT_PARTS:
            raise ValueError(f"parts of type '{self.type}' are not supported by this server, only 'input_text'")
        if self.text is None:
            raise ValueError(f"a part of type '{self.type}' needs 'text'")
        return self


class InputItem(BaseModel):
    """A message, a call, its result, or reasoning, which is taken and not shown to the model again."""

    model_config = ConfigDict(strict=True)

    type: str = Field("message", description="`message`, `reasoning`, `function_call` or `function_call_output`.")
    role: Literal["system", "developer", "user", "assistant"] | None = Field(None, description="Who speaks.")
    content: str | list[InputPart] | None = Field(None, description="What is said: a text, or parts of one.")
    call_id: str | None = Field(None, description="Of a call, and of its result.")
    name: str | None = Field(None, description="Of a call: the function's name.")
    arguments: str | None = Field(None, description="Of a call: its arguments, as JSON.")
    output: str | list[InputPart] | None = Field(None, description="The result of a call.")

    @model_validator(mode="before")
    @classmethod
    def _forget_reasoning(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("type") == "reasoning":
            return {"type": "reasoning"}
        return value

    @model_validator(mode="after")
    def _whole(self) -> InputItem:
        needed = _NEEDED.get(self.type)
        if needed is None:
            raise ValueError(f"items of type '{self.type}' are not supported by this server, only {', '.join(_NEEDED)}")
        if any(getattr(self, name) is None for name in needed):
            raise ValueError(f"an item of type '{self.type}' needs {' and '.join(map(repr, needed))}")
        self.to_messages()
        return self

    def to_messages(self) -> list[Message]:
        """The turn as the chat layer knows it; none for reasoning."""
        match self.type:
            case "reasoning":
                return []
            case "function_call":
                call = ToolCall.checked(self.call_id or "", self.name or "", self.arguments or "")
                return [Message("assistant", "", (call,))]
            case "function_call_output":
                return [Message("tool", _text(self.output), tool_call_id=self.call_id)]
            case _:
                return [Message("system" if self.role == "developer" else self.role or "user", _text(self.content))]


class FunctionTool(FunctionDefinition):
    """A function that the model may call."""

    type: Literal["function"] = Field(description="There is no other.")


class FunctionChoice(FunctionName):
    """The function that it must call."""

    type: Literal["function"] = Field(description="There is no other.")


class AllowedFunctions(BaseModel):
    """The functions that it may call, or of which it must call one."""

    model_config = ConfigDict(strict=True)

    type: Literal["allowed_tools"] = Field(description="There is no other.")
    mode: Literal["auto", "required"] = Field(description="`required`: one of them must be called.")
    tools: list[FunctionChoice] = Field(description="Those that may be called.")


class TextFormat(JsonSchema):
    """What the answer must be: any text, any JSON object, or JSON that matches a schema."""

    type: Literal["text", "json_object", "json_schema"] = Field(description="Any text, any JSON object, or a schema.")

    @model_validator(mode="after")
    def _schema_where_it_belongs(self) -> TextFormat:
        if (self.type == "json_schema") != ("schema_" in self.model_fields_set):
            raise ValueError("a format has a 'schema' where its type is 'json_schema', and only there")
        return self

    def constraint(self) -> Constraint | None:
        """What the answer must match, if anything."""
        if self.type == "text":
            return None
        return schema_constraint(self.schema_ if self.type == "json_schema" else {"type": "object"})


class TextConfig(BaseModel):
    """What the text of the answer must be."""

    model_config = ConfigDict(strict=True)

    format: TextFormat | None = Field(None, description="The form of the text.")


class ReasoningConfig(BaseModel):
    """How much a reasoning model thinks before it answers."""

    model_config = ConfigDict(strict=True)

    effort: Effort | None = Field(None, description="How much.")


class ResponseRequest(LanguageFields):
    """Body of a response. Unknown fields are ignored, and named in the header `x-demotic-ignored`."""

    model_config = ConfigDict(strict=True, extra="allow")

    model: str | None = Field(None, description="A served model's name, or MODEL:ADAPTER; without it, the first one.")
    adapter: str | None = Field(None, description="One of the model's adapters.")
    input: str | list[InputItem] = Field(
        description="The user's message, or a list of messages.", examples=["¿Cuál es la capital de Francia?"]
    )
    instructions: str | None = Field(None, description="System message of this answer alone.")
    max_output_tokens: int | None = Field(None, ge=1, description="Longest answer, reasoning and all.")
    temperature: Number | None = Field(None, ge=0, le=2, description=TEMPERATURE)
    top_p: Number | None = Field(None, ge=0, le=1, description=TOP_P)
    include: list[str] | None = Field(None, description=f"`{_LOGPROBS}`: tell the logprob of each token.")
    top_logprobs: int | None = Field(None, ge=0, le=MAX_TOP, description="And those of so many of the likeliest.")
    text: TextConfig | None = Field(None, description="What the answer must be.")
    reasoning: ReasoningConfig | None = Field(None, description="How much a reasoning model thinks.")
    stream: bool | None = Field(False, description=STREAM)
    store: bool | None = Field(None, description="Keep the answer; without it, kept where the server keeps any.")
    previous_response_id: str | None = Field(None, description="The kept answer whose conversation goes on.")
    metadata: dict[str, str] | None = Field(None, description="Up to 16 pairs, which come back with the answer.")
    truncation: str | None = Field(None, description="Only `disabled`: nothing is left out of a conversation.")
    tools: list[FunctionTool] | None = Field(None, description="Functions that the model may call.")
    tool_choice: Literal["none", "auto", "required"] | FunctionChoice | AllowedFunctions | None = Field(
        None, description="Whether it may call one (`auto`), must (`required`, or a name), or may not (`none`)."
    )
    parallel_tool_calls: bool | None = Field(None, description="`false`: at most one call in an answer.")
    normalize: bool | None = Field(None, description=NORMALIZE)
    user: str | None = Field(None, description="Taken without effect; comes back with the answer.")

    @model_validator(mode="after")
    def _refuse_unsupported(self) -> ResponseRequest:
        refuse_unsupported(self.model_extra, UNSUPPORTED)
        if not self.messages():
            raise refusal("input", "must have at least one message")
        for name in self.include or ():
            if name not in _INCLUDED:
                raise refusal("include", f"can only be {' and '.join(sorted(_INCLUDED))}, not '{name:.64}'")
        if self.top_logprobs and self.num_logprobs is None:
            raise refusal("top_logprobs", f"needs 'include': ['{_LOGPROBS}']")
        if self.truncation not in {None, "disabled"}:
            raise refusal("truncation", "can only be 'disabled' with this server")
        pairs = (self.metadata or {}).items()
        if len(pairs) > _MAX_PAIRS or any(len(key) > _MAX_KEY or len(value) > _MAX_VALUE for key, value in pairs):
            limits = f"{_MAX_PAIRS} pairs, with keys of {_MAX_KEY} and values of {_MAX_VALUE} characters"
            raise refusal("metadata", f"may have at most {limits}")
        return self

    @property
    def response_headers(self) -> dict[str, str]:
        """Headers of the answer: the names of the fields that this server does not know."""
        return ignored_header(set(self.model_extra or {}) - set(UNSUPPORTED))

    @property
    def num_logprobs(self) -> int | None:
        """How many of the likeliest tokens are told of; None where no logprobs are."""
        return (self.top_logprobs or 0) if _LOGPROBS in (self.include or ()) else None

    def messages(self) -> list[Message]:
        """The new turns of the conversation; what the model said and the calls that followed are one turn."""
        if isinstance(self.input, str):
            return [Message("user", self.input)]
        turns: list[Message] = []
        for message in (message for item in self.input for message in item.to_messages()):
            if message.tool_calls and turns and turns[-1].role == "assistant":
                turns[-1] = replace(turns[-1], tool_calls=turns[-1].tool_calls + message.tool_calls)
            else:
                turns.append(message)
        return turns

    def tool_use(self) -> ToolUse:
        """What the request says of tools. Raises as `ToolUse.checked` does."""
        tools = tuple(tool.to_tool() for tool in self.tools or ())
        parallel = self.parallel_tool_calls is not False
        match self.tool_choice:
            case FunctionChoice(name=name):
                return ToolUse.checked(tools, "required", named=name, is_parallel=parallel)
            case AllowedFunctions() as allowed:
                among = tuple(tool.name for tool in allowed.tools)
                return ToolUse.checked(tools, allowed.mode, among=among, is_parallel=parallel)
            case choice:
                return ToolUse.checked(tools, choice or "auto", is_parallel=parallel)

    def sampling(self) -> SamplingParams:
        """The engine's sampling parameters, with its defaults where the request says nothing."""
        return SamplingParams(
            temperature=_DEFAULTS.temperature if self.temperature is None else self.temperature,
            top_p=_DEFAULTS.top_p if self.top_p is None else self.top_p,
        )

    def constraint(self) -> Constraint | None:
        """What the answer must match, if anything."""
        return self.text.format.constraint() if self.text and self.text.format else None

    @property
    def effort(self) -> Effort | None:
        """How much the model is to reason."""
        return self.reasoning.effort if self.reasoning else None


def _text(content: str | list[InputPart] | None) -> str:
    return "".join(part.text or "" for part in content) if isinstance(content, list) else content or ""
