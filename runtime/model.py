"""One loaded model: what `demotic run`, the Python API and the server hold in their hands."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from runtime.answer import Answer
from runtime.backends.base import Vectors
from runtime.backends.load import load_decoder, load_encoder
from runtime.card import ModelCard, Options
from runtime.chat.template import Message
from runtime.config import EngineConfig
from runtime.engine.client import EngineClient, InProcessClient, attach, encode, stream, tokenize
from runtime.engine.encoding import EncodingEngine
from runtime.engine.engine import Engine
from runtime.engine.messages import Delta, Encode, Finished, Generate, Overflow
from runtime.hardware.plan import Plan
from runtime.hardware.probe import probe
from runtime.models.store import Store

if TYPE_CHECKING:
    from runtime.chat.tools.call import ToolCall
    from runtime.chat.tools.given import GivenTool
    from runtime.config import ToolRunConfig


class Model:
    """A model that answers. Use it as a context manager, or `close` it, to give its memory back."""

    def __init__(self, card: ModelCard, plan: Plan, client: EngineClient) -> None:
        self.name = card.name
        self.card = card
        self.plan = plan
        self.client = client
        # The size of each that is loaded, in bytes, by its name.
        self.adapters: dict[str, int] = {}

    def shown_as(self, card: ModelCard) -> Model:
        """The same loaded weights and adapters under another card: a bundle's on this model."""
        other = Model(card, self.plan, self.client)
        other.adapters = self.adapters
        return other

    def chat(
        self,
        messages: str | Iterable[Message],
        *,
        tools: Iterable[GivenTool] = (),
        tool_choice: str = "auto",
        **options: Unpack[Options],
    ) -> Answer:
        """Answer a conversation; a string stands for one user message.

        `tools` are what the model may call: Python functions, or dictionaries in OpenAI's shape. They are not run here:
        the answer has the calls, and their arguments are as the tools ask for them. `tool_choice` is "auto", "none",
        "required" or the name of a tool.

        Raises:
            InvalidRequest: an option, a message or a tool cannot be honoured; ContextOverflow where it is too long.
            ConfigurationInvalid: a function's hints say too little to call it by.
        """
        given = tuple(tools)
        if not given and tool_choice in {"auto", "none"}:
            return Answer.from_events(self.events(self.card.chat_request(messages, **options)))
        from runtime.answers import given_request

        request, reader = given_request(self.card, _turns(messages), given, tool_choice, options)
        return Answer.from_events(self.events(request), reader)

    def chat_with_tools(
        self,
        messages: str | Iterable[Message],
        functions: Iterable[Callable[..., Any]],
        *,
        approve: Callable[[ToolCall], bool],
        tool_choice: str = "auto",
        limits: ToolRunConfig | None = None,
        **options: Unpack[Options],
    ) -> Answer:
        """Answer a conversation with what `functions` say, which the model calls as often as `limits` allow.

        `approve` is asked about each call before it is run. That a call was denied, or failed, the model is told. What
        became of the calls is in the answer's `tool_runs`. `tool_choice` holds for the model's first turn.

        Raises:
            InvalidRequest, ConfigurationInvalid: as `chat`; or an event loop runs in this thread.
        """
        from runtime.answers import answer_with_functions

        return answer_with_functions(
            self, _turns(messages), functions, approve=approve, choice=tool_choice, limits=limits, options=options
        )

    def complete(self, prompt: str, **options: Unpack[Options]) -> Answer:
        """Continue a text. Raises as `chat` does."""
        return Answer.from_events(self.events(self.card.completion_request(prompt, **options)))

    def stream(self, messages: str | Iterable[Message], **options: Unpack[Options]) -> Iterator[str]:
        """The answer of `chat`, in pieces of whole grapheme clusters, as they come."""
        for event in self.events(self.card.chat_request(messages, **options)):
            if isinstance(event, Delta):
                yield event.text

    def embed(
        self,
        texts: Sequence[str],
        *,
        instruction: str | None = None,
        dimensions: int | None = None,
        overflow: Overflow = "error",
    ) -> Vectors:
        """The vectors of `texts`, each of length 1: float32, shape (len(texts), dimensions or the model's width).

        `instruction` says what queries are for, to models that want to know. `overflow` is what becomes of a text that
        is longer than the context: "error", "truncate", or "chunk" for the mean of its windows.

        Raises:
            InvalidRequest: the model gives no vectors, or an argument cannot be honoured; ContextOverflow where a text
                is too long.
        """
        inputs = tuple(text if instruction is None else self.card.instruct(instruction, text) for text in texts)
        return encode(self.client, Encode(uuid.uuid4().hex, inputs, overflow, dimensions)).values

    def attach(self, path: Path, adapter: str | None = None) -> str:
        """Load the LoRA at `path`; requests use it under the name `adapter`, the file's by default, which is returned.

        Raises:
            ModelFileInvalid: it is no LoRA for this model.
            ModelLoadFailed: the backend refused it.
        """
        adapter = path.stem if adapter is None else adapter
        self.card.check_adapter(path)
        attach(self.client, adapter, path)
        self.adapters[adapter] = path.stat().st_size
        return adapter

    def tokenize(self, text: str) -> list[int]:
        """Token ids of `text`, with the beginning-of-sequence token where the model wants one."""
        return tokenize(self.client, text)

    def events(self, request: Generate) -> Iterator[Delta | Finished]:
        """Events of a request, the last a `Finished`; leaving early takes it back."""
        return stream(self.client, request)

    def close(self) -> None:
        """Unload the model. Calling it twice is harmless."""
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def load(reference: str | None = None, *, context_length: int | None = None) -> Model:
    """Load a model into this process.

    Args:
        reference: a path, a catalogue name or `hf:org/repo[:file]`; None for the default model.
        context_length: tokens a request may hold; None for what the model and the memory allow.

    Raises:
        ModelNotFound: there is no such model, or it is known but not downloaded.
        ModelFileInvalid, UnsupportedArchitecture: the file cannot be run.
        ModelLoadFailed: the machine or the backend cannot hold it.
    """
    limits = EngineConfig()
    if context_length is not None:
        limits = dataclasses.replace(limits, max_context=context_length)
    return start(ModelCard.read(Store().resolve(reference)), limits)


def start(card: ModelCard, limits: EngineConfig, progress: Callable[[float], bool] | None = None) -> Model:
    """Load the weights of `card` into this process, within `limits`, and start its engine.

    `progress` is told the share loaded, 0 to 1; where it returns False the loading stops.

    Raises:
        ModelLoadFailed: the machine or the backend cannot hold it.
        ModelFileInvalid: the adapter of its bundle is not for it.
        Cancelled: `progress` stopped it.
    """
    return start_as(card, card.plan(probe(), limits), limits, progress)


def start_as(
    card: ModelCard, chosen: Plan, limits: EngineConfig, progress: Callable[[float], bool] | None = None
) -> Model:
    """`start`, run as `chosen`, which need not be the plan that the machine would be given."""
    model = _started(card, chosen, limits, progress)
    if card.bundle is not None and card.bundle.adapter is not None:
        try:
            model.attach(card.bundle.adapter, card.bundle.adapter_key)
        except BaseException:
            model.close()
            raise
    return model


def _started(card: ModelCard, chosen: Plan, limits: EngineConfig, progress: Callable[[float], bool] | None) -> Model:
    if (encoding := card.encoding) is not None:
        encoder = load_encoder(card.file.path, chosen, encoding, progress=progress)
        return Model(
            card,
            encoder.plan,
            InProcessClient(
                lambda emit, _wake: EncodingEngine(
                    encoder.encoder, encoder.tokenizer, encoding, max_waiting=limits.max_waiting, emit=emit
                ),
                close_backend=encoder.close,
            ),
        )
    loaded = load_decoder(card.file.path, chosen, progress=progress)
    client = InProcessClient(
        lambda emit, wake: Engine(
            loaded.decoder,
            loaded.tokenizer,
            max_waiting=limits.max_waiting,
            max_draft=limits.max_draft,
            max_answer=limits.max_answer,
            emit=emit,
            wake=wake,
        ),
        close_backend=loaded.close,
    )
    return Model(card, loaded.plan, client)


def _turns(messages: str | Iterable[Message]) -> list[Message]:
    return [Message("user", messages)] if isinstance(messages, str) else list(messages)
