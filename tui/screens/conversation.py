"""The conversation: it lets messages wait until the model is free, and shows the answers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import ClassVar

import msgspec
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.css.query import NoMatches
from textual.reactive import reactive
from textual.widget import MountError
from textual.widgets import TextArea
from textual.worker import Worker, WorkerCancelled

from runtime.chat.reasoning import Piece
from runtime.chat.tools.approval import Verdict
from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.sources.base import OfferedTool
from runtime.config import RunConfig
from runtime.errors import DemoticError, HistoryUnusable, InvalidRequest
from tui.client import ChatClient
from tui.commands import registry
from tui.commands.turns import fulfil, say_instead
from tui.dialogue import Dialogue
from tui.drafts import Drafts, draft_in
from tui.events import AnswerFailed
from tui.faults import next_step
from tui.history.drafts import Draft
from tui.history.records import Entry
from tui.history.resuming import Resume, resumed
from tui.keeper import Keeper
from tui.keynames import with_keys
from tui.reply import Reply
from tui.screens.asking import answer_on
from tui.screens.chosen import ChosenScreen
from tui.screens.taking_up import take_up
from tui.seen import language_said
from tui.talk import Talk
from tui.tools import ChatTools
from tui.widgets.card import CallCard
from tui.widgets.completions import Completions
from tui.widgets.keys import Keys
from tui.widgets.message import Said
from tui.widgets.prompt import Prompt
from tui.widgets.status import State, StatusLine
from tui.widgets.transcript import Transcript
from tui.widgets.turn import Turn
from tui.words import _, mark

_ANSWER = "answer"


class ConversationScreen(ChosenScreen):
    """What was said, and where the next message is written; `message` is said first.

    `is_open` is set once what is remembered is on the screen.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", mark("Stop"), priority=True, id="stop", tooltip=mark("stop the answer")),
        Binding("ctrl+n", "run_command('new')", mark("New conversation"), priority=True, id="new"),
        Binding("alt+up", "select(-1)", show=False, priority=True, id="back", tooltip=mark("to the message before")),
        Binding("alt+down", "select(1)", show=False, priority=True, id="on", tooltip=mark("to the message after")),
        Binding("pageup", "scroll_up", show=False, priority=True, id="page-up", tooltip=mark("one page up")),
        Binding("pagedown", "scroll_down", show=False, priority=True, id="page-down", tooltip=mark("one page down")),
    ]

    state: reactive[State] = reactive[State]("loading")
    figures = reactive("")

    def __init__(
        self,
        tools: ChatTools,
        config: RunConfig,
        keeper: Keeper,
        *,
        model_name: str,
        message: str | None,
        resume: Resume,
    ) -> None:
        super().__init__()
        self.keeper = keeper
        self.talk = Talk(keeper)
        self._tools = tools
        self._dialogue = Dialogue(tools, self.talk, config)
        self._first_message = message
        self._resume: Resume = resume
        self._client: ChatClient | None = None
        self._reply: Reply | None = None
        self._waiting: deque[Said] = deque()
        self._answered: Said | None = None
        self._edited: Turn | None = None
        self._is_taken_up = True
        self.is_open = asyncio.Event()
        self._drafts = Drafts(self.talk, self._draft)
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

    async def on_mount(self) -> None:
        """Open what is remembered, and say the first message."""
        self.prompt.focus()
        self._open()
        if self._first_message:
            await self.say(self._first_message)

    async def begin(self, client: ChatClient, reference: str, notices: Sequence[str]) -> None:
        """From now on `client` answers; `reference` is by what else than its name its model can be asked for again."""
        if client.served is None:
            await client.look()
        await self.is_open.wait()
        if not self.is_attached:
            return  # the chat was left meanwhile
        self._client = client
        self.model_name, adapter = client.parts
        self.status.know(client.served)
        self.talk.model = reference or self.model_name
        if adapter:
            self.talk.choices = self.choices = msgspec.structs.replace(self.choices, adapter=adapter)
        for notice in notices:
            await self.transcript.tell(notice)
        if self._tools.names:
            await self.transcript.tell(_("Tools: {names}.").format(names=", ".join(self._tools.names)))
        if not self._is_taken_up and await self._take_up(client):
            return
        self.state = "ready"
        self._answer_next()

    async def pause(self, model_name: str) -> None:
        """Another model is going to answer: stop the answer; messages wait until `begin`."""
        self._client = None
        await self.stop_answering(forgets=False)
        self.model_name, self.state = model_name, "loading"

    async def refuse(self, fault: DemoticError) -> None:
        """Nothing will answer here."""
        self.state = "failed"
        self.prompt.close()
        await self.is_open.wait()
        await self.transcript.fail(str(fault) + " " + with_keys(_("{quit} quits.")))

    async def go_without(self) -> None:
        """Nothing answers yet, and the person may choose what does."""
        self.state = "failed"
        await self.transcript.fail(with_keys(_("Nothing was downloaded. /model chooses another model; {quit} quits.")))

    async def on_prompt_submitted(self, event: Prompt.Submitted) -> None:
        """Say what was written, or do what it commands."""
        called = registry.called(event.text)
        if called is None:
            text = registry.said(event.text)
            if self._edited is not None and self._edited.entry is not None:
                self._do(partial(say_instead, self, self._edited.entry, text))
            else:
                await self.say(text)
            return
        self.prompt.unsaid = ""
        name, argument = called
        command = registry.COMMANDS.get(name)
        if command is not None:
            self._do(partial(command.action, self, argument))
            return
        self.prompt.value = event.text
        await self.transcript.fail(registry.unknown(name))

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Have the draft remembered."""
        if event.text_area is self.prompt:
            self._drafts.change()

    def on_prompt_attached(self) -> None:
        """Have what goes along remembered."""
        self._drafts.change()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """An answer has ended, in whatever way: the next message may be answered."""
        if event.worker.group == _ANSWER and event.worker.is_finished and self._client is not None:
            self.state = "ready"
            self._answer_next()

    @on(CallCard.Typed)
    @on(Turn.Typed)
    def type_on(self, event: CallCard.Typed | Turn.Typed) -> None:
        """Write on in the prompt."""
        self.prompt.focus()
        self.prompt.insert_text_at_cursor(event.text)

    def on_turn_wished(self, event: Turn.Wished) -> None:
        """Do what is wished with a message."""
        self._do(partial(fulfil, self, event.turn, event.wish))

    def action_stop(self) -> None:
        """Put the completions away, go back to the prompt, leave a message as it is, or stop the answer."""
        completions = self.query_one(Completions)
        if completions.chosen is not None:
            completions.close()
        elif isinstance(self.focused, Turn):
            self.prompt.focus()
        elif self._edited is not None:
            self.edit(None)
            self.prompt.value = ""
        else:
            self.workers.cancel_group(self, _ANSWER)

    async def start_anew(self) -> None:
        """Begin a new conversation; what is typed goes along."""
        await self.stop_answering()
        async with self._drafts.lock:
            await self.talk.keep_draft(Draft())
            self.talk.begin()
            await self.show(())
        self._drafts.change()

    async def open(self, number: int) -> None:
        """Go on with a conversation.

        Raises:
            ConversationNotFound: there is none of this number.
        """
        await self.stop_answering()
        async with self._drafts.lock:
            if self.talk.conversation is None or self.talk.conversation.id != number:
                await self.talk.keep_draft(self._draft())
            await self.show(await self.talk.open(number))
            self._write_on()
        self.choices = self.talk.choices
        self._is_taken_up = False
        if self._client is not None:
            await self._take_up(self._client)

    async def stop_answering(self, *, forgets: bool = True) -> None:
        """Stop the answer, and forget what waits, unless that is to be answered later."""
        if forgets:
            self._waiting.clear()
            self._answered = None
        for worker in self.workers.cancel_group(self, _ANSWER):
            with suppress(WorkerCancelled):
                await worker.wait()

    async def show(self, entries: Sequence[Entry]) -> list[Said]:
        """Show these messages and no others; what the person said of them."""
        self.figures = ""
        self.status.forget()
        self.edit(None)
        return await self.transcript.show(entries)

    def require_ready(self) -> None:
        """Raise `InvalidRequest` where an answer is coming or cannot come yet."""
        if self.state != "ready":
            raise InvalidRequest(_("The model is not free."), remedy=with_keys(_("{stop} stops an answer.")))

    def edit(self, turn: Turn | None) -> None:
        """Have what is sent next stand in the place of a message, or of none."""
        if self._edited is not None:
            self._edited.remove_class("edited")
        self._edited = turn
        if turn is not None:
            turn.add_class("edited")

    def action_run_command(self, name: str) -> None:
        """Do what a command does."""
        self._do(partial(registry.COMMANDS[name].action, self, ""))

    def answer(self, said: Said, cut: Entry | None = None) -> None:
        """Have a message answered that is remembered already, or an answer to it go on that was cut."""
        if self._client is not None:
            self.state, self._answered = "answering", said
            self._answer(self._client, said, cut)

    async def say(self, text: str) -> None:
        """Say something; it is answered when the model is free."""
        self._waiting.append(await self.transcript.say(text))
        self.prompt.unsaid = ""
        self._answer_next()

    @work(group="open")
    async def _open(self) -> None:
        """Open what is remembered, and go on with what was left in the midst of something."""
        fault = await self.keeper.open()
        if fault is not None:
            await self.transcript.fail(f"{fault} " + _("This conversation is not kept."))
        try:
            found = None if self._first_message else await self.keeper.do(resumed, self._resume)
            if found is not None:
                typed = self.prompt.value
                await self.transcript.show(await self.talk.open(found.id))
                self._write_on(typed)
                self.choices, self._is_taken_up = self.talk.choices, False
        except DemoticError as error:
            await self.transcript.fail(str(error))
        self.is_open.set()
        self._answer_next()
        await self._drafts.keep()

    async def _take_up(self, client: ChatClient) -> bool:
        self._is_taken_up = True
        return await take_up(self, client)

    def _draft(self) -> Draft:
        if not self.query(Prompt):  # the chat is being left
            return self.talk.draft
        return draft_in(self.prompt, [self._answered, *self._waiting], self._edited)

    def _write_on(self, typed: str = "") -> None:
        """Put into the prompt what was left in it, before what is `typed` by now."""
        draft = self.talk.draft
        self.prompt.attach(*draft.attached)
        self.prompt.value = draft.text + typed
        turn = self.transcript.turn_of(draft.edits) if draft.edits is not None else None
        self.edit(turn)

    @work(group="command")
    async def _do(self, action: Callable[[], Awaitable[None]]) -> None:
        await self.is_open.wait()
        try:
            await action()
        except DemoticError as fault:
            await self.transcript.fail(str(fault))

    def _answer_next(self) -> None:
        if self._client is not None and self.state == "ready" and self._waiting and self.is_open.is_set():
            self.answer(self._waiting.popleft())
        self._drafts.change()

    @work(group=_ANSWER, exclusive=True)
    async def _answer(self, client: ChatClient, said: Said, cut: Entry | None = None) -> None:
        self.figures = ""
        self._reply = reply = Reply(self.transcript, said)
        try:
            entry = said.entry = said.entry or await self.talk.say(said.text)
            self._drafts.change()
            if cut is not None:
                await reply.show(Piece("content", cut.text))
            async with aclosing(self._dialogue.answer(client, entry, cut)) as events:
                async for event in events:
                    await reply.show(event)
            self.figures = reply.figures
            self._note(reply, said.text)
        except AnswerFailed as fault:
            await self.transcript.fail(f"{fault} {next_step(fault)}")
        except HistoryUnusable as fault:
            await self.transcript.fail(str(fault))
        except asyncio.CancelledError:
            self.figures = _("stopped")
            raise
        finally:
            with suppress(MountError, NoMatches, HistoryUnusable):  # the chat was left meanwhile
                await reply.finish()
                last = self.talk.last
                await reply.know(await self.talk.entries())
                self.talk.last = last  # before what was too long, where it was
                if self._dialogue.fault is not None:
                    await self.transcript.fail(str(self._dialogue.fault))

    @work(group="note")
    async def _note(self, reply: Reply, said: str) -> None:
        """Show what an answer took; the language may have to be found first."""
        language = await language_said(said, reply.turns)
        with suppress(NoMatches):  # the chat was left meanwhile
            self.status.note(reply.turns, reply.num_calls, language)

    async def ask(self, tool: OfferedTool, call: ToolCall) -> Verdict:
        """Have the person decide on a call, whose card is the last one."""
        card = self._reply.card if self._reply is not None else None
        if card is None:
            raise RuntimeError(f"a call of {call.name} is asked about before it is shown")
        self.state = "asking"
        try:
            return await answer_on(card, self.prompt, is_read_only=tool.is_read_only)
        finally:
            self.state = "answering"
