"""One answer on standard output, where there is no terminal."""

from __future__ import annotations

import sys
from contextlib import aclosing

from runtime.chat.reasoning import Piece
from runtime.chat.template import Message
from runtime.chat.tools.approval import UNAPPROVED
from runtime.chat.tools.loop import CallAsked, CallEnded
from runtime.chat.tools.settings import ToolSettings
from runtime.chat.tools.showing import lines_of
from runtime.config import RunConfig
from tui.answers import HttpAnswers
from tui.client import ChatClient
from tui.events import AnswerFinished, figures
from tui.joining import Server
from tui.tools import ChatTools


async def answer_once(message: str, settings: ToolSettings | None, server: Server) -> int:
    """Print the answer; the exit status, which is 3 where a tool was denied that nobody approved.

    Raises:
        DemoticError: there is no endpoint, or it gave no answer.
    """
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
