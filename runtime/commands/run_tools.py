"""`demotic run --tools`: an answer with what tools say, on standard output; calls and figures on standard error."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import time
from collections.abc import Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.answers import ModelAnswers, named_language
from runtime.card import ModelCard, Options
from runtime.chat.reasoning import Piece
from runtime.chat.said import language_of
from runtime.chat.template import Message
from runtime.chat.tools.approval import UNAPPROVED, Approval
from runtime.chat.tools.loop import CallAsked, CallEnded, Event, run_tools
from runtime.chat.tools.settings import ToolSettings
from runtime.chat.tools.showing import lines_of
from runtime.chat.tools.toolbox import open_toolbox
from runtime.chat.tools.use import ToolUse
from runtime.commands.asking import terminal_ask
from runtime.commands.interrupt import INTERRUPTED, Interrupt
from runtime.config import EngineConfig
from runtime.engine.messages import Finished
from runtime.model import Model, start


@dataclass(frozen=True)
class ToolWish:
    """What the command line says of tools.

    `file` is None for the configured one. `choice` is "auto", "none", "required" or the name of a tool, and `approve`
    names tools that run unasked.
    """

    file: Path | None
    choice: str
    approve: tuple[str, ...]


@dataclass
class ToolAnswer:
    """An answer, the ends of the model's turns, and the calls between them."""

    text: str = ""
    turns: list[Finished] = field(default_factory=list)
    calls: list[CallEnded] = field(default_factory=list)
    is_stopped: bool = False

    def take(self, event: Event[Finished]) -> None:
        """Note what happened."""
        match event:
            case Piece(kind="content", text=text):
                self.text += text
            case Finished():
                self.turns.append(event)
            case CallEnded():
                self.calls.append(event)

    @property
    def finish_reason(self) -> str:
        """Why the last turn ended."""
        return "cancelled" if self.is_stopped or not self.turns else self.turns[-1].reason

    @property
    def prompt_tokens(self) -> int:
        """Of all turns together."""
        return sum(turn.usage.prompt_tokens for turn in self.turns)

    @property
    def completion_tokens(self) -> int:
        """Of all turns together."""
        return sum(turn.usage.completion_tokens for turn in self.turns)


def run_with_tools(
    card: ModelCard,
    messages: Sequence[Message],
    wish: ToolWish,
    *,
    adapter: Path | None,
    context: int | None,
    as_json: bool,
    options: Options,
) -> int:
    """Answer `messages`; the exit status is 130 after Ctrl-C, and 3 where a tool was denied that nobody approved.

    Raises:
        ConfigurationInvalid, ToolServerFailed: the tools cannot be used.
        InvalidRequest: the choice among them cannot be honoured.
    """
    settings = ToolSettings.read(wish.file).approving(wish.approve)
    approval = Approval(settings.approve, read_only_is_free=settings.approve_read_only, ask=terminal_ask())
    # One conversation, which grows with each result.
    limits = dataclasses.replace(EngineConfig(), max_context=context or EngineConfig().max_context, max_sequences=1)
    started = time.perf_counter()
    answer = ToolAnswer()
    with Interrupt() as interrupt, start(card, limits, lambda _share: not interrupt.is_set) as model:
        if adapter is not None:
            options["adapter"] = model.attach(adapter)
        load_seconds = time.perf_counter() - started
        work = _answer(answer, model, messages, settings, wish.choice, approval, options, is_shown=not as_json)
        asyncio.run(_until_interrupted(work, interrupt, answer))
    if as_json:
        print(json.dumps(_to_json(card, answer, load_seconds), ensure_ascii=False))  # noqa: T201
    else:
        print(flush=True)  # noqa: T201
        _tell(f"{_figures(answer)}\n")
    if answer.finish_reason == "cancelled":
        return INTERRUPTED
    return UNAPPROVED if approval.num_unasked else 0


async def _until_interrupted(work: Coroutine[Any, Any, None], interrupt: Interrupt, answer: ToolAnswer) -> None:
    """Do the work; Ctrl-C ends it, whatever it waits for, and what came until then is kept."""
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(work)

    def stop() -> None:
        loop.call_soon_threadsafe(task.cancel)

    interrupt.on_interrupt = stop
    if interrupt.is_set:
        stop()
    try:
        await task
    except asyncio.CancelledError:
        answer.is_stopped = True


async def _answer(
    answer: ToolAnswer,
    model: Model,
    messages: Sequence[Message],
    settings: ToolSettings,
    choice: str,
    approval: Approval,
    options: Options,
    *,
    is_shown: bool,
) -> None:
    # Servers take a second to start, and so does what detects languages.
    named = named_language(options)
    detecting = asyncio.create_task(asyncio.to_thread(language_of, messages))
    async with open_toolbox(settings) as toolbox:
        language = await detecting if named is None else named
        answers = ModelAnswers(model, language, **options)
        use = ToolUse.chosen(toolbox.tools, choice)
        events = run_tools(answers, list(messages), use, toolbox, approval, language=language)
        async with aclosing(events):
            async for event in events:
                answer.take(event)
                if is_shown:
                    _show(event)


def _show(event: Event[Finished]) -> None:
    match event:
        case Piece(kind="content", text=text):
            sys.stdout.write(text)
            sys.stdout.flush()
        case Piece(text=text):
            _tell(text)
        case CallAsked() | CallEnded():
            _tell("".join(f"{line}\n" for line in lines_of(event)))


def _tell(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _figures(answer: ToolAnswer) -> str:
    ending = {"stop": "", "length": ", cut at the length limit", "cancelled": ", stopped"}[answer.finish_reason]
    return (
        f"[turns: {len(answer.turns)}, calls: {len(answer.calls)}{ending}; "
        f"{answer.prompt_tokens} prompt and {answer.completion_tokens} generated tokens]"
    )


def _to_json(card: ModelCard, answer: ToolAnswer, load_seconds: float) -> dict[str, object]:
    return {
        "model": card.name,
        "text": answer.text,
        "finish_reason": answer.finish_reason,
        "tool_calls": [call.to_json() for call in answer.calls],
        "turns": len(answer.turns),
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "load_seconds": round(load_seconds, 4),
    }
