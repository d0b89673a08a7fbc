"""The chat line by line: what is read, said, commanded and shown."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from runtime.chat.reasoning import Piece
from runtime.chat.tools.approval import UNAPPROVED, Verdict
from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.loop import CallAsked, CallEnded
from runtime.chat.tools.showing import described, lines_of
from runtime.chat.tools.sources.base import OfferedTool
from runtime.errors import DemoticError, HistoryUnusable
from tui.commands import registry
from tui.dialogue import Dialogue
from tui.events import AnswerFailed
from tui.faults import OVERFLOW
from tui.history.records import Entry
from tui.history.resuming import Resume, resumed
from tui.joining import Server
from tui.keeper import Keeper
from tui.plain.hosting import PlainHost
from tui.plain.lines import Lines
from tui.plain.starting import endpoint_of
from tui.shown import shown
from tui.tools import ChatTools
from tui.words import _, mark

_NEXT_STEPS = {OVERFLOW: mark("/new begins a new conversation.")}
_VERDICTS: dict[str, Verdict] = {"o": "once", "1": "once", "a": "always", "2": "always", "d": "deny", "3": "deny"}
# The exit status where a piped message had no answer.
FAILED = 1


class PlainChat(PlainHost):
    """One chat, to be run once. What is said and what lists tell is standard output, all else standard error.

    `is_asking`: somebody is at a terminal, who is shown where to write and asked about tools.
    """

    def __init__(
        self, server: Server, tools: ChatTools, lines: Lines, keeper: Keeper, *, resume: Resume, is_asking: bool
    ) -> None:
        super().__init__(server, lines, keeper, is_asking=is_asking)
        self._tools = tools
        self._resume: Resume = resume
        self._dialogue = Dialogue(tools, self.talk)
        self._answering: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._status = 0

    async def run(self, message: str | None) -> int:
        """Say `message`, and then what is read, until that ends; the exit status.

        Raises:
            DemoticError: there is no endpoint.
        """
        if self._is_asking:
            self._say(_("loading …"))
        read = self._lines.read if self._is_asking else None
        endpoint = await endpoint_of(self._server, self._say, read)
        for notice in endpoint.notices:
            self._say(notice)
        await self._tools.open(self._ask if self._is_asking else None)
        try:
            await self.join(endpoint)
            await self._open()
            if self._is_asking:
                told = _("{model} is ready. /help tells all commands; Ctrl-D quits.")
                self._say(told.format(model=self.model_name))
            if message is not None:
                await self._say_to_model(message)
            while not self._is_leaving and (text := await self.read()) is not None:
                await self._take(text)
        finally:
            await self.leave()
        return self._status or (UNAPPROVED if self._tools.num_unasked else 0)

    @property
    def has_begun(self) -> bool:
        """Whether there is something that answers."""
        return self.client is not None

    def interrupt(self) -> bool:
        """Stop the answer that is coming; False where none is."""
        if self._answering is None:
            return False
        self._is_stopped = True
        self._answering.cancel()
        return True

    def remind(self) -> None:
        """Tell how to leave, and where to write."""
        self._say("\n" + _("Ctrl-D quits."))
        self._show_prompt()

    async def answer(self, said: Entry, cut: Entry | None = None) -> None:
        """Have a message answered that is remembered, or an answer to it go on that was cut, and print what comes."""
        self._is_stopped = False
        self._answering = asyncio.create_task(self._stream(said, cut))
        try:
            await self._answering
        except asyncio.CancelledError:
            if not self._is_stopped:
                raise
            self._say("\n" + _("stopped"))
        except AnswerFailed as fault:
            step = _NEXT_STEPS.get(fault.code or "")
            self._fail(f"\n{fault} {_(step) if step else ''}".rstrip())
        except HistoryUnusable as fault:
            self._fail(str(fault))
        finally:
            self._answering = None

    async def read(self) -> str | None:
        """What is to be said or done: a line or, where it ends with a backslash, several; None at the end of input."""
        told: list[str] = []
        self._show_prompt()
        while (line := await self._lines.read()) is not None:
            try:
                text = line.decode()
            except UnicodeDecodeError:
                self._fail(_("That is not UTF-8 text."))
                told = []
                self._show_prompt()
                continue
            if not text.endswith("\\"):
                return "\n".join([*told, text])
            told.append(text[:-1])
        return "\n".join(told) or None

    async def _open(self) -> None:
        """Open what is remembered, and go on with what the person left in the midst of something or asked for."""
        fault = await self.keeper.open()
        if fault is not None:
            self._say(f"{fault} " + _("This conversation is not kept."))
        found = await self.keeper.do(resumed, self._resume)
        if found is not None:
            await self.open(found.id)

    async def _take(self, text: str) -> None:
        if not text.strip():
            return
        called = registry.called(text)
        if called is None:
            await self._say_to_model(registry.said(text))
            return
        name, argument = called
        command = registry.COMMANDS.get(name)
        if command is None:
            self._fail(registry.unknown(name))
        elif command.plain is None:
            self._fail(_("/{name} needs the chat with a screen.").format(name=name))
        else:
            try:
                await command.plain(self, argument)
            except DemoticError as fault:
                self._fail(str(fault))

    async def _say_to_model(self, text: str) -> None:
        attached, self.attached = self.attached, ()
        try:
            said = await self.talk.say("\n\n".join([*(each.fenced for each in attached), text]))
        except HistoryUnusable as fault:
            self._fail(str(fault))
            return
        await self.answer(said)

    async def _stream(self, said: Entry, cut: Entry | None) -> None:
        if self.client is None:
            raise RuntimeError("nobody answers yet")
        async with aclosing(self._dialogue.answer(self.client, said, cut)) as events:
            async for event in events:
                match event:
                    case Piece(kind="content", text=piece):
                        self._write(shown(piece))
                    case CallAsked() | CallEnded():
                        for line in lines_of(event):
                            self._say(line)
        self._write("\n")
        if self._dialogue.fault is not None:
            self._fail(str(self._dialogue.fault))

    async def _ask(self, tool: OfferedTool, call: ToolCall) -> Verdict:
        hint = " " + _("It says that it only reads.") if tool.is_read_only else ""
        self._say(f"{described(call)}: {_('may it run?')}{hint}")
        while True:
            self._say(f"o/1 {_('once')} · a/2 {_('always for this tool')} · d/3 {_('deny')}")
            line = await self._lines.read()
            if line is None:
                return "deny"
            if (verdict := _VERDICTS.get(line.decode(errors="replace").strip().casefold())) is not None:
                return verdict

    def _show_prompt(self) -> None:
        if self._is_asking:
            self._write(_("You:") + " ")

    def _fail(self, text: str) -> None:
        """Tell what went wrong; those who cannot be told see it by the exit status."""
        super()._fail(text)
        if not self._is_asking:
            self._status = FAILED
