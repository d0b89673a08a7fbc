"""All that is known of a model before its weights are loaded: its file, its checked header, its chat template."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

import msgspec

from runtime.chat.instructions import embedding_prompt
from runtime.chat.template import ChatTemplate, Message
from runtime.engine.messages import Generate
from runtime.engine.sampling import SamplingParams
from runtime.errors import InvalidRequest
from runtime.models.encoding import Encoding, encoding_of
from runtime.models.inspect import Header, StringArray, check_loadable, read_header
from runtime.models.store import ModelFile

if TYPE_CHECKING:
    from runtime.config import EngineConfig
    from runtime.hardware.plan import Plan
    from runtime.hardware.probe import Machine


class Options(TypedDict, total=False):
    """Keywords of a request: those of `SamplingParams`, where to stop, and the adapter to use."""

    max_tokens: int
    stop: tuple[str, ...]
    adapter: str
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    frequency_penalty: float
    presence_penalty: float
    logit_bias: dict[int, float]
    seed: int


class ModelCard:
    """Turns conversations and texts into requests for a model's engine."""

    def __init__(self, file: ModelFile, header: Header) -> None:
        self.name = file.name
        self.file = file
        self.header = header

    @classmethod
    def read(cls, file: ModelFile) -> Self:
        """Read and check the header of `file`.

        Raises:
            ModelFileInvalid, UnsupportedArchitecture: the file cannot be run.
        """
        header = read_header(file.path)
        check_loadable(header)
        return cls(file, header)

    @cached_property
    def template(self) -> ChatTemplate:
        """The model's chat template, or the plain one."""
        bos, eos = (self._token_text(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos"))
        dialect = self.file.tool_dialect or (self.file.entry.tool_dialect if self.file.entry else None)
        return ChatTemplate(self.header.chat_template, bos_token=bos, eos_token=eos, tool_dialect=dialect)

    @cached_property
    def encoding(self) -> Encoding | None:
        """How the model makes vectors or scores; None where it generates text."""
        return encoding_of(self.header)

    def plan(self, machine: Machine, limits: EngineConfig) -> Plan:
        """How to run the model on `machine`, within `limits`.

        Raises:
            ModelLoadFailed: the machine cannot hold it.
        """
        from runtime.hardware.encoder_plan import plan_encoder
        from runtime.hardware.plan import plan

        if self.encoding is not None:
            return plan_encoder(machine, self.header.shape(), limits, self.encoding)
        return plan(machine, self.header.shape(), limits)

    def instruct(self, instruction: str, text: str) -> str:
        """A query with what it is for, in the form that the embedding model was trained with.

        Raises:
            InvalidRequest: it was trained with none.
        """
        return embedding_prompt(self.header.architecture, self.encoding, instruction, text)

    @property
    def is_chat(self) -> bool:
        """Whether the model was trained for conversations; a base model only continues texts."""
        return self.file.entry.task == "chat" if self.file.entry else self.template.source is not None

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What it was made for: "chat", "completion"."""
        return ("chat", "completion") if self.is_chat else ("completion",)

    def chat_request(self, messages: str | Iterable[Message], **options: Unpack[Options]) -> Generate:
        """The engine's request for a conversation; a string stands for one user message.

        Raises:
            InvalidRequest: the template refuses the messages.
            ModelFileInvalid: the template cannot be used.
        """
        turns = [Message("user", messages)] if isinstance(messages, str) else list(messages)
        request = self.completion_request(self.template.render(turns), **options)
        return msgspec.structs.replace(
            request, stop=request.stop + self.template.stop, parse_special=True, param="messages"
        )

    def completion_request(self, prompt: str, **options: Unpack[Options]) -> Generate:
        """The engine's request for a text to continue."""
        sampling: dict[str, Any] = {
            name: value for name, value in options.items() if name not in {"max_tokens", "stop", "adapter"}
        }
        return Generate(
            request_id=uuid.uuid4().hex,
            prompt=prompt,
            sampling=SamplingParams(**sampling),
            max_tokens=options.get("max_tokens"),
            stop=options.get("stop", ()),
            adapter=options.get("adapter"),
        )

    def infill(self, before: str, after: str) -> str:
        """The prompt for a text between two others; names of control tokens in it are to be read as those.

        Raises:
            InvalidRequest: the model has no tokens for this.
        """
        marks = [self._token_text(f"tokenizer.ggml.fim_{part}_token_id") for part in ("pre", "suf", "mid")]
        if not all(marks):
            raise InvalidRequest(
                f"{self.name} cannot write a text between two others.",
                remedy="Leave 'suffix' out, or choose a model with tokens for this, such as a code model.",
                param="suffix",
            )
        prefix, suffix, middle = marks
        return f"{prefix}{before}{suffix}{after}{middle}"

    def _token_text(self, key: str) -> str:
        tokens, token = self.header.metadata.get("tokenizer.ggml.tokens"), self.header.metadata.get(key)
        if isinstance(tokens, StringArray) and isinstance(token, int) and 0 <= token < len(tokens):
            return tokens[token]
        return ""
