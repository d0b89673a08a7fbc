"""`demotic chat`: the terminal application or, without a terminal, one answer on standard output."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from contextlib import aclosing
from pathlib import Path
from typing import TextIO

from runtime.chat.reasoning import Piece
from runtime.chat.template import Message
from runtime.chat.tools.approval import UNAPPROVED
from runtime.chat.tools.loop import CallAsked, CallEnded
from runtime.chat.tools.settings import ToolSettings
from runtime.chat.tools.showing import lines_of
from runtime.config import RunConfig
from runtime.errors import InvalidRequest
from tui.answers import HttpAnswers
from tui.client import ChatClient
from tui.events import AnswerFinished, figures
from tui.history.opening import open_history
from tui.history.resuming import Resume
from tui.joining import Joined, Server
from tui.keeper import Keeper
from tui.piping import piped_in, refuse_bytes
from tui.screen import Screen
from tui.switching import SwitchedServer, prefer_kept
from tui.tools import ChatTools
from tui.words import use

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
) -> int:
    """Open the chat with `model` and the tools of `settings`, and say `message` first.

    `plain` is without a screen, as on a dumb terminal: line by line. `join` is a server that runs already; without it
    the chat starts its own. What is said is remembered where `is_kept`, and `resume` says which conversation comes
    first. `lab` opens the language lab over it. The exit status is 3 where there is no terminal and a tool was denied
    that nobody approved, and 1 where a line that was piped in had no answer.

    Raises:
        InvalidRequest: there is no terminal, and neither a message nor a piped one.
        DemoticError: the model could not be started, or gave no answer where there is no terminal.
    """
    if message is None and model is not None and not _looks_like_model(model):
        model, message = None, model
    message = message if message and message.strip() else None
    server: Server = SwitchedServer(model) if join is None else join.of(model)
    has_terminal = _is_terminal(sys.stdin) and _is_terminal(sys.stdout)
    screen = screen or Screen.chosen()
    keeper = Keeper(open_history) if is_kept else Keeper()
    if plain or (has_terminal and os.environ.get("TERM") == "dumb"):
        from tui.plain.running import run_plain

        use(screen.language)
        return asyncio.run(run_plain(server, message and _checked(message), settings, keeper, resume))
    if has_terminal:
        use(screen.language)
        asyncio.run(_open(model, message and _checked(message), settings, screen, server, keeper, resume, lab=lab))
        return 0
    return asyncio.run(_answer_once(_checked(message or piped_in()), settings, server))


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


async def _open(
    model: str | None,
    message: str | None,
    settings: ToolSettings | None,
    screen: Screen,
    server: Server,
    keeper: Keeper,
    resume: Resume,
    *,
    lab: bool,
) -> None:
    from tui.app import ChatApp
    from tui.look import Look
    from tui.probe import prepared_terminal

    look = Look.configured()
    if message is None:
        await prefer_kept(server, keeper, resume)
    with prepared_terminal(screen.bidi) as terminal:
        terminal.apply()
        async with server, ChatTools(settings) as tools:
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


async def _answer_once(message: str, settings: ToolSettings | None, server: Server) -> int:
    async with server, ChatTools(settings) as tools:
        endpoint = await server.endpoint()
        for notice in endpoint.notices:
            _tell(notice)
        await tools.open()
        turns: list[AnswerFinished] = []
        num_calls = 0
        async with ChatClient(endpoint) as client:
            await client.model_name()
            answer = tools.answer(HttpAnswers(client, RunConfig()), [Message("user", message)])
            async with aclosing(answer) as events:
                async for event in events:
                    match event:
                        case Piece(kind="content", text=text):
                            sys.stdout.write(text)
                            sys.stdout.flush()
                        case AnswerFinished():
                            turns.append(event)
                        case CallAsked() | CallEnded():
                            num_calls += isinstance(event, CallAsked)
                            for line in lines_of(event):
                                _tell(line)
        print(flush=True)  # noqa: T201
        _tell(f"[{figures(turns, num_calls)}]")
        return UNAPPROVED if tools.num_unasked else 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201
