"""The chat application: it connects to what answers, and holds what all its screens share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from runtime.config import RunConfig
from runtime.errors import DemoticError
from tui.actions import all_actions
from tui.choosing.kept import lasting
from tui.client import ChatClient
from tui.commands.palette import HasPalette
from tui.events import Endpoint
from tui.front_door import end_all
from tui.history.resuming import Resume
from tui.keeper import Keeper
from tui.keynames import use_keys
from tui.look import Look
from tui.screens.conversation import ConversationScreen
from tui.screens.keys import KeysPanel
from tui.starting import start_otherwise
from tui.terminal import Terminal
from tui.themes import THEMES
from tui.tools import ChatTools
from tui.widgets.editor import Editor
from tui.words import LANGUAGES, Worded, mark, use, used

if TYPE_CHECKING:
    from tui.lab.lab import Lab


class ChatApp(App[None]):
    """The chat over the endpoint that `connect` gives once it is ready; until then messages wait.

    `tools` are those that the model may call. `keeper` is what remembers; without one nothing is kept. `resume` says
    which conversation comes first. `switch` has another model answer, where that can be done, and `add` has the server
    of the second model have the first one too. `opens_lab`: with the language lab over the conversation. `model_name`
    is the model that is asked for, by the person where `is_model_given`; `told_of` is one that did not start, of which
    the person knows. After it has run, `start_fault` tells why there was no endpoint.
    """

    CSS_PATH = "app.tcss"
    TITLE = "demotic"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "quit", mark("Quit"), priority=True, id="quit", tooltip=mark("leave the chat")),
        Binding(
            "f2",
            "next_language",
            mark("Language"),
            priority=True,
            id="language",
            tooltip=mark("show the chat in the next language"),
        ),
        Binding(
            "ctrl+c",
            "copy_or_quit",
            show=False,
            priority=True,
            id="copy",
            tooltip=mark("copy what is marked or, where nothing is, leave"),
        ),
        Binding("ctrl+p", "palette", show=False, priority=True, id="palette", tooltip=mark("find a command")),
        Binding("f1", "show_keys", show=False, priority=True, id="keys", tooltip=mark("show all keys")),
    ]

    def __init__(
        self,
        connect: Callable[[], Awaitable[Endpoint]],
        *,
        model_name: str = "",
        message: str | None = None,
        config: RunConfig | None = None,
        tools: ChatTools | None = None,
        terminal: Terminal | None = None,
        keeper: Keeper | None = None,
        resume: Resume = "left",
        look: Look | None = None,
        switch: Callable[[str], Awaitable[Endpoint]] | None = None,
        add: Callable[[str, str], Awaitable[Endpoint]] | None = None,
        opens_lab: bool = False,
        is_model_given: bool = False,
    ) -> None:
        super().__init__()
        look = look or Look()
        for theme in THEMES.values():
            self.register_theme(theme)
        self.theme = look.theme
        self.keymap = look.keymap
        self.set_keymap(look.keymap)
        use_keys(all_actions(self.BINDINGS), look.keymap)
        self._switch = switch
        self._add = add
        self.endpoint: Endpoint | None = None
        self.lab: Lab | None = None
        self._opens_lab = opens_lab
        self.asked = model_name
        self.is_model_given = is_model_given
        self.told_of = ""
        self.start_fault: DemoticError | None = None
        self.terminal = terminal or Terminal()
        self._connect = connect
        self._tools = tools or ChatTools()
        self._client: ChatClient | None = None
        self._keeper = keeper or Keeper()
        self.conversation = ConversationScreen(
            self._tools, config or RunConfig(), self._keeper, model_name=model_name, message=message, resume=resume
        )

    def get_default_screen(self) -> ConversationScreen:
        """The conversation is what all else lies upon."""
        return self.conversation

    def on_mount(self) -> None:
        """Start connecting."""
        self._open()

    async def on_unmount(self) -> None:
        """Give the connections back, and close what is remembered."""
        await self._close()
        await end_all()
        self._keeper.close()

    async def action_quit(self) -> None:
        """Stop the answer, and leave."""
        await self.conversation.stop_answering()
        self.exit()

    async def action_copy_or_quit(self) -> None:
        """Copy what is marked or, where nothing is, quit."""
        edited = self.focused.selected_text if isinstance(self.focused, Editor) else ""
        marked = edited or self.screen.get_selected_text()
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
        for screen in self.screen_stack:
            for widget in screen.walk_children(with_self=True):
                if isinstance(widget, Worded):
                    widget.show_words()

    def action_palette(self) -> None:
        """Find a command."""
        screen: object = self.screen
        if screen is self.conversation:
            self.conversation.action_run_command("palette")
        elif isinstance(screen, HasPalette):
            screen.action_palette()

    def action_show_keys(self) -> None:
        """Show all keys."""
        if not isinstance(self.screen, ModalScreen):
            first = "conversation" if self.screen is self.conversation else "lab"
            self.push_screen(KeysPanel(all_actions(self.BINDINGS, first=first), self.keymap))

    @property
    def client(self) -> ChatClient | None:
        """What answers, once it does."""
        return self._client

    @property
    def can_switch(self) -> bool:
        """Whether the chat's own server answers, whose model can be changed."""
        return self._switch is not None

    async def switch_model(self, reference: str) -> bool:
        """Have another model answer; where it does not start, the one before goes on. Messages wait meanwhile.

        Returns:
            Whether it answers.
        """
        try:
            await self.answer_by(reference, reopens=True)
        except DemoticError as fault:
            await self.conversation.transcript.fail(str(fault))
            return False
        return True

    async def answer_by(self, reference: str, *, reopens: bool = False) -> None:
        """Have another model answer.

        Raises:
            DemoticError: it does not start; then the one before is started again, and connected to where `reopens`.
        """
        if self._switch is None:
            raise RuntimeError("there is no server whose model can be changed")
        before, self.asked = self.asked, reference
        try:
            await self._exchange(self._switch(reference), reference, reopens=reopens)
        except DemoticError:
            self.asked = before
            raise

    async def add_model(self, reference: str) -> None:
        """Have the chat's own server have one more model; it starts anew for that. Messages wait meanwhile.

        Raises:
            DemoticError: the model does not start; those before go on.
        """
        if self._add is not None:
            name = self.conversation.model_name
            await self._exchange(self._add(reference, name), name, reopens=True)

    async def _exchange(self, starting: Awaitable[Endpoint], name: str, *, reopens: bool) -> None:
        await self.conversation.pause(name)
        await self._close()
        try:
            await self._join(await starting)
        except DemoticError:
            if reopens:
                self._open()
            raise

    @work(group="connection")
    async def _open(self) -> None:
        try:
            try:
                await self._join(await self._connect())
            except DemoticError as error:
                if self._switch is None:
                    raise
                await start_otherwise(self, error)
        except DemoticError as error:
            self.start_fault = error
            await self.conversation.refuse(error)

    async def _join(self, endpoint: Endpoint) -> None:
        self.endpoint, self._client = endpoint, ChatClient(endpoint)
        await self._client.model_name()
        await self._tools.open(self.conversation.ask)
        await self.conversation.begin(self._client, lasting(self.asked), endpoint.notices)
        if self._opens_lab:
            self._opens_lab = False
            self.conversation.action_run_command("lab")

    async def _close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self.endpoint = self._client = None
