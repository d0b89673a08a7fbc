"""The chat application: it connects, lets messages wait until the model is free, and shows the answers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import ClassVar

from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.widgets import Footer, Input
from textual.worker import Worker, WorkerCancelled

from runtime.config import RunConfig
from runtime.errors import DemoticError
from tui.client import ChatClient
from tui.events import AnswerFailed, AnswerFinished, Endpoint, TextDelta, Turn
from tui.widgets.message import Said
from tui.widgets.prompt import Prompt
from tui.widgets.status import State, StatusLine
from tui.widgets.transcript import Transcript

_ANSWER = "answer"

_NEXT_STEPS = {
    "context_length_exceeded": "Ctrl-N starts a new conversation.",
    "server_unreachable": "Ctrl-Q quits; then start the chat again.",
}


class ChatApp(App[None]):
    """The chat over the endpoint that `connect` gives once it is ready; until then messages wait.

    After it has run, `start_fault` tells why there was no endpoint.
    """

    CSS_PATH = "app.tcss"
    TITLE = "demotic"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", "Stop", priority=True),
        Binding("ctrl+n", "start_anew", "New conversation", priority=True),
        Binding("ctrl+q", "quit", "Quit", priority=True),
        Binding("ctrl+c", "quit", show=False, priority=True),
        Binding("pageup", "scroll_up", show=False),
        Binding("pagedown", "scroll_down", show=False),
    ]

    model_name = reactive("")
    state: reactive[State] = reactive[State]("loading")
    figures = reactive("")

    def __init__(
        self,
        connect: Callable[[], Awaitable[Endpoint]],
        *,
        model_name: str = "",
        message: str | None = None,
        config: RunConfig | None = None,
    ) -> None:
        super().__init__()
        self.start_fault: DemoticError | None = None
        self._connect = connect
        self._first_message = message
        self._config = config or RunConfig()
        self._client: ChatClient | None = None
        self._turns: list[Turn] = []
        self._waiting: deque[Said] = deque()
        self.set_reactive(ChatApp.model_name, model_name)

    def compose(self) -> ComposeResult:
        """Transcript, input line, status line, keys."""
        yield Transcript()
        yield Prompt()
        yield StatusLine().data_bind(ChatApp.model_name, ChatApp.state, ChatApp.figures)
        yield Footer()

    async def on_mount(self) -> None:
        """Start connecting, and say the first message."""
        self.query_one(Prompt).focus()
        self._open()
        if self._first_message:
            await self._say(self._first_message)

    async def on_unmount(self) -> None:
        """Give the connections back."""
        if self._client is not None:
            await self._client.close()

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        """Say what was typed."""
        event.input.clear()
        if event.value.strip():
            await self._say(event.value)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """An answer has ended, in whatever way: the next message may be answered."""
        if event.worker.group == _ANSWER and event.worker.is_finished:
            self.state = "ready"
            self._answer_next()

    def action_stop(self) -> None:
        """Stop the answer; what came of it stays."""
        self.workers.cancel_group(self, _ANSWER)

    async def action_start_anew(self) -> None:
        """Forget the conversation."""
        for worker in self.workers.cancel_group(self, _ANSWER):
            with suppress(WorkerCancelled):
                await worker.wait()
        self._turns = []
        self._waiting.clear()
        self.figures = ""
        await self.query_one(Transcript).remove_children()

    def action_scroll_up(self) -> None:
        """Scroll the conversation one page up."""
        self.query_one(Transcript).scroll_page_up()

    def action_scroll_down(self) -> None:
        """Scroll the conversation one page down."""
        self.query_one(Transcript).scroll_page_down()

    @work(group="connection")
    async def _open(self) -> None:
        transcript = self.query_one(Transcript)
        try:
            endpoint = await self._connect()
            self._client = ChatClient(endpoint)
            self.model_name = await self._client.model_name()
        except DemoticError as error:
            self.start_fault = error
            self.state = "failed"
            self.query_one(Prompt).close()
            await transcript.fail(f"{error} Ctrl-Q quits.")
            return
        for notice in endpoint.notices:
            await transcript.tell(notice)
        self.state = "ready"
        self._answer_next()

    async def _say(self, text: str) -> None:
        self._waiting.append(await self.query_one(Transcript).say(text))
        self._answer_next()

    def _answer_next(self) -> None:
        if self._client is not None and self.state == "ready" and self._waiting:
            self.state = "answering"
            self._answer(self._client, self._waiting.popleft())

    @work(group=_ANSWER, exclusive=True)
    async def _answer(self, client: ChatClient, said: Said) -> None:
        transcript, turns, text = self.query_one(Transcript), self._turns, ""
        question = Turn("user", said.text)
        self.figures = ""
        answer = await transcript.begin_answer(said)
        try:
            async with aclosing(client.answer([*turns, question], self._config)) as events:
                async for event in events:
                    match event:
                        case TextDelta():
                            text += event.text
                            await answer.write(event.text)
                        case AnswerFinished():
                            self.figures = event.figures
                        case AnswerFailed():
                            step = _NEXT_STEPS.get(event.code or "", "Say it again, or say something else.")
                            await transcript.fail(f"{event.message} {step}")
        except asyncio.CancelledError:
            self.figures = "stopped"
            raise
        finally:
            await answer.finish()
            # A question without any answer is not kept: many templates refuse two questions in a row.
            if text:
                turns += [question, Turn("assistant", text)]
