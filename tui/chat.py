"""`demotic chat`: the terminal application or, without a terminal, one answer on standard output."""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import aclosing
from pathlib import Path
from typing import TextIO

from runtime.config import RunConfig
from runtime.errors import DemoticError, InvalidRequest
from tui.client import ChatClient
from tui.events import AnswerFailed, AnswerFinished, TextDelta, Turn
from tui.server import PrivateServer

_MODEL = re.compile(r"[\w.:/@+~-]+", re.ASCII)


def chat(model: str | None, message: str | None) -> None:
    """Open the chat with `model` and say `message` first.

    Raises:
        InvalidRequest: there is no terminal, and neither a message nor a piped one.
        DemoticError: the model could not be started, or gave no answer where there is no terminal.
    """
    if message is None and model is not None and not _looks_like_model(model):
        model, message = None, model
    message = message if message and message.strip() else None
    if _is_terminal(sys.stdin) and _is_terminal(sys.stdout):
        asyncio.run(_open(model, message and _checked(message)))
    else:
        asyncio.run(_answer_once(model, _checked(message or _piped_in())))


def _looks_like_model(text: str) -> bool:
    """Whether the only word on the command line is written like a model's name, and not like something said."""
    return bool(_MODEL.fullmatch(text)) or text.casefold().endswith(".gguf") or Path(text).is_file()


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _piped_in() -> str:
    """What stands on standard input. A terminal is not read: nobody there knows that something is waited for."""
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    return sys.stdin.buffer.read().decode(errors="surrogateescape").rstrip("\n")


def _checked(message: str) -> str:
    if not message.strip():
        raise InvalidRequest(
            "There is no prompt, and no terminal to chat in.",
            remedy='Give one: demotic chat "Tell me a story", or pipe one in.',
        )
    if any("\ud800" <= character <= "\udfff" for character in message):  # how Python carries bytes it cannot decode
        raise InvalidRequest("The message is not UTF-8 text.", remedy="Convert it, for example with iconv.")
    return message


async def _open(model: str | None, message: str | None) -> None:
    from tui.app import ChatApp

    async with PrivateServer(model) as server:
        app = ChatApp(server.endpoint, model_name=model or "", message=message)
        await app.run_async()
    if app.start_fault is not None:
        # It was shown, but the application has taken its screen along, and the sentence says what to type next.
        raise app.start_fault
    if app.return_code:
        sys.exit(app.return_code)


async def _answer_once(model: str | None, message: str) -> None:
    async with PrivateServer(model) as server:
        endpoint = await server.endpoint()
        for notice in endpoint.notices:
            print(notice, file=sys.stderr)  # noqa: T201
        async with (
            ChatClient(endpoint) as client,
            aclosing(client.answer([Turn("user", message)], RunConfig())) as events,
        ):
            async for event in events:
                match event:
                    case TextDelta(text):
                        sys.stdout.write(text)
                        sys.stdout.flush()
                    case AnswerFinished():
                        print(flush=True)  # noqa: T201
                        print(f"[{event.figures}]", file=sys.stderr)  # noqa: T201
                    case AnswerFailed():
                        raise DemoticError(event.message)
