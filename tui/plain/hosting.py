"""What commands do with the chat line by line: `tui.commands.host.Host` on lines."""

from __future__ import annotations

import sys
from typing import TypeVar

from runtime.errors import DemoticError
from tui.attaching import Attachment
from tui.choosing.choices import Choices
from tui.choosing.offers import Offer, previewed
from tui.client import ChatClient
from tui.events import Endpoint
from tui.joining import Server
from tui.keeper import Keeper
from tui.plain.lines import Lines
from tui.plain.starting import offered, reference_of, take_up
from tui.screens.picker import Picker
from tui.shown import shown
from tui.switching import SwitchedServer
from tui.talk import Talk
from tui.words import _, use

Value = TypeVar("Value")
# A screen reader reads them all: more are found by a part of their name.
_MOST_ROWS = 20


class PlainHost:
    """Standard output has what commands tell and lists; standard error all else.

    `attached` goes along with what is said next. `is_asking`: somebody is at a terminal, who is shown where to write.
    """

    def __init__(self, server: Server, lines: Lines, keeper: Keeper, *, is_asking: bool) -> None:
        self.keeper = keeper
        self.talk = Talk(keeper)
        self.client: ChatClient | None = None
        self.attached: tuple[Attachment, ...] = ()
        self._server = server
        self._lines = lines
        self._is_asking = is_asking
        self._is_leaving = False

    @property
    def choices(self) -> Choices:
        """See `Host`."""
        return self.talk.choices

    @property
    def model_name(self) -> str:
        """See `Host`."""
        return self.client.parts[0] if self.client is not None else ""

    @property
    def can_switch(self) -> bool:
        """See `Host`."""
        return isinstance(self._server, SwitchedServer)

    async def join(self, endpoint: Endpoint) -> None:
        """From now on `endpoint` answers."""
        await self.leave()
        self.client = ChatClient(endpoint)
        await self.client.model_name()
        await self.client.look()
        self.talk.model = reference_of(self._server) or self.model_name

    async def leave(self) -> None:
        """Give the connections back."""
        if self.client is not None:
            await self.client.close()
            self.client = None

    async def tell(self, text: str) -> None:
        """Print what a command tells."""
        print(shown(text), flush=True)  # noqa: T201

    async def pick(self, picker: Picker[Value]) -> Value | None:
        """A numbered list: a number chooses, a part of a name shows what has it, an empty line leaves."""
        await picker.load()
        typed = ""
        while True:
            found = picker.searched(typed)
            if typed and len(found) == 1:
                return found[0].value
            await self.tell(picker.heading)
            for number, row in enumerate(found[:_MOST_ROWS], 1):
                await self.tell(f"{number}. {row.text}" + (f" · {row.detail}" if row.detail else ""))
            if len(found) > _MOST_ROWS:
                await self.tell(_("{count} more have other names.").format(count=len(found) - _MOST_ROWS))
            line = await self.ask(_("Number, or a part of the name; an empty line leaves it:"))
            if not line:
                return None
            if line.isdecimal() and 0 < int(line) <= min(len(found), _MOST_ROWS):
                return found[int(line) - 1].value
            typed = line

    async def ask(self, question: str) -> str | None:
        """One line that answers a question, without blanks around it; None at the end of input."""
        if self._is_asking:
            self._write(f"{question} ")
        line = await self._lines.read()
        return None if line is None else line.decode(errors="replace").strip()

    async def start_anew(self) -> None:
        """Begin a new conversation."""
        self.talk.begin()

    async def open(self, number: int) -> None:
        """See `Host`."""
        await self.talk.open(number)
        if self.talk.conversation is not None:
            self._say(_("Going on with: {title}").format(title=self.talk.conversation.title))
        if self.client is not None:
            await take_up(self._server, self.talk, self.client, self._say)

    async def choose(self, choices: Choices, model: str | None = None) -> None:
        """See `Host`."""
        await self.talk.choose_for(choices, model)

    async def ask_for(self, client: ChatClient, model: str, choices: Choices) -> None:
        """See `Host`."""
        client.model = choices.model(model)
        self.talk.model, self.talk.choices = model, choices
        await client.look()

    async def download(self, offer: Offer, reference: str) -> Offer | None:
        """See `Host`."""
        known = await previewed(reference) if not offer.license and offer.size_bytes is None else offer
        return known if known.here else await offered(known, reference, self._say, self._lines.read)

    async def switch_model(self, reference: str) -> bool:
        """See `Host`."""
        if not isinstance(self._server, SwitchedServer):
            raise RuntimeError("there is no server whose model can be changed")
        await self.leave()
        self._say(_("loading …"))
        try:
            await self.join(await self._server.switch(reference))
        except DemoticError as fault:
            self._fail(str(fault))
            await self.join(await self._server.endpoint())
            return False
        self._say(_("{model} is ready.").format(model=self.model_name))
        return True

    def forget_given(self) -> None:
        """See `Host`: here the command line counts only where a conversation is opened."""

    def show_in(self, language: str) -> None:
        """Use another language from now on."""
        use(language)

    async def quit(self) -> None:
        """Read no further."""
        self._is_leaving = True

    def _fail(self, text: str) -> None:
        """Tell what went wrong."""
        self._say(text)

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def _say(self, text: str) -> None:
        print(shown(text), file=sys.stderr, flush=True)  # noqa: T201
