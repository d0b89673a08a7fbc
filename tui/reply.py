"""One answer in the conversation: text and cards in the order in which they come."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.chat.reasoning import Piece
from runtime.chat.tools.loop import CallAsked, CallEnded, Event
from tui.events import AnswerFinished, figures
from tui.history.records import Entry
from tui.widgets.answer import Answer
from tui.widgets.card import CallCard
from tui.widgets.message import Reasoning, Said
from tui.widgets.transcript import Transcript


class Reply:
    """The answer to `said`; `card` is the last call's, of which there may be none, `answers` are its texts, and
    `turns` and `num_calls` what the model did."""

    def __init__(self, transcript: Transcript, said: Said) -> None:
        self.card: CallCard | None = None
        self.answers: list[Answer] = []
        self._transcript = transcript
        self._last: Said | CallCard | Answer | Reasoning = said
        self._reasoning: Reasoning | None = None
        said.remove_class("waiting")
        self._text: Answer | None = None
        self.turns: list[AnswerFinished] = []
        self.num_calls = 0

    @property
    def figures(self) -> str:
        """How long it is and what it took."""
        return figures(self.turns, self.num_calls)

    async def show(self, event: Event[AnswerFinished]) -> None:
        """Show what comes next."""
        match event:
            case Piece(kind="content", text=text):
                if self._text is None:
                    self._reasoning = None
                    self._text = Answer()
                    self.answers.append(self._text)
                    await self._add(self._text)
                await self._text.write(text)
            case Piece(kind="reasoning", text=text):
                if self._reasoning is None:
                    self._reasoning = Reasoning()
                    await self._add(self._reasoning)
                self._reasoning.write(text)
            case CallAsked(call=call):
                self._reasoning = None
                await self._finish_text()
                self.card = CallCard(call)
                await self._add(self.card)
                self.num_calls += 1
            case CallEnded() if self.card is not None:
                self.card.end(event)
            case AnswerFinished():
                self.turns.append(event)

    async def finish(self) -> None:
        """Wait until all is on the screen; nothing follows."""
        await self._finish_text()
        if self.card is not None:
            self.card.stop()

    async def know(self, entries: Sequence[Entry]) -> None:
        """Its texts are remembered as the last ones of these."""
        texts = [entry for entry in entries if entry.role == "assistant" and entry.text]
        for answer, entry in zip(reversed(self.answers), reversed(texts), strict=False):
            await self._transcript.know(answer, entry)

    async def _add(self, entry: CallCard | Answer | Reasoning) -> None:
        await self._transcript.add(entry, after=self._last)
        self._last = entry

    async def _finish_text(self) -> None:
        if self._text is not None:
            await self._text.finish()
            self._text = None
