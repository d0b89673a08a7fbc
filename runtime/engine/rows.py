"""The answers to a request's inputs put together from its events, in the inputs' order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from runtime.backends.base import Vectors
from runtime.engine.messages import Entities, Event, Failed, Fills, Finished, Row
from runtime.errors import Cancelled

_Part = TypeVar("_Part", Row, Entities, Fills)
_Whole_co = TypeVar("_Whole_co", covariant=True)


@dataclass(frozen=True)
class Parts(Generic[_Part]):
    """The answer to each input, and how many tokens that took."""

    parts: list[_Part]
    num_tokens: int


@dataclass(frozen=True)
class Rows:
    """The answer to an `Encode`: float32 of shape (inputs, width), and how many tokens that took."""

    values: Vectors
    num_tokens: int


class Collector(Protocol[_Whole_co]):
    """Puts the events of one request together."""

    def take(self, event: Event) -> _Whole_co | None:
        """The whole answer, once `event` is the last.

        Raises:
            DemoticError: the request failed.
            Cancelled: it was taken back.
        """


class PartCollector(Generic[_Part]):
    """`Collector` of answers of one kind."""

    def __init__(self, kind: type[_Part], num_inputs: int) -> None:
        self._kind: type[_Part] = kind
        self._parts: dict[int, _Part] = {}
        self._num_inputs = num_inputs

    def take(self, event: Event) -> Parts[_Part] | None:
        """See `Collector.take`."""
        if isinstance(event, self._kind):
            self._parts[event.index] = event
            return None
        if isinstance(event, Failed):
            raise event.error
        assert isinstance(event, Finished)  # noqa: S101  # the only other answer to these requests
        if event.reason == "cancelled":
            raise Cancelled("The request was taken back.")
        return Parts([self._parts[index] for index in range(self._num_inputs)], event.usage.prompt_tokens)


class RowCollector:
    """`Collector` of the rows of an `Encode`."""

    def __init__(self, num_inputs: int) -> None:
        self._rows = PartCollector(Row, num_inputs)

    def take(self, event: Event) -> Rows | None:
        """See `Collector.take`."""
        whole = self._rows.take(event)
        if whole is None:
            return None
        values = np.frombuffer(b"".join(row.data for row in whole.parts), "<f4").reshape(len(whole.parts), -1)
        return Rows(values, whole.num_tokens)
