"""One column's answer to one prompt: asked for, taken piece by piece, and measured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Literal

from runtime.chat.reasoning import Piece
from runtime.chat.template import Message
from runtime.chat.tools.use import ToolUse
from runtime.config import RunConfig
from runtime.errors import DemoticError
from tui.answers import HttpAnswers
from tui.choosing.choices import Lock
from tui.choosing.sampling import Sampling
from tui.client import ChatClient
from tui.events import AnswerFailed, AnswerFinished, Endpoint
from tui.faults import OVERFLOW
from tui.lab.asking import instruction
from tui.lab.column import Column
from tui.lab.figures import Figures, InLanguage, figures_of, in_language
from tui.shapes import Model, body_of
from tui.words import _, mark

State = Literal["waiting", "loading", "answering", "complete", "stopped", "failed"]
# Where, which model, locked to what.
Warmed = set[tuple[str, str, Lock | None]]
_OVER: frozenset[State] = frozenset({"complete", "stopped", "failed"})

_STEPS = {
    OVERFLOW: mark("Ask it something shorter, or choose another model."),
    "server_unreachable": mark("See whether the server runs, and send it again."),
}
_ANOTHER_STEP = mark("Choose otherwise for this column, or send it again.")


class Trial:
    """The answer of `column` to `prompt`, while it comes and afterwards.

    `served` is what the endpoint tells of the model. `fault` says why it failed, and what to do. `figures` are of a
    whole answer; `language` also of one that was stopped. `reason` is OpenAI's word for why it ended. `warmed` grows by
    what was made warm.
    """

    def __init__(self, column: Column, prompt: str, sampling: Sampling, warmed: Warmed) -> None:
        self.column = column
        self.prompt = prompt
        self.sampling = sampling
        self.state: State = "waiting"
        self.text = self.reasoning = self.reason = self.fault = ""
        self.served: Model | None = None
        self.figures: Figures | None = None
        self.language: InLanguage | None = None
        self._warmed = warmed

    @property
    def is_over(self) -> bool:
        """Whether nothing comes any more."""
        return self.state in _OVER

    @property
    def turns(self) -> Sequence[Message]:
        """What the model is told."""
        asked = [Message("system", instruction(self.column.language))] if self.column.language else []
        return [*asked, Message("user", self.prompt)]

    async def load(self, endpoint: Endpoint) -> None:
        """Have the model loaded and warm, so that its first answer is not measured with what comes once.

        Only demotic's server can be asked for that: others load when they are asked for an answer.

        Raises:
            AnswerFailed: it cannot be loaded.
        """
        async with self._client(endpoint) as client:
            self.served = await self._details(client)
            if self.served is None or self.served.demotic is None:
                return
            await client.load(self._name)
            self.served = await self._details(client)
            await self._warm(client, endpoint)

    async def _warm(self, client: ChatClient, endpoint: Endpoint) -> None:
        """Have one token of something else: then the file is read from the disk and, for a lock, the vocabulary."""
        key = (endpoint.url, self._name, self.column.lock)
        if key in self._warmed:
            return
        body = body_of([Message("user", "1")], ToolUse(), RunConfig(max_tokens=1), self._name)
        async with aclosing(client.chunks(body | self.column.choices(Sampling()).fields())) as chunks:
            async for _chunk in chunks:
                pass
        self._warmed.add(key)

    async def run(
        self, endpoint: Endpoint, on_change: Callable[[], Awaitable[None]], on_piece: Callable[[Piece], Awaitable[None]]
    ) -> None:
        """Load the model and take its answer; `on_change` is told of each state.

        A caller that is cancelled stops it.
        """
        try:
            self.state = "loading"
            await on_change()
            await self.load(endpoint)
            self.state = "answering"
            await on_change()
            async with aclosing(self._answer(endpoint)) as pieces:
                async for piece in pieces:
                    await on_piece(piece)
            self.state = "complete"
        except DemoticError as fault:
            code = fault.code if isinstance(fault, AnswerFailed) else None
            self.state = "failed"
            self.fault = f"{fault} {_(_STEPS.get(code or '', _ANOTHER_STEP))}"
        except asyncio.CancelledError:
            self.state = "stopped"
            raise
        finally:
            if self.is_over:
                await asyncio.shield(self._end(on_change))

    async def _end(self, on_change: Callable[[], Awaitable[None]]) -> None:
        if self.text:
            self.language = await asyncio.to_thread(in_language, self.column, self.prompt, self.text)
        await on_change()

    async def _answer(self, endpoint: Endpoint) -> AsyncGenerator[Piece]:
        async with self._client(endpoint) as client:
            # Its connection is made before the time is taken.
            await client.models()
            answers = HttpAnswers(client, RunConfig(), self.column.choices(self.sampling))
            async with aclosing(answers.answer(self.turns, ToolUse())) as events:
                async for event in events:
                    match event:
                        case Piece(kind="reasoning", text=text):
                            self.reasoning += text
                            yield event
                        case Piece(text=text):
                            self.text += text
                            yield event
                        case AnswerFinished():
                            self.reason = event.reason
                            self.figures = figures_of(event, self.text)

    async def _details(self, client: ChatClient) -> Model | None:
        return next((model for model in await client.models() if model.id == self._name), None)

    @property
    def _name(self) -> str:
        return self.column.choices(self.sampling).model(self.column.model)

    def _client(self, endpoint: Endpoint) -> ChatClient:
        return ChatClient(replace(endpoint, model=self._name))
