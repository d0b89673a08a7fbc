"""`demotic chat`: the terminal application, the chat line by line or, without a terminal, one answer.

What each of them needs is imported when it is known which one it is: the application asks the terminal first, and the
terminal answers while the rest is imported.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from runtime.errors import InvalidRequest
from tui.piping import piped_in, refuse_bytes
from tui.probe import asking
from tui.screen import Screen
from tui.words import use

if TYPE_CHECKING:
    from runtime.chat.tools.settings import ToolSettings
    from tui.history.resuming import Resume
    from tui.joining import Joined, Server
    from tui.keeper import Keeper

_MODEL = re.compile(r"[\w.:/@+~-]+", re.ASCII)


def chat(
    model: str | None,
    message: str | None,
    settings: ToolSettings | None = None,
    screen: Screen | None = None,
    join: Joined | None = None,
    *,
    plain: bool = False,
    is_kept: bool = True,
    resume: Resume = "left",
    lab: bool = False,
    adapter_dir: Path | None = None,
) -> int:
    """Open the chat with `model` and the tools of `settings`, and say `message` first.

    `plain` is without a screen, as on a dumb terminal: line by line. `join` is a server that runs already; without it
    the chat starts its own, whose models may be asked for with the adapters of `adapter_dir`. What is said is
    remembered where `is_kept`, and `resume` says which conversation comes first. `lab` opens the language lab over it.
    The exit status is 3 where there is no terminal and a tool was denied that nobody approved, and 1 where a line that
    was piped in had no answer.

    Raises:
        InvalidRequest: there is no terminal, and neither a message nor a piped one.
        DemoticError: the model could not be started, or gave no answer where there is no terminal.
    """
    if message is None and model is not None and not _looks_like_model(model):
        model, message = None, model
    message = message if message and message.strip() else None
    has_terminal = _is_terminal(sys.stdin) and _is_terminal(sys.stdout)
    screen = screen or Screen.chosen()
    if plain or (has_terminal and os.environ.get("TERM") == "dumb"):
        from tui.plain.running import run_plain

        use(screen.language)
        message = message and _checked(message)
        return asyncio.run(run_plain(_server(model, join, adapter_dir), message, settings, _keeper(is_kept), resume))
    if has_terminal:
        use(screen.language)
        message = message and _checked(message)
        with asking(screen.bidi) as learn:
            from tui.on_screen import open_chat

            asyncio.run(
                open_chat(
                    model,
                    message,
                    settings,
                    learn,
                    _server(model, join, adapter_dir),
                    _keeper(is_kept),
                    resume,
                    lab=lab,
                )
            )
        return 0
    from tui.once import answer_once

    return asyncio.run(answer_once(_checked(message or piped_in()), settings, _server(model, join, adapter_dir)))


def _server(model: str | None, join: Joined | None, adapter_dir: Path | None) -> Server:
    if join is not None:
        return join.of(model)
    from tui.switching import SwitchedServer

    return SwitchedServer(model, adapter_dir=adapter_dir)


def _keeper(is_kept: bool) -> Keeper:
    from tui.history.opening import open_history
    from tui.keeper import Keeper

    return Keeper(open_history) if is_kept else Keeper()


def _looks_like_model(text: str) -> bool:
    """Whether the only word on the command line is written like a model's name, and not like something said."""
    return bool(_MODEL.fullmatch(text)) or text.casefold().endswith(".gguf") or Path(text).is_file()


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _checked(message: str) -> str:
    if not message.strip():
        raise InvalidRequest(
            "There is no prompt, and no terminal to chat in.",
            remedy='Give one: demotic chat "Tell me a story", or pipe one in.',
        )
    refuse_bytes(message)
    return message
