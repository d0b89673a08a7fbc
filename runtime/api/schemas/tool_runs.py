"""What an answer of `/v1/chat/completions` says of the tools that the server ran for it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, SerializerFunctionWrapHandler, model_serializer

from runtime.api.schemas.chat import ChatCompletion, ChatCompletionChunk


class ToolRun(BaseModel):
    """A call, with the arguments that the tool got, and what became of it."""

    id: str
    name: str
    arguments: dict[str, Any]
    changes: list[dict[str, Any]] = Field(
        description="Each with `path`, a JSON pointer into the arguments, `from`, `to` and the `rule`."
    )
    outcome: Literal["running", "answered", "failed", "denied"]
    result: str | None = None
    error: str | None = None
    seconds: float | None = None

    @model_serializer(mode="wrap")
    def _only_what_is_there(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


class ToolRuns(BaseModel):
    """Calls in the order in which they were run."""

    tool_runs: list[ToolRun]


class ToolRunCompletion(ChatCompletion):
    """The whole answer, with the calls on the way to it."""

    demotic: ToolRuns


class ToolRunChunk(ChatCompletionChunk):
    """A chunk that tells of a call: that it is running, or what became of it."""

    demotic: ToolRuns
