"""From the inputs of an `Encode` to token sequences that fit the context, and from their vectors to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from runtime.backends.base import Passage, Vectors
from runtime.engine.messages import Encode, EncodingRequest, Framed, Overflow, Pair
from runtime.errors import ContextOverflow, InvalidRequest
from runtime.models.encoding import Encoding
from runtime.text.tokenizer import AligningTokenizer, Tokenizer, frame_of


@dataclass(frozen=True)
class Window:
    """A sequence to encode; `weight` is how many of its tokens are the text's own. `second` as in `Passage`."""

    tokens: tuple[int, ...]
    weight: int
    second: int | None = None

    @property
    def passage(self) -> Passage:
        """What the encoder is given."""
        return Passage(self.tokens, self.second)


class WindowMaker:
    """Puts the model's own tokens around texts, and cuts texts that are too long."""

    def __init__(self, tokenizer: Tokenizer, context_length: int, encoding: Encoding) -> None:
        self._tokenizer = tokenizer
        self._context_length = context_length
        head, tail = frame_of(tokenizer)
        # What the tokenizer puts around a text by itself, and what belongs there.
        self._num_head, self._num_tail = len(head), len(tail)
        self._head = tuple(head) or _only(encoding.opening)
        self._tail = tuple(tail) or _only(encoding.closing)
        self._between = self._tail * encoding.num_separators
        if isinstance(tokenizer, AligningTokenizer):
            self._between = tokenizer.separators

    def windows(self, request: Encode, index: int) -> list[Window]:
        """The windows of the input at `index`: one, or more with "chunk".

        Raises:
            InvalidRequest: the input is empty, or has a token that is not of the vocabulary.
            ContextOverflow: it is too long, and may not be cut; or there is no room for what must not be cut.
        """
        name = name_of(request, index)
        match request.inputs[index]:
            case str() as text:
                return self._cut(self._head, self._content(text), self._tail, request.overflow, name)
            case Pair(first=first, second=second):
                query = self._content(first)
                if not query:
                    raise InvalidRequest(f"The query of {name} is empty.", param=name)
                before = (*self._head, *query, *self._between)
                windows = self._cut(before, self._content(second), self._tail, request.overflow, name)
                return [replace(window, second=len(before)) for window in windows]
            case Framed() as framed:
                return self._cut(*self._parts(framed), request.overflow, name)
            case tokens:
                return self._cut((), self._checked(tokens, name), (), request.overflow, name)

    def spans(self, content: Sequence[int], overflow: Overflow, name: str, goes_on: Sequence[bool]) -> list[range]:
        """The places in `content`, a text's own tokens, that go into each window.

        With "chunk" a window ends before a word: a token that does not go on with the one before it, as `goes_on` says.

        Raises:
            InvalidRequest, ContextOverflow: as `windows`.
        """
        room = self._room(self._head, content, self._tail, overflow, name)
        spans: list[range] = []
        start = 0
        while start < len(content) and (overflow == "chunk" or not spans):
            end = min(len(content), start + room)
            if overflow == "chunk" and end < len(content):
                end = next((place for place in range(end, start, -1) if not goes_on[place]), end)
            spans.append(range(start, end))
            start = end
        return spans

    def framed(self, content: Sequence[int], span: range) -> tuple[Window, int]:
        """The window of a part of `content`, with what belongs around it, and where in the window that part begins."""
        part = content[span.start : span.stop]
        return Window((*self._head, *part, *self._tail), len(part)), len(self._head)

    def _cut(
        self, before: Sequence[int], content: Sequence[int], after: Sequence[int], overflow: Overflow, name: str
    ) -> list[Window]:
        room = self._room(before, content, after, overflow, name)
        end = len(content) if overflow == "chunk" else min(room, len(content))
        pieces = [content[start : start + room] for start in range(0, end, room)]
        return [Window((*before, *piece, *after), len(piece)) for piece in pieces]

    def _room(
        self, before: Sequence[int], content: Sequence[int], after: Sequence[int], overflow: Overflow, name: str
    ) -> int:
        """How many tokens of a text go into a window."""
        if not content:
            raise InvalidRequest(f"{name} is empty.", param=name)
        room = self._context_length - len(before) - len(after)
        if len(content) > room and (overflow == "error" or room < 1):
            num_tokens = len(before) + len(content) + len(after)
            raise ContextOverflow(num_tokens=num_tokens, context_length=self._context_length, param=name)
        return room

    def _content(self, text: str) -> list[int]:
        tokens = self._tokenizer.encode(text, parse_special=False)
        return tokens[self._num_head : len(tokens) - self._num_tail]

    def _parts(self, framed: Framed) -> tuple[list[int], list[int], list[int]]:
        encode = self._tokenizer.encode
        before = encode(framed.before, parse_special=True)
        return (
            before[: len(before) - self._num_tail],
            encode(framed.text, parse_special=False, is_beginning=False),
            encode(framed.after, parse_special=True, is_beginning=False),
        )

    def _checked(self, tokens: tuple[int, ...], name: str) -> tuple[int, ...]:
        size = self._tokenizer.vocabulary_size
        for token in tokens:
            if not 0 <= token < size:
                raise InvalidRequest(f"{name} has token {token}, but the vocabulary has {size} tokens.", param=name)
        return tokens


def name_of(request: EncodingRequest, index: int) -> str:
    """What errors call the input at `index`."""
    return request.param if len(request.inputs) == 1 else f"{request.param}[{index}]"


def _only(token: int | None) -> tuple[int, ...]:
    return () if token is None else (token,)


def to_vector(
    rows: Sequence[Vectors], weights: Sequence[int], dimensions: int | None = None
) -> npt.NDArray[np.float32]:
    """The vector of a text of length 1, from those of its windows, shape (windows, width).

    The windows' vectors are averaged, each at length 1 and weighted by its number of tokens; then the first
    `dimensions` are kept (Matryoshka Representation Learning, https://arxiv.org/abs/2205.13147).
    """
    units = [_normalised(row.astype(np.float64)) for row in rows]
    mean = _normalised(np.average(units, axis=0, weights=weights))
    return _normalised(mean[:dimensions]).astype(np.float32)


def to_scores(rows: Sequence[Vectors], weights: Sequence[int]) -> npt.NDArray[np.float32]:
    """The scores of a text, from those of its windows, shape (windows, labels): the mean by their numbers of tokens.

    The mean is taken before scores become probabilities, so that a constant that a head adds to all labels of a window
    changes nothing.
    """
    return np.average(np.asarray(rows, np.float64), axis=0, weights=weights).astype(np.float32)


def _normalised(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    length = np.linalg.norm(vector)
    return vector / length if length > 0 else vector
