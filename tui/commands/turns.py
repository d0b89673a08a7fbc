"""What can be done with messages: edited, answered again, continued, copied, and the way between their branches."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runtime.errors import InvalidRequest
from tui.commands.command import Command
from tui.history.records import Entry
from tui.widgets.turn import Turn, Wish
from tui.words import _, mark

if TYPE_CHECKING:
    from tui.screens.conversation import ConversationScreen

_FENCED = re.compile(r"^(`{3,}|~{3,})[^\n]*\n(.*?)^\1[`~]*[ \t]*$", re.MULTILINE | re.DOTALL)
_CUT = {"stopped", "failed", "interrupted"}


async def fulfil(screen: ConversationScreen, turn: Turn, wish: Wish) -> None:
    """Do what is wished with a message."""
    entry = turn.entry
    if entry is None:
        return
    match wish:
        case "edit":
            screen.require_ready()
            screen.edit(turn)
            screen.prompt.value = entry.text
            screen.prompt.focus()
        case "again":
            await _answer_again(screen, entry)
        case "copy":
            _copy(screen, entry.text)
        case "copy_code":
            _copy(screen, _last_code(entry.text))
        case "previous" | "next":
            step = -1 if wish == "previous" else 1
            at = entry.siblings.index(entry.id) + step
            screen.require_ready()
            await _choose(screen, entry.siblings[at % len(entry.siblings)])


async def say_instead(screen: ConversationScreen, edited: Entry, text: str) -> None:
    """Say something in the place of a message, which stays on a branch of its own."""
    try:
        screen.require_ready()
    except InvalidRequest:
        screen.prompt.value, screen.prompt.unsaid = text, ""
        raise
    await screen.talk.say_after(edited.parent, text)
    screen.prompt.unsaid = ""
    (*_others, said) = await screen.show(await screen.talk.entries())
    screen.answer(said)


async def _answer_again(screen: ConversationScreen, wanted: Entry | None = None) -> None:
    """Have the question of a message, or the last one, answered beside the answers that it has."""
    screen.require_ready()
    entries = await screen.talk.entries()
    if wanted is not None:
        entries = [entry for entry in entries if entry.id <= wanted.id]
    while entries and entries[-1].role != "user":
        entries.pop()
    if not entries:
        raise InvalidRequest(_("Nothing was said yet."))
    (*_others, said) = await screen.show(entries)
    screen.answer(said)


async def _again(screen: ConversationScreen, _argument: str) -> None:
    await _answer_again(screen)


async def _continue(screen: ConversationScreen, _argument: str) -> None:
    screen.require_ready()
    entries = await screen.talk.entries()
    cut = entries[-1] if entries else None
    if cut is None or cut.role != "assistant" or not cut.text or not _is_cut(cut):
        raise InvalidRequest(_("The last answer is not cut."), remedy=_("/again has it answered anew."))
    (*_others, said) = await screen.show(entries[:-1])
    screen.answer(said, cut)


def _is_cut(entry: Entry) -> bool:
    return entry.state in _CUT or (entry.figures is not None and entry.figures.reason == "length")


async def _choose(screen: ConversationScreen, message: int) -> None:
    await screen.show(await screen.talk.choose(message))
    turn = screen.transcript.turn_of(message)
    if turn is not None:
        turn.select()


async def _copy_last(screen: ConversationScreen, argument: str) -> None:
    entries = await screen.talk.entries()
    answer = next((entry for entry in reversed(entries) if entry.role == "assistant" and entry.text), None)
    if answer is None:
        raise InvalidRequest(_("There is no answer yet."))
    _copy(screen, _last_code(answer.text) if argument == "code" else answer.text)


def _copy(screen: ConversationScreen, text: str) -> None:
    screen.app.copy_to_clipboard(text)
    screen.app.notify(_("Copied."))


def _last_code(text: str) -> str:
    found = _FENCED.findall(text)
    if not found:
        raise InvalidRequest(_("There is no block of code in it."))
    code: str = found[-1][1]
    return code.removesuffix("\n")


TURNS = (
    Command("again", mark("have the last message answered again"), _again),
    Command("continue", mark("have a cut answer go on"), _continue),
    Command(
        "copy",
        mark("copy the last answer, or its last block of code"),
        _copy_last,
        argument="code",
        complete=lambda _screen: ("code",),
    ),
)
