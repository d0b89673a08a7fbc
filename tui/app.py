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
from textual.worker import Worker, WorkerCancelled

from runtime.chat.template import Message
from runtime.chat.tools.approval import Verdict
from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.sources.base import OfferedTool
from runtime.config import RunConfig
from runtime.errors import DemoticError
from tui.answers import HttpAnswers
from tui.client import ChatClient
from tui.events import AnswerFailed, Endpoint
from tui.reply import Reply
from tui.terminal import Terminal
from tui.tools import ChatTools
from tui.widgets.card import CallCard
from tui.widgets.keys import Keys
from tui.widgets.message import Said
from tui.widgets.prompt import Prompt
from tui.widgets.status import State, StatusLine
from tui.widgets.transcript import Transcript
from tui.words import LANGUAGES, _, mark, use, used

_ANSWER = "answer"
_OVERFLOW = "context_length_exceeded"
# A key that was on its way to the prompt is no answer to a question that has just come up.
_SETTLE_SECONDS = 0.5

_NEXT_STEPS = {
    _OVERFLOW: mark("Ctrl-N starts a new conversation."),
    "server_unreachable": mark("Ctrl-Q quits; then start the chat again."),
}
_ANOTHER_STEP = mark("Say it again, or say something else.")


class ChatApp(App[None]):
    """The chat over the endpoint that `connect` gives once it is ready; until then messages wait.

    `tools` are those that the model may call. After it has run, `start_fault` tells why there was no endpoint.
    """

    CSS_PATH = "app.tcss"
    TITLE = "demotic"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", mark("Stop"), priority=True),
        Binding("ctrl+n", "start_anew", mark("New conversation"), priority=True),
        Binding("ctrl+q", "quit", mark("Quit"), priority=True),
        Binding("f2", "next_language", mark("Language"), priority=True),
        Binding("ctrl+c", "copy_or_quit", show=False, priority=True),
        Binding("pageup", "scroll_up", show=False, priority=True),
        Binding("pagedown", "scroll_down", show=False, priority=True),
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
        tools: ChatTools | None = None,
        terminal: Terminal | None = None,
    ) -> None:
        super().__init__()
        self.start_fault: DemoticError | None = None
        self._connect = connect
        self._first_message = message
        self._config = config or RunConfig()
        self._tools = tools or ChatTools()
        self.terminal = terminal or Terminal()
        self._client: ChatClient | None = None
        self._turns: list[Message] = []
        self._reply: Reply | None = None
        self._waiting: deque[Said] = deque()
        self.set_reactive(ChatApp.model_name, model_name)

    def compose(self) -> ComposeResult:
        """Transcript, input line, status line, keys."""
        yield Transcript()
        yield Prompt()
        yield StatusLine().data_bind(ChatApp.model_name, ChatApp.state, ChatApp.figures)
        yield Keys()

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

    async def on_prompt_submitted(self, event: Prompt.Submitted) -> None:
        """Say what was written."""
        await self._say(event.text)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """An answer has ended, in whatever way: the next message may be answered."""
        if event.worker.group == _ANSWER and event.worker.is_finished:
            self.state = "ready"
            self._answer_next()

    def on_call_card_typed(self, event: CallCard.Typed) -> None:
        """Write on in the prompt."""
        prompt = self.query_one(Prompt)
        prompt.focus()
        prompt.insert_text_at_cursor(event.text)

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

    async def action_copy_or_quit(self) -> None:
        """Copy what is marked or, where nothing is, quit."""
        marked = self.query_one(Prompt).selected_text or self.screen.get_selected_text()
        if not marked:
            await self.action_quit()
            return
        self.copy_to_clipboard(marked)
        self.screen.clear_selection()

    def action_next_language(self) -> None:
        """Show the interface in the next language."""
        codes = list(LANGUAGES)
        self.show_in(codes[(codes.index(used()) + 1) % len(codes)])

    def show_in(self, language: str) -> None:
        """Show the interface in `language`, a key of `LANGUAGES`; what was told stays as it is."""
        use(language)
        self.query_one(Prompt).show_placeholder()
        self.query_one(StatusLine).show()
        for card in self.query(CallCard):
            card.show()
        self.query_one(Keys).refresh(recompose=True)

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
            await self._tools.open(self._ask)
        except DemoticError as error:
            self.start_fault = error
            self.state = "failed"
            self.query_one(Prompt).close()
            await transcript.fail(str(error) + " " + _("Ctrl-Q quits."))
            return
        for notice in endpoint.notices:
            await transcript.tell(notice)
        if self._tools.names:
            await transcript.tell(_("Tools: {names}.").format(names=", ".join(self._tools.names)))
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
        transcript = self.query_one(Transcript)
        turns = [*self._turns, Message("user", said.text)]
        num_before = len(turns)
        self.figures = ""
        self._reply = reply = Reply(transcript, said)
        try:
            async with aclosing(self._tools.answer(HttpAnswers(client, self._config), turns)) as events:
                async for event in events:
                    await reply.show(event)
            self.figures = reply.figures
        except AnswerFailed as fault:
            step = _(_NEXT_STEPS.get(fault.code or "", _ANOTHER_STEP))
            await transcript.fail(f"{fault} {step}")
            if fault.code == _OVERFLOW:
                del turns[num_before:]
        except asyncio.CancelledError:
            self.figures = _("stopped")
            raise
        finally:
            await reply.finish()
            # A question without any answer is not kept: many templates refuse two questions in a row.
            if len(turns) > num_before:
                self._turns = turns

    async def _ask(self, tool: OfferedTool, call: ToolCall) -> Verdict:
        """Have the person decide on a call, whose card is the last one."""
        card = self._reply.card if self._reply is not None else None
        if card is None:
            raise RuntimeError(f"a call of {call.name} is asked about before it is shown")
        self.state = "asking"
        settling = self.set_timer(_SETTLE_SECONDS, lambda: self._offer_focus(card))
        try:
            return await card.ask(is_read_only=tool.is_read_only)
        finally:
            settling.stop()
            self.state = "answering"
            # There is no screen any more where the chat was left meanwhile.
            if self.screen_stack and self.focused is card:
                self.query_one(Prompt).focus()

    def _offer_focus(self, card: CallCard) -> None:
        """Give the keys to a card that asks, unless something is being typed."""
        if card.state == "asking" and not self.query_one(Prompt).value:
            card.focus()
