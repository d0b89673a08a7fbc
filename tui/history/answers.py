"""An answer is written down while it comes: each piece is in the file before the next one is taken.

It takes the same events as what shows the answer. A model's turn, what a tool gave and the model's next turn are
messages one after the other, as the model is told of them later.
"""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

from runtime.chat.reasoning import Piece
from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.loop import CallAsked, CallEnded, Event
from runtime.errors import HistoryBusy
from tui.events import AnswerFinished, rate
from tui.history import tree
from tui.history.records import Entry, Figures, NewMessage, State, storable, to_json
from tui.history.store import Store
from tui.history.writers import own_writer, settle

# As many as a wide screen shows side by side.
_MOST_GAPS = 200
# What the loop puts between two turns of the model, which are messages of their own here.
_BETWEEN_TURNS = Piece("content", "\n\n")
_OUTCOMES: dict[str, State] = {"answered": "complete", "failed": "failed", "denied": "denied"}


class AnswerWriter:
    """Writes the answer to a message. `finish` ends it; where that never comes, others find it interrupted.

    What another chat keeps it from writing goes in with the next piece.
    """

    def __init__(self, store: Store, said: Entry, *, model: str = "", adapter: str = "") -> None:
        """The answer comes after `said`, beside answers that it has already."""
        self._store = store
        self._conversation = said.conversation
        self._last = said.id
        self._model, self._adapter = model, adapter
        self._turn: int | None = None  # the model's turn that calls belong to
        self._open: int | None = None  # the message that pieces go to, or the tool's turn that is waited for
        self._num_pieces = 0
        self._held: list[Piece] = []
        self._calls: list[ToolCall] = []
        self._times: list[float] = []

    @classmethod
    def going_on(cls, store: Store, cut: Entry, *, model: str = "", adapter: str = "") -> AnswerWriter:
        """A writer of what follows an answer that was cut: it goes after what is there, into the same message.

        The figures become those of what follows.
        """
        writer = cls(store, cut, model=model, adapter=adapter)
        with store.writing() as connection:
            connection.execute(
                "UPDATE messages SET state = 'streaming', fault = '', writer = ? WHERE id = ?", (own_writer(), cut.id)
            )
        writer._open = writer._turn = cut.id
        writer._calls = list(cut.calls)
        return writer

    @property
    def last(self) -> int:
        """The last message so far, which the next one comes after."""
        return self._last

    def take(self, event: Event[AnswerFinished]) -> None:
        """Write down what comes next.

        Raises:
            HistoryUnusable: the file cannot be written.
        """
        match event:
            case Piece():
                self._take_piece(event)
            case AnswerFinished():
                self._end_turn(event)
            case CallAsked():
                self._take_call(event)
            case CallEnded():
                self._end_call(event)

    def finish(self, state: State, fault: str = "") -> None:
        """Nothing comes any more: the answer is complete, was stopped, or failed because of `fault`."""
        with self._writing() as connection:
            if self._open is None and (self._turn is None or state != "complete"):
                self._begin_turn(connection)
            if self._open is not None:
                connection.execute("UPDATE messages SET fault = ? WHERE id = ?", (storable(fault), self._open))
                self._settle(connection, self._open, state)
            tree.touch(connection, self._conversation)

    def _take_piece(self, piece: Piece) -> None:
        if self._open is None and self._turn is not None and piece == _BETWEEN_TURNS:
            return
        self._times.append(time.perf_counter())
        self._held = [*self._held, piece]
        try:
            with self._writing(is_brief=True) as connection:
                self._write_held(connection, self._open if self._open is not None else self._begin_turn(connection))
        except HistoryBusy:
            return

    def _end_turn(self, ended: AnswerFinished) -> None:
        figures = to_json(figures_of(ended, self._times))
        with self._writing() as connection:
            number = self._open if self._open is not None else self._begin_turn(connection)
            connection.execute("UPDATE messages SET figures = ? WHERE id = ?", (figures, number))
            self._settle(connection, number, "complete")
        self._times = []

    def _take_call(self, asked: CallAsked) -> None:
        with self._writing() as connection:
            turn = self._turn if self._turn is not None else self._begin_turn(connection)
            self._calls = [*self._calls, asked.call]
            connection.execute("UPDATE messages SET calls = ? WHERE id = ?", (to_json(self._calls), turn))
            # That it is asked for is written before it runs.
            told = NewMessage("tool", "", "streaming", call_id=asked.call.id, name=asked.call.name)
            self._open = self._begin(connection, told)

    def _end_call(self, ended: CallEnded) -> None:
        with self._writing() as connection:
            if self._open is not None:
                connection.execute(
                    "UPDATE messages SET text = ?, seconds = ? WHERE id = ?",
                    (storable(ended.text), ended.seconds, self._open),
                )
                self._settle(connection, self._open, _OUTCOMES[ended.outcome])

    def _begin_turn(self, connection: sqlite3.Connection) -> int:
        self._calls = []
        self._turn = self._open = self._begin(
            connection, NewMessage("assistant", "", "streaming", model=self._model, adapter=self._adapter)
        )
        return self._turn

    def _begin(self, connection: sqlite3.Connection, message: NewMessage) -> int:
        number = tree.insert(connection, self._conversation, self._last, message)
        connection.execute("UPDATE messages SET writer = ? WHERE id = ?", (own_writer(), number))
        tree.choose_in(connection, number)
        self._last, self._num_pieces = number, 0
        return number

    def _write_held(self, connection: sqlite3.Connection, number: int) -> None:
        rows = [
            (number, self._num_pieces + at, piece.kind, storable(piece.text)) for at, piece in enumerate(self._held)
        ]
        connection.executemany("INSERT INTO pieces (message, number, kind, text) VALUES (?, ?, ?, ?)", rows)
        self._num_pieces += len(rows)
        self._held = []

    def _settle(self, connection: sqlite3.Connection, number: int, state: State) -> None:
        self._write_held(connection, number)
        settle(connection, number, state)
        self._open = None

    @contextmanager
    def _writing(self, *, is_brief: bool = False) -> Iterator[sqlite3.Connection]:
        """A transaction; where it fails, this writer too is as it was before."""
        before = self._last, self._turn, self._open, self._num_pieces, self._held, self._calls
        try:
            with self._store.writing(is_brief=is_brief) as connection:
                yield connection
        except BaseException:
            self._last, self._turn, self._open, self._num_pieces, self._held, self._calls = before
            raise


def figures_of(ended: AnswerFinished, times: Sequence[float]) -> Figures:
    """What a turn took, of how it ended and when its pieces came (seconds of any clock)."""
    gaps = sorted(after - before for before, after in pairwise(times))
    return Figures(
        reason=ended.reason,
        num_tokens=ended.num_tokens,
        num_characters=ended.num_characters,
        seconds=ended.seconds,
        first_token_seconds=ended.first_token_seconds,
        tokens_per_second=rate(ended.num_tokens - 1, ended.decode_seconds),
        characters_per_second=rate(ended.num_characters, ended.seconds),
        itl_median=statistics.median(gaps) if gaps else None,
        itl_p95=gaps[min(len(gaps) - 1, len(gaps) * 95 // 100)] if gaps else None,
        itl_longest=gaps[-1] if gaps else None,
        language=ended.text.answer_language if ended.text is not None else None,
        blocked_tokens=ended.text.blocked_tokens if ended.text is not None else None,
        gaps_ms=_longest_of_stretches([after - before for before, after in pairwise(times)]),
    )


def _longest_of_stretches(gaps: Sequence[float]) -> tuple[int, ...]:
    """Milliseconds, of at most `_MOST_GAPS` stretches of the same length."""
    step = -(-len(gaps) // _MOST_GAPS) or 1
    return tuple(round(max(gaps[at : at + step]) * 1e3) for at in range(0, len(gaps), step))
