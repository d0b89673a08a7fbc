"""The lab's state: its columns, what is shared by them, and their answers to the last prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Literal

from runtime.chat.reasoning import Piece
from runtime.errors import InvalidRequest
from tui.choosing.choices import Choices, Lock
from tui.choosing.sampling import Sampling
from tui.events import Endpoint
from tui.lab.column import Column
from tui.lab.trial import Trial, Warmed
from tui.words import _, mark

LEAST, MOST = 2, 4

# One after the other, or all at the same time.
Order = Literal["in_turn", "at_once"]
ORDER_WORDS: dict[Order, str] = {
    "in_turn": mark("one after the other, so that figures can be compared"),
    "at_once": mark("all at once, so they slow each other down"),
}

OnChange = Callable[[Trial], Awaitable[None]]
OnPiece = Callable[[Trial, Piece], Awaitable[None]]


class Lab:
    """Two to four `columns`; `trials` has an answer for each, or None where that was asked nothing yet.

    `sampling` is that of all columns.
    """

    def __init__(self, columns: Sequence[Column], *, sampling: Sampling | None = None) -> None:
        if not LEAST <= len(columns) <= MOST:
            raise InvalidRequest(
                f"The lab has {LEAST} to {MOST} columns, and not {len(columns)}.", remedy="Give each by --column."
            )
        self.columns = list(columns)
        self.trials: list[Trial | None] = [None] * len(columns)
        self.sampling = sampling or Sampling()
        self.order: Order = "in_turn"
        self.prompt = ""
        self._warmed: Warmed = set()
        self._tasks: dict[Trial, asyncio.Task[None]] = {}

    @classmethod
    def beside(cls, model: str, choices: Choices) -> Lab:
        """What a lab begins with: the model of a conversation, as it is chosen there, locked and not."""
        lock = choices.lock or Lock("auto", "hard")
        free = Column(model, choices.adapter)
        return cls([free, Column(model, choices.adapter, lock=lock)], sampling=choices.sampling)

    @property
    def is_running(self) -> bool:
        """Whether an answer is coming."""
        return bool(self._tasks)

    def add(self, at: int) -> None:
        """Add a column like the one `at` this place, behind it.

        Raises:
            InvalidRequest: there are as many as there can be.
        """
        if len(self.columns) == MOST:
            raise InvalidRequest(_("There are at most {count} columns.").format(count=MOST))
        self.columns.insert(at + 1, self.columns[at])
        self.trials.insert(at + 1, None)

    def remove(self, at: int) -> None:
        """Take a column away.

        Raises:
            InvalidRequest: there are as few as there can be.
        """
        if len(self.columns) == LEAST:
            raise InvalidRequest(_("There are at least {count} columns.").format(count=LEAST))
        del self.columns[at], self.trials[at]

    def change(self, at: int, column: Column) -> None:
        """Ask otherwise from the next prompt on; an answer stays with what it was asked with."""
        self.columns[at] = column

    def next_order(self) -> None:
        """From one after the other to all at once, and back."""
        self.order = "at_once" if self.order == "in_turn" else "in_turn"

    def ask(self, prompt: str) -> list[Trial]:
        """A new answer for each column, which waits for `run`."""
        self.prompt = prompt
        trials = [Trial(column, prompt, self.sampling, self._warmed) for column in self.columns]
        self.trials = [*trials]
        return trials

    def require_answers(self) -> list[Trial]:
        """The answers, none of which is coming still.

        Raises:
            InvalidRequest: there are none, or one is coming.
        """
        trials = [trial for trial in self.trials if trial is not None]
        if not trials or self.is_running:
            raise InvalidRequest(_("There are no answers to save yet."))
        return trials

    async def run(self, endpoint: Endpoint, on_change: OnChange, on_piece: OnPiece) -> None:
        """Take the answers that wait, in the lab's order. A caller that is cancelled stops them all."""
        waiting = [trial for trial in self.trials if trial is not None and trial.state == "waiting"]

        def start(trial: Trial) -> asyncio.Task[None]:
            running = trial.run(endpoint, partial(on_change, trial), partial(on_piece, trial))
            self._tasks[trial] = asyncio.create_task(running)
            return self._tasks[trial]

        try:
            if self.order == "at_once":
                await _ended(*map(start, waiting))
            else:
                for trial in waiting:
                    if trial.state == "waiting":  # it was not stopped meanwhile
                        await _ended(start(trial))
        finally:
            for trial in waiting:
                await self.stop(trial)
            self._tasks.clear()
            for trial in waiting:
                await on_change(trial)

    async def stop(self, trial: Trial) -> None:
        """Stop one answer, or have it not begin."""
        if trial.state == "waiting" and trial not in self._tasks:
            trial.state = "stopped"
        task = self._tasks.get(trial)
        if task is not None and not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _ended(*tasks: asyncio.Task[None]) -> None:
    """Wait for their ends; a stopped one is no fault."""
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
