"""Tools and calls in the shape of OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from runtime.chat.tools.call import Tool, ToolCall
from runtime.chat.tools.use import ToolUse

# A field of all requests with tools.
NORMALIZE = (
    "`false`: arguments of calls stay as the model wrote them, whatever digits, names or calendars these are in."
)


class FunctionDefinition(BaseModel):
    """What the model is told of a function; `parameters` is a JSON schema, without which it takes none."""

    model_config = ConfigDict(strict=True)

    name: str = Field(description="What the function is called.")
    description: str | None = Field(None, description="What it does, for the model.")
    parameters: dict[str, Any] | None = Field(
        None, description="JSON schema of its arguments; without it, it takes none."
    )
    strict: bool | None = Field(None, description="Hold the arguments to the schema.")

    def to_tool(self) -> Tool:
        """The function as the chat layer knows it."""
        return to_tool(self.name, self.description, self.parameters, is_strict=self.strict)


class ToolDefinition(BaseModel):
    """A tool."""

    model_config = ConfigDict(strict=True)

    type: Literal["function"] = Field(description="There is no other.")
    function: FunctionDefinition = Field(description="The function.")


class FunctionName(BaseModel):
    """The name of a function."""

    model_config = ConfigDict(strict=True)

    name: str = Field(description="What the function is called.")


class NamedTool(BaseModel):
    """One of the tools."""

    model_config = ConfigDict(strict=True)

    type: Literal["function"] = Field(description="There is no other.")
    function: FunctionName = Field(description="The function.")


class AllowedTools(BaseModel):
    """Some of the tools, and whether one of them must be called."""

    model_config = ConfigDict(strict=True)

    mode: Literal["auto", "required"] = Field(description="`required`: one of them must be called.")
    tools: list[NamedTool] = Field(description="Those that may be called.")


class AllowedChoice(BaseModel):
    """A choice among some of the tools."""

    model_config = ConfigDict(strict=True)

    type: Literal["allowed_tools"] = Field(description="There is no other.")
    allowed_tools: AllowedTools = Field(description="The tools, and whether one must be called.")


ToolChoice = Literal["none", "auto", "required"] | NamedTool | AllowedChoice


class FunctionCall(BaseModel):
    """A function and its arguments, which are JSON text."""

    model_config = ConfigDict(strict=True)

    name: str = Field(description="What the function is called.")
    arguments: str = Field(description="Its arguments, as JSON.")


class CallReport(BaseModel):
    """What this server says of a call beside OpenAI's fields: the changes that its arguments went through."""

    changes: list[dict[str, Any]] = Field(
        description="Each with `path`, a JSON pointer into the arguments, `from`, `to` and the `rule`."
    )

    @classmethod
    def of_call(cls, call: ToolCall) -> CallReport | None:
        """The report, where there is something to say."""
        changes = [
            {"path": change.path, "from": change.before, "to": change.after, "rule": change.rule}
            for change in call.changes
        ]
        return cls(changes=changes) if changes else None


class Reported(BaseModel):
    """A shape of a call that tells the report where there is one."""

    demotic: CallReport | None = Field(
        default=None, description="What this server did to the arguments of a call; within a request it has no effect."
    )

    @model_serializer(mode="wrap")
    def _only_where_there_is_one(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        told: dict[str, Any] = handler(self)
        if self.demotic is None:
            del told["demotic"]
        return told


class ToolCallBody(Reported):
    """A call."""

    model_config = ConfigDict(strict=True)

    id: str = Field(description="The call's own name, by which its result refers to it.")
    type: Literal["function"] = Field(default="function", description="There is no other.")
    function: FunctionCall = Field(description="The function and its arguments.")

    @classmethod
    def from_deltas(cls, deltas: Sequence[ToolCallDelta]) -> list[ToolCallBody]:
        """The calls that a streaming client puts together."""
        calls: list[ToolCallBody] = []
        for delta in deltas:
            if delta.id is not None:
                calls.append(cls(id=delta.id, function=FunctionCall(name=delta.function.name or "", arguments="")))
            calls[delta.index].function.arguments += delta.function.arguments
            calls[delta.index].demotic = delta.demotic
        return calls

    def to_call(self) -> ToolCall:
        """The call as the chat layer knows it."""
        return ToolCall.checked(self.id, self.function.name, self.function.arguments)


class FunctionDelta(BaseModel):
    """What a chunk adds to a call: first the name, then the arguments."""

    name: str | None = None
    arguments: str

    @model_serializer(mode="wrap")
    def _only_what_is_new(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


class ToolCallDelta(BaseModel):
    """What a chunk says of the call `index`; its first has the id and the type, and its last the report."""

    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionDelta
    demotic: CallReport | None = None

    @model_serializer(mode="wrap")
    def _only_what_is_new(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}

    @classmethod
    def of_call(cls, index: int, call: ToolCall) -> list[ToolCallDelta]:
        """The two that a whole call is told in."""
        return [
            cls(index=index, id=call.id, type="function", function=FunctionDelta(name=call.name, arguments="")),
            cls(
                index=index,
                function=FunctionDelta(arguments=call.arguments),
                demotic=CallReport.of_call(call),
            ),
        ]


def to_tool(name: str, description: str | None, parameters: dict[str, Any] | None, *, is_strict: bool | None) -> Tool:
    """A tool as the chat layer knows it."""
    return Tool(name, description or "", parameters or {"type": "object", "properties": {}}, bool(is_strict))


def to_use(known: tuple[Tool, ...], choice: ToolChoice | None, *, is_parallel: bool | None) -> ToolUse:
    """What a request says of the tools that there are.

    Raises:
        InvalidRequest: it cannot be honoured.
    """
    parallel = is_parallel is not False
    match choice:
        case NamedTool():
            return ToolUse.checked(known, "required", named=choice.function.name, is_parallel=parallel)
        case AllowedChoice(allowed_tools=allowed):
            names = tuple(tool.function.name for tool in allowed.tools)
            return ToolUse.checked(known, allowed.mode, among=names, is_parallel=parallel)
        case _:
            return ToolUse.checked(known, choice or "auto", is_parallel=parallel)
