"""The conversation: it lets messages wait until the model is free, and shows the answers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.screen import Screen
from textual.worker import Worker, WorkerCancelled

from runtime.chat.tools.approval import Verdict
from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.sources.base import OfferedTool
from runtime.config import RunConfig
from runtime.errors import DemoticError
from tui.client import ChatClient
from tui.commands import registry
from tui.commands.command import Command
from tui.dialogue import Dialogue
from tui.events import AnswerFailed
from tui.faults import OVERFLOW
from tui.reply import Reply
from tui.tools import ChatTools
from tui.widgets.card import CallCard
from tui.widgets.completions import Completions
from tui.widgets.keys import Keys
from tui.widgets.message import Said
from tui.widgets.prompt import Prompt
from tui.widgets.status import State, StatusLine
from tui.widgets.transcript import Transcript
from tui.words import _, mark

if TYPE_CHECKING:
    from tui.app import ChatApp

_ANSWER = "answer"
# A key that was on its way to the prompt is no answer to a question that has just come up.
_SETTLE_SECONDS = 0.5

_NEXT_STEPS = {
    OVERFLOW: mark("Ctrl-N starts a new conversation."),
    "server_unreachable": mark("Ctrl-Q quits; then start the chat again."),
}
_ANOTHER_STEP = mark("Say it again, or say something else.")


class ConversationScreen(Screen[None]):
    """What was said, and where the next message is written; `message` is said first."""

    app: ChatApp
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", mark("Stop"), priority=True),
        Binding("ctrl+n", "start_anew", mark("New conversation"), priority=True),
        Binding("pageup", "scroll_up", show=False, priority=True),
        Binding("pagedown", "scroll_down", show=False, priority=True),
    ]

    model_name = reactive("")
    state: reactive[State] = reactive[State]("loading")
    figures = reactive("")

    def __init__(self, tools: ChatTools, config: RunConfig, *, model_name: str, message: str | None) -> None:
        super().__init__()
        self._tools = tools
        self._dialogue = Dialogue(tools, config)
        self._first_message = message
        self._client: ChatClient | None = None
        self._reply: Reply | None = None
        self._waiting: deque[Said] = deque()
        self.set_reactive(ConversationScreen.model_name, model_name)

    def compose(self) -> ComposeResult:
        """Transcript, completions, input line, status line, keys."""
        yield Transcript()
        completions = Completions(lambda text: registry.completions(self, text))
        yield completions
        yield Prompt(completions)
        yield StatusLine().data_bind(
            ConversationScreen.model_name, ConversationScreen.state, ConversationScreen.figures
        )
        yield Keys()

    @property
    def transcript(self) -> Transcript:
        """What was said, and what is told."""
        return self.query_one(Transcript)

    @property
    def prompt(self) -> Prompt:
        """Where the next message is written."""
        return self.query_one(Prompt)

    async def on_mount(self) -> None:
        """Say the first message."""
        self.prompt.focus()
        if self._first_message:
            await self.say(self._first_message)

    async def begin(self, client: ChatClient, model_name: str, notices: Sequence[str]) -> None:
        """From now on `client` answers."""
        self._client = client
        self.model_name = model_name
        for notice in notices:
            await self.transcript.tell(notice)
        if self._tools.names:
            await self.transcript.tell(_("Tools: {names}.").format(names=", ".join(self._tools.names)))
        self.state = "ready"
        self._answer_next()

    async def refuse(self, fault: DemoticError) -> None:
        """Nothing will answer here."""
        self.state = "failed"
        self.prompt.close()
        await self.transcript.fail(str(fault) + " " + _("Ctrl-Q quits."))

    async def on_prompt_submitted(self, event: Prompt.Submitted) -> None:
        """Say what was written, or do what it commands."""
        called = registry.called(event.text)
        if called is None:
            await self.say(registry.said(event.text))
            return
        name, argument = called
        command = registry.COMMANDS.get(name)
        if command is not None:
            self._do(command, argument)
            return
        self.prompt.value = event.text
        nearest = registry.nearest(name)
        hint = " " + _("Did you mean /{name}?").format(name=nearest) if nearest is not None else ""
        step = _("/help tells all commands; two slashes say it as it is.")
        await self.transcript.fail(_("There is no command /{name}.").format(name=name) + f"{hint} {step}")

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """An answer has ended, in whatever way: the next message may be answered."""
        if event.worker.group == _ANSWER and event.worker.is_finished:
            self.state = "ready"
            self._answer_next()

    def on_call_card_typed(self, event: CallCard.Typed) -> None:
        """Write on in the prompt."""
        self.prompt.focus()
        self.prompt.insert_text_at_cursor(event.text)

    def action_stop(self) -> None:
        """Put the completions away, or stop the answer; what came of it stays."""
        completions = self.query_one(Completions)
        if completions.chosen is not None:
            completions.close()
            return
        self.workers.cancel_group(self, _ANSWER)

    async def tell(self, text: str) -> None:
        """Show a notice."""
        await self.transcript.tell(text)

    def show_in(self, language: str) -> None:
        """Show the interface in another language."""
        self.app.show_in(language)

    async def quit(self) -> None:
        """Leave the chat."""
        await self.app.action_quit()

    async def action_start_anew(self) -> None:
        """Forget the conversation."""
        await self.start_anew()

    async def start_anew(self) -> None:
        """Forget the conversation."""
        for worker in self.workers.cancel_group(self, _ANSWER):
            with suppress(WorkerCancelled):
                await worker.wait()
        self._dialogue.forget()
        self._waiting.clear()
        self.figures = ""
        await self.transcript.remove_children()

    def action_scroll_up(self) -> None:
        """Scroll the conversation one page up."""
        self.transcript.scroll_page_up()

    def action_scroll_down(self) -> None:
        """Scroll the conversation one page down."""
        self.transcript.scroll_page_down()

    async def say(self, text: str) -> None:
        """Say something; it is answered when the model is free."""
        self._waiting.append(await self.transcript.say(text))
        self._answer_next()

    @work(group="command")
    async def _do(self, command: Command, argument: str) -> None:
        try:
            await command.action(self, argument)
        except DemoticError as fault:
            await self.transcript.fail(str(fault))

    def _answer_next(self) -> None:
        if self._client is not None and self.state == "ready" and self._waiting:
            self.state = "answering"
            self._answer(self._client, self._waiting.popleft())

    @work(group=_ANSWER, exclusive=True)
    async def _answer(self, client: ChatClient, said: Said) -> None:
        self.figures = ""
        self._reply = reply = Reply(self.transcript, said)
        try:
            async with aclosing(self._dialogue.answer(client, said.text)) as events:
                async for event in events:
                    await reply.show(event)
            self.figures = reply.figures
        except AnswerFailed as fault:
            step = _(_NEXT_STEPS.get(fault.code or "", _ANOTHER_STEP))
            await self.transcript.fail(f"{fault} {step}")
        except asyncio.CancelledError:
            self.figures = _("stopped")
            raise
        finally:
            await reply.finish()

    async def ask(self, tool: OfferedTool, call: ToolCall) -> Verdict:
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
            # It is gone where the chat was left meanwhile.
            if self.is_attached and self.focused is card:
                self.prompt.focus()

    def _offer_focus(self, card: CallCard) -> None:
        """Give the keys to a card that asks, unless something is being typed."""
        if card.state == "asking" and not self.prompt.value:
            card.focus()
