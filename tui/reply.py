"""One answer in the conversation: text and cards in the order in which they come."""

from __future__ import annotations

from runtime.chat.reasoning import Piece
from runtime.chat.tools.loop import CallAsked, CallEnded, Event
from tui.events import AnswerFinished, figures
from tui.widgets.card import CallCard
from tui.widgets.message import Answer, Said
from tui.widgets.transcript import Transcript


class Reply:
    """The answer to `said`; `card` is the last call's, of which there may be none."""

    def __init__(self, transcript: Transcript, said: Said) -> None:
        self.card: CallCard | None = None
        self._transcript = transcript
        self._last: Said | CallCard | Answer = said
        said.remove_class("waiting")
        self._text: Answer | None = None
        self._turns: list[AnswerFinished] = []
        self._num_calls = 0

    @property
    def figures(self) -> str:
        """How long it is and what it took."""
        return figures(self._turns, self._num_calls)

    async def show(self, event: Event[AnswerFinished]) -> None:
        """Show what comes next."""
        match event:
            case Piece(kind="content", text=text):
                if self._text is None:
                    self._text = Answer()
                    await self._add(self._text)
                await self._text.write(text)
            case CallAsked(call=call):
                await self._finish_text()
                self.card = CallCard(call)
                await self._add(self.card)
                self._num_calls += 1
            case CallEnded() if self.card is not None:
                self.card.end(event)
            case AnswerFinished():
                self._turns.append(event)

    async def finish(self) -> None:
        """Wait until all is on the screen; nothing follows."""
        await self._finish_text()
        if self.card is not None:
            self.card.stop()

    async def _add(self, entry: CallCard | Answer) -> None:
        await self._transcript.add(entry, after=self._last)
        self._last = entry

    async def _finish_text(self) -> None:
        if self._text is not None:
            await self._text.finish()
            self._text = None
