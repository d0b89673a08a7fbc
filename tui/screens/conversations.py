"""All conversations: a list with a search box, to open one, rename, export, pin, delete it and bring it back."""

from __future__ import annotations

from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import TextArea

from runtime.errors import DemoticError
from tui.exporting import export_to
from tui.history import conversations
from tui.history.search import search
from tui.history.store import Store
from tui.keeper import Keeper
from tui.laid import Laid
from tui.screens.line import ExportPanel, TitlePanel
from tui.shown import shown
from tui.widgets.editor import Editor
from tui.widgets.keys import Keys
from tui.words import _, mark

_MOST_ROWS = 15
Row = tuple[int, str, str]


def found(store: Store, query: str) -> list[Row]:
    """Number, title and what was found: all conversations, or those with all words of `query`, each once."""
    if not query.strip():
        listed = conversations.listed(store)
        return [(each.id, ("* " if each.is_pinned else "") + (each.title or each.draft or "+"), "") for each in listed]
    rows: dict[int, Row] = {}
    for hit in search(store, query):
        rows.setdefault(hit.conversation, (hit.conversation, hit.title, hit.snippet))
    return list(rows.values())


class ConversationsScreen(ModalScreen[int | None]):
    """Gives the number of the conversation that is to be opened, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", mark("Open"), priority=True),
        Binding("ctrl+r", "rename", mark("Rename"), priority=True, id="rename"),
        Binding("ctrl+e", "export", mark("Export"), priority=True, id="export", tooltip=mark("write to a file")),
        Binding("ctrl+t", "pin", mark("Pin"), priority=True, id="pin", tooltip=mark("keep at the top, or no more")),
        Binding("ctrl+d", "delete", mark("Delete"), priority=True, id="delete"),
        Binding("ctrl+z", "undo", mark("Undo"), priority=True, id="undo", tooltip=mark("bring back what was deleted")),
        Binding("escape", "dismiss(None)", mark("Back"), priority=True, id="leave"),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("down", "move(1)", show=False, priority=True),
    ]

    def __init__(self, keeper: Keeper, query: str = "") -> None:
        super().__init__()
        self._keeper = keeper
        self._query = query
        self._rows: list[Row] = []
        self._at = 0
        self._deleted: list[int] = []

    def compose(self) -> ComposeResult:
        """Search box, list, keys."""
        yield Editor(id="search")
        yield Laid(markup=False, id="list")
        yield Laid(markup=False, id="told")
        yield Keys()

    async def on_mount(self) -> None:
        """Show all, or what was looked for."""
        box = self.query_one(Editor)
        box.value = self._query
        box.focus()
        await self._look()

    async def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Look for another text."""
        event.stop()
        self._at = 0
        await self._look()

    def action_move(self, step: int) -> None:
        """Choose another one."""
        self._at = (self._at + step) % max(len(self._rows), 1)
        self._show()

    def action_open(self) -> None:
        """Open the chosen one."""
        if self._rows:
            self.dismiss(self._rows[self._at][0])

    @work(group="panel", exclusive=True)
    async def action_rename(self) -> None:
        """Give the chosen one another title."""
        if self._rows:
            chosen = await self._keeper.do(conversations.get, self._rows[self._at][0])
            title = await self.app.push_screen_wait(TitlePanel(chosen.title))
            if title is not None:
                await self._keeper.do(conversations.rename, chosen.id, title)
                await self._look()

    @work(group="panel", exclusive=True)
    async def action_export(self) -> None:
        """Write the chosen one to a file."""
        if self._rows:
            number = self._rows[self._at][0]
            name = await self.app.push_screen_wait(ExportPanel(f"chat-{number}.md"))
            if name is None:
                return
            try:
                path = await export_to(self._keeper, number, name)
            except DemoticError as fault:
                self._tell(str(fault))
            else:
                self._tell(_("Written to {path}.").format(path=path))

    async def action_pin(self) -> None:
        """Keep the chosen one at the top, or no more."""
        if self._rows:
            chosen = await self._keeper.do(conversations.get, self._rows[self._at][0])
            await self._keeper.do(conversations.pin, chosen.id, is_pinned=not chosen.is_pinned)
            await self._look()

    async def action_delete(self) -> None:
        """Delete the chosen one."""
        if self._rows:
            self._deleted.append(self._rows[self._at][0])
            await self._keeper.do(conversations.delete, self._deleted[-1])
            await self._look()

    async def action_undo(self) -> None:
        """Bring back what was deleted last."""
        if self._deleted:
            await self._keeper.do(conversations.restore, self._deleted.pop())
            await self._look()

    def _tell(self, text: str) -> None:
        """Say what came of an export."""
        self.query_one("#told", Laid).update(shown(text))

    async def _look(self) -> None:
        self._rows = await self._keeper.do(found, self.query_one(Editor).value)
        self._at = min(self._at, max(len(self._rows) - 1, 0))
        self._show()

    def _show(self) -> None:
        first = max(0, min(self._at - _MOST_ROWS // 2, len(self._rows) - _MOST_ROWS))
        lines = [
            Content.assemble((f"{number}  {shown(title)}", "reverse" if at == self._at else "bold"), f"  {shown(part)}")
            for at, (number, title, part) in list(enumerate(self._rows))[first : first + _MOST_ROWS]
        ]
        self.query_one("#list", Laid).update(Content("\n").join(lines) if lines else _("Nothing was found."))
