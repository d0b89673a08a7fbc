"""One loaded model: what `demotic run`, the Python API and the server hold in their hands."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from runtime.backends.base import Vectors
from runtime.backends.load import load_decoder, load_encoder
from runtime.card import ModelCard, Options
from runtime.chat.template import Message
from runtime.config import EngineConfig
from runtime.engine.client import EngineClient, InProcessClient, attach, encode, stream, tokenize
from runtime.engine.encoding import EncodingEngine
from runtime.engine.engine import Engine
from runtime.engine.messages import Delta, Encode, Finished, FinishReason, Generate, Overflow
from runtime.errors import InferenceFailed
from runtime.hardware.plan import Plan
from runtime.hardware.probe import probe
from runtime.models.adapter import check_adapter
from runtime.models.store import Store

if TYPE_CHECKING:
    from runtime.language.detect import Detection


@dataclass(frozen=True)
class Answer:
    """A whole answer, why it ended, and what it took. Times are in seconds.

    `drafted_tokens` were guessed ahead, and `accepted_tokens` of them are in the answer. `blocked_tokens`: steps at
    which the likeliest token was foreign to the language that the answer was kept in, and did not come.
    """

    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    first_token_seconds: float
    decode_seconds: float
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    blocked_tokens: int = 0

    @property
    def detected(self) -> Detection:
        """The languages of the text. The first time this takes up to a second."""
        from runtime.language.detect import detect

        return detect(self.text)

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens a second, after the first; 0 where there is no second token."""
        return _rate(self.completion_tokens - 1, self.decode_seconds)

    @property
    def characters_per_second(self) -> float:
        """Code points of the answer a second, from the request's arrival to its end."""
        return _rate(len(self.text), self.first_token_seconds + self.decode_seconds)

    @classmethod
    def from_events(cls, events: Iterable[Delta | Finished]) -> Answer:
        """Fold the events of one request."""
        texts: list[str] = []
        for event in events:
            match event:
                case Delta(text=text):
                    texts.append(text)
                case Finished():
                    return cls(
                        text="".join(texts),
                        finish_reason=event.reason,
                        prompt_tokens=event.usage.prompt_tokens,
                        completion_tokens=event.usage.completion_tokens,
                        first_token_seconds=event.timings.first_token,
                        decode_seconds=event.timings.decode,
                        drafted_tokens=event.usage.drafted_tokens,
                        accepted_tokens=event.usage.accepted_tokens,
                        blocked_tokens=event.usage.blocked_tokens,
                    )
        raise InferenceFailed("The answer was cut off before its end.")


class Model:
    """A model that answers. Use it as a context manager, or `close` it, to give its memory back."""

    def __init__(self, card: ModelCard, plan: Plan, client: EngineClient) -> None:
        self.name = card.name
        self.card = card
        self.plan = plan
        self.client = client
        self.adapters: set[str] = set()

    def chat(self, messages: str | Iterable[Message], **options: Unpack[Options]) -> Answer:
        """Answer a conversation; a string stands for one user message.

        Raises:
            InvalidRequest: an option or a message cannot be honoured; ContextOverflow where it is too long.
        """
        return Answer.from_events(self.events(self.card.chat_request(messages, **options)))

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
        check_adapter(path, self.card.header)
        attach(self.client, adapter, path)
        self.adapters.add(adapter)
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
        Cancelled: `progress` stopped it.
    """
    chosen = card.plan(probe(), limits)
    if (encoding := card.encoding) is not None:
        encoder = load_encoder(card.file.path, chosen, encoding, progress=progress)
        return Model(
            card,
            chosen,
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
    return Model(card, chosen, client)


def _rate(count: int, seconds: float) -> float:
    return count / seconds if count > 0 and seconds > 0 else 0.0
