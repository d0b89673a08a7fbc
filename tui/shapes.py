"""OpenAI's shapes, as far as the chat speaks them: what it sends, and what it reads of what comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from runtime.chat.template import Message
from runtime.chat.tools.call import Change, Rule
from runtime.chat.tools.dialects.writing import openai_tool
from runtime.chat.tools.use import ToolUse
from runtime.config import RunConfig


class FunctionDelta(msgspec.Struct):
    """What a chunk adds to a call."""

    name: str | None = None
    arguments: str | None = None


class ChangeBody(msgspec.Struct, rename={"before": "from", "after": "to"}):
    """A value that demotic's server has normalised."""

    path: str
    before: Any
    after: Any
    rule: Rule

    def to_change(self) -> Change:
        """The same as the chat layer knows it."""
        return Change(self.path, self.before, self.after, self.rule)


class CallReport(msgspec.Struct):
    """What demotic's server says of a call beside OpenAI's fields."""

    changes: list[ChangeBody] = []  # msgspec copies it


class CallDelta(msgspec.Struct):
    """What a chunk says of the call `index`; its first has the id and the name."""

    index: int = 0
    id: str | None = None
    function: FunctionDelta = msgspec.field(default_factory=FunctionDelta)
    demotic: CallReport | None = None


class Delta(msgspec.Struct):
    """What a chunk adds to an answer."""

    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[CallDelta] | None = None


class Choice(msgspec.Struct):
    """A chunk's piece of an answer."""

    delta: Delta = msgspec.field(default_factory=Delta)
    finish_reason: str | None = None


class TextUsage(msgspec.Struct, frozen=True):
    """What demotic's server says of the text of an answer: languages as `bul_Cyrl`, and tokens of context left."""

    prompt_language: str | None = None
    answer_language: str | None = None
    blocked_tokens: int | None = None
    context_left: int | None = None


class PromptTokens(msgspec.Struct, frozen=True):
    """Tokens of a prompt; `cached_tokens` are those that had been computed before."""

    cached_tokens: int | None = None


class Usage(msgspec.Struct):
    """Tokens of an answer."""

    completion_tokens: int = 0
    prompt_tokens: int = 0
    prompt_tokens_details: PromptTokens | None = None
    demotic: TextUsage | None = None

    @property
    def num_cached_tokens(self) -> int | None:
        """Those of the prompt that had been computed before; None where the endpoint does not tell."""
        return self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details is not None else None


class Error(msgspec.Struct):
    """A fault, in the place of an answer or in the middle of one. Some endpoints put a number in `code`."""

    message: str = ""
    code: str | int | None = None
    type: str | None = None


class Chunk(msgspec.Struct):
    """One event of a streamed answer."""

    choices: list[Choice] = []  # msgspec copies it
    usage: Usage | None = None
    error: Error | str | None = None


class Refusal(msgspec.Struct):
    """The body of an error: OpenAI's, one without the object around it (vLLM), one with a mere sentence (Ollama)."""

    error: Error | str | None = None
    message: str = ""
    code: str | int | None = None
    type: str | None = None
    detail: Any = None


class ModelDetails(msgspec.Struct):
    """What demotic's server says of a model beside OpenAI's fields."""

    capabilities: list[str] = []  # msgspec copies it
    progress: float | None = None
    device: str | None = None
    context_length: int | None = None
    languages: list[str] = []
    license: str | None = None
    quantization: str | None = None
    size_bytes: int | None = None
    adapters: list[str] = []


class Model(msgspec.Struct):
    """A model that the endpoint has."""

    id: str
    demotic: ModelDetails | None = None
    max_model_len: int | None = None  # vLLM's
    parent: str | None = None  # of an adapter, the model

    @property
    def context_length(self) -> int | None:
        """Tokens that a request may hold, where it is known."""
        return self.demotic.context_length if self.demotic is not None else self.max_model_len

    @property
    def can_talk(self) -> bool:
        """Whether it may answer: endpoints of others do not say."""
        return self.demotic is None or bool({"chat", "completion"} & set(self.demotic.capabilities))


class ModelList(msgspec.Struct):
    """All of them."""

    data: list[Model]


def body_of(messages: Sequence[Message], tools: ToolUse, config: RunConfig, model: str) -> dict[str, Any]:
    """The request for an answer of `model` to a conversation, streamed."""
    body: dict[str, Any] = {
        **({"model": model} if model else {}),  # the endpoint's first one
        "messages": [_message(message) for message in messages],
        "max_tokens": config.max_tokens,
        "temperature": config.temperature,
        "top_p": config.top_p,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if tools.tools:
        choice = tools.choice if tools.named is None else {"type": "function", "function": {"name": tools.named}}
        body |= {"tools": [openai_tool(tool) for tool in tools.tools], "tool_choice": choice}
    return body


def _message(message: Message) -> dict[str, Any]:
    told: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        told["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        told["tool_call_id"] = message.tool_call_id
    return told
