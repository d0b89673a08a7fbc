"""Opens the chat on the screen: its server starts first, then what shows it is imported."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from tui.switching import SwitchedServer, prefer_kept
from tui.tools import ChatTools

if TYPE_CHECKING:
    from runtime.chat.tools.settings import ToolSettings
    from tui.history.resuming import Resume
    from tui.joining import Server
    from tui.keeper import Keeper
    from tui.terminal import Terminal

# Objects made, passes over the young, and passes over those before Python looks through all: 10 is usual for the last.
_THRESHOLDS = (700, 10, 1000)


def collect_rarely() -> None:
    """Have Python seldom look through all objects: a long conversation has millions, which stay, and a pass takes time.

    What is no longer used goes nevertheless, but for a few that refer to each other and are old.
    """
    gc.set_threshold(*_THRESHOLDS)


async def open_chat(
    model: str | None,
    message: str | None,
    settings: ToolSettings | None,
    learn: Callable[[], Terminal],
    server: Server,
    keeper: Keeper,
    resume: Resume,
    *,
    lab: bool = False,
) -> None:
    """Run the application until it is left, with the `lab` over it; `learn` waits for what the terminal replies.

    Raises:
        DemoticError: nothing answered there.
    """
    collect_rarely()
    if message is None:
        await prefer_kept(server, keeper, resume)
    async with server, ChatTools(settings) as tools:
        from tui.app import ChatApp
        from tui.look import Look

        look = Look.configured()
        terminal = learn()
        terminal.apply()
        app = ChatApp(
            server.endpoint,
            model_name=model or (server.model if isinstance(server, SwitchedServer) else None) or "",
            is_model_given=model is not None,
            message=message,
            tools=tools,
            terminal=terminal,
            keeper=keeper,
            resume=resume,
            look=look,
            switch=server.switch if isinstance(server, SwitchedServer) else None,
            add=server.add if isinstance(server, SwitchedServer) else None,
            opens_lab=lab,
        )
        server.on_share = app.conversation.show_share
        await app.run_async()
    if app.start_fault is not None:
        # It was shown, but the application has taken its screen along, and the sentence says what to type next.
        raise app.start_fault
    if app.return_code:
        sys.exit(app.return_code)
