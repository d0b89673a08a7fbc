"""A model opened to be measured: its tokenizer, its guesses, its hidden states or vectors.

A GGUF that writes text is computed on the processor and as exactly as llama.cpp can: keys and values in float32, no
flash attention. All else is computed as the runtime computes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from benchmarks.quality.alignment import Floats, last_token, weighted_mean
from converters.gguf.hidden import HiddenWatcher
from converters.served import exact_plan
from converters.tensors import FloatArray
from runtime.backends.base import Chunk, Decoder, Encoder, Passage
from runtime.backends.load import load_decoder, load_encoder
from runtime.card import ModelCard
from runtime.config import EngineConfig
from runtime.hardware.probe import probe
from runtime.models.encoding import Encoding
from runtime.models.header import Header
from runtime.models.trimmed import MAP_KEY, ORIGINAL_KEY, fingerprint, is_trimmed
from runtime.text.tokenizer import Tokenizer, frame_of

_SLOT = 0
# Tokens that are computed at once: what their logits take stays small, also where the vocabulary is large.
_BLOCK = 64
_CELL_STEP = 256


class Opened:
    """A model of which the tokenizer is all that can be measured, as of an encoder-decoder. Use it in a `with`."""

    def __init__(self, card: ModelCard, tokenizer: Tokenizer, stack: ExitStack) -> None:
        self.card = card
        self.tokenizer = tokenizer
        self._stack = stack

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()


@runtime_checkable
class GivesVectors(Protocol):
    """A model with vectors of texts."""

    def vectors(self, line: str) -> dict[str, Floats]:
        """A vector of a line for each layer, by how its tokens are summed up: each of shape (layers, width).

        Of a line that is longer than the context they are of its beginning.
        """


class OpenedDecoder(Opened):
    """A model that writes text, and so guesses at texts."""

    def __init__(self, card: ModelCard, tokenizer: Tokenizer, stack: ExitStack, decoder: Decoder) -> None:
        super().__init__(card, tokenizer, stack)
        self._decoder = decoder
        self.context_length = decoder.context_length

    def logits(self, tokens: Sequence[int]) -> Iterator[FloatArray]:
        """Logits after each token of a sequence, some rows at a time; each block only until the next one."""
        self._decoder.forget(_SLOT)
        size = min(_BLOCK, self._decoder.batch_size)
        for at in range(0, len(tokens), size):
            part = tokens[at : at + size]
            yield self._decoder.forward([Chunk(_SLOT, at, part, len(part))])


class WatchedDecoder(OpenedDecoder):
    """A decoder in a GGUF, whose hidden states can be read; its context must have been made with `watcher`."""

    def __init__(
        self, card: ModelCard, tokenizer: Tokenizer, stack: ExitStack, decoder: Decoder, watcher: HiddenWatcher
    ) -> None:
        super().__init__(card, tokenizer, stack, decoder)
        self._watcher = watcher
        # While llama.cpp calls back no Ctrl-C must come, for it would be lost: it comes to the main thread alone.
        self._thread = stack.enter_context(ThreadPoolExecutor(1))

    def vectors(self, line: str) -> dict[str, Floats]:
        """See `GivesVectors.vectors`: the layers are those of transformers' hidden states."""
        tokens = self.tokenizer.encode(line, parse_special=False)[: self.context_length]
        self._watcher.begin()
        try:
            self._thread.submit(lambda: [None for _ in self.logits(tokens)]).result()
        finally:
            states = self._watcher.end()
        return {"weighted": weighted_mean(states), "last": last_token(states)}


class OpenedEncoder(Opened):
    """A model that gives a vector of a text, for which it sums tokens up in its own way."""

    def __init__(
        self, card: ModelCard, tokenizer: Tokenizer, stack: ExitStack, encoder: Encoder, encoding: Encoding
    ) -> None:
        super().__init__(card, tokenizer, stack)
        self._encoder = encoder
        self._encoding = encoding

    def vectors(self, line: str) -> dict[str, Floats]:
        """See `GivesVectors.vectors`: the only layer is what the model gives."""
        before, after = frame_of(self.tokenizer)
        tokens = self.tokenizer.encode(line, parse_special=False)
        body = tokens[len(before) : len(tokens) - len(after)]
        head, tail = before or _only(self._encoding.opening), after or _only(self._encoding.closing)
        most = self._encoder.context_length - len(head) - len(tail)
        row = self._encoder.encode([Passage([*head, *body[:most], *tail])])[0]
        return {"own": np.asarray(row, np.float64)[None]}


def _only(token: int | None) -> list[int]:
    return [] if token is None else [token]


def open_model(card: ModelCard, lines: Iterable[str]) -> Opened:
    """Load a model to measure it on these lines; the context is as long as they need, or as the model can have.

    Raises:
        ModelLoadFailed: the machine or the backend cannot hold it.
        ConfigurationInvalid: the installed llama.cpp is another one than is known here.
    """
    stack = ExitStack()
    try:
        return _open(card, lines, stack)
    except BaseException:
        stack.close()
        raise


def _open(card: ModelCard, lines: Iterable[str], stack: ExitStack) -> Opened:
    if isinstance(card.header, Header) and card.encoding is None and not card.has_encoder:
        return _open_exactly(card, card.header, lines, stack)
    plan = card.plan(probe(), replace(EngineConfig(), max_sequences=1, max_draft=0))
    if card.encoding is not None:
        encoder = load_encoder(card.file.path, plan, card.encoding)
        stack.callback(encoder.close)
        if not card.encoding.gives_vectors:
            return Opened(card, encoder.tokenizer, stack)
        return OpenedEncoder(card, encoder.tokenizer, stack, encoder.encoder, card.encoding)
    decoder = load_decoder(card.file.path, plan)
    stack.callback(decoder.close)
    if card.has_encoder:
        return Opened(card, decoder.tokenizer, stack)
    return OpenedDecoder(card, decoder.tokenizer, stack, decoder.decoder)


def _open_exactly(card: ModelCard, header: Header, lines: Iterable[str], stack: ExitStack) -> Opened:
    from runtime.backends.llama.decoder import LlamaDecoder
    from runtime.backends.llama.model import LlamaModel

    model = LlamaModel(card.file.path)
    stack.callback(model.close)
    shape = header.shape()
    longest = max((len(model.tokenizer.encode(line, parse_special=False)) for line in lines), default=0)
    context = min(shape.context_length, max(_CELL_STEP, longest))
    threads = probe().usable_cores
    plan = replace(
        exact_plan(context),
        threads=threads,
        threads_batch=threads,
        batch_size=min(_BLOCK, context),
        ubatch_size=min(_BLOCK, context),
    )
    watcher = HiddenWatcher(shape.block_count)
    decoder = LlamaDecoder(model, plan, on_node=watcher.callback)
    stack.callback(decoder.close)
    return WatchedDecoder(card, model.tokenizer, stack, decoder, watcher)


@dataclass(frozen=True)
class Shared:
    """The tokens that a model has of a source's: `kept[i]` is the source's that i is; None where all are the same."""

    kept: npt.NDArray[np.int64] | None = None


def shared_tokens(model: Opened, source: Opened) -> Shared | None:
    """By which tokens the guesses of two models can be compared; None where they cannot."""
    one, other = model.card.header, source.card.header
    if isinstance(one, Header) and isinstance(other, Header):
        if fingerprint(one) and fingerprint(one) == fingerprint(other):
            return Shared()
        if is_trimmed(one) and one.metadata.get(ORIGINAL_KEY) == fingerprint(other):
            return Shared(np.asarray(one.metadata[MAP_KEY], np.int64))
        return None
    size = model.tokenizer.vocabulary_size
    if size != source.tokenizer.vocabulary_size:
        return None
    is_same = all(model.tokenizer.token_bytes(token) == source.tokenizer.token_bytes(token) for token in range(size))
    return Shared() if is_same else None
