"""The answer to an `Encode`, put together from its events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from runtime.backends.base import Vectors
from runtime.engine.messages import Event, Failed, Finished, Row
from runtime.errors import Cancelled


@dataclass(frozen=True)
class Rows:
    """The answer to an `Encode`: float32 of shape (inputs, width), and how many tokens that took."""

    values: Vectors
    num_tokens: int


class RowCollector:
    """Puts the events of one `Encode` together."""

    def __init__(self, num_inputs: int) -> None:
        self._rows: list[bytes] = [b""] * num_inputs

    def take(self, event: Event) -> Rows | None:
        """The whole answer, once `event` is the last.

        Raises:
            DemoticError: the request failed.
            Cancelled: it was taken back.
        """
        match event:
            case Row(index=index, data=data):
                self._rows[index] = data
                return None
            case Failed(error=error):
                raise error
            case Finished(reason="cancelled"):
                raise Cancelled("The request was taken back.")
        assert isinstance(event, Finished)  # noqa: S101  # the only other answer to `Encode`
        values = np.frombuffer(b"".join(self._rows), "<f4").reshape(len(self._rows), -1)
        return Rows(values, event.usage.prompt_tokens)
