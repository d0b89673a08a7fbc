"""All actions that have keys, by where the keys work: what `keys.toml` may change, and what /keys shows."""

from __future__ import annotations

from collections.abc import Iterable

from tui.keymap import Action, actions_of
from tui.lab.keys import LAB_KEYS
from tui.screens.conversation import ConversationScreen
from tui.screens.conversations import ConversationsScreen
from tui.screens.download import DownloadPanel
from tui.screens.line import ExportPanel
from tui.screens.lock import LockPicker
from tui.screens.panel import Panel
from tui.widgets.card import CallCard
from tui.widgets.prompt import Prompt
from tui.widgets.turn import Turn


def all_actions(everywhere: Iterable[object], *, first: str = "") -> list[Action]:
    """The actions of all places; `everywhere` are the application's bindings, and after them come those of `first`."""
    found = actions_of(
        [
            ("", everywhere),
            ("conversation", ConversationScreen.BINDINGS),
            ("conversation/prompt", Prompt.BINDINGS),
            ("conversation/turn", Turn.BINDINGS),
            ("conversation/card", CallCard.BINDINGS),
            ("conversations", ConversationsScreen.BINDINGS),
            ("lab", LAB_KEYS),
            ("panel", Panel.BINDINGS),
            ("panel/download", DownloadPanel.BINDINGS),
            ("panel/lock", LockPicker.BINDINGS),
            ("panel/export", ExportPanel.BINDINGS),
        ]
    )
    return sorted(found, key=lambda action: action.place not in {"", first})
