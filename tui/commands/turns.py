"""What can be done with messages: edited, answered again, continued, copied, and the way between their branches.

Without a screen the answer is all that is shown, since the messages before it stand above already.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runtime.errors import InvalidRequest
from tui.commands.command import Command
from tui.commands.host import Host
from tui.history import tree
from tui.history.records import Entry
from tui.screens.messages import BranchPicker, SaidPicker
from tui.widgets.turn import Turn, Wish
from tui.words import _, mark

if TYPE_CHECKING:
    from tui.plain.chat import PlainChat
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
    (*_others, said) = await screen.show(_up_to_said(entries))
    screen.answer(said)


def _up_to_said(entries: Sequence[Entry]) -> list[Entry]:
    """The messages up to the last thing that the person said."""
    said = [*entries]
    while said and said[-1].role != "user":
        said.pop()
    if not said:
        raise InvalidRequest(_("Nothing was said yet."))
    return said


async def _again(screen: ConversationScreen, _argument: str) -> None:
    await _answer_again(screen)


async def _again_plainly(chat: PlainChat, _argument: str) -> None:
    await chat.answer(_up_to_said(await chat.talk.entries())[-1])


async def _continue(screen: ConversationScreen, _argument: str) -> None:
    screen.require_ready()
    entries = await screen.talk.entries()
    cut = _cut_of(entries)
    (*_others, said) = await screen.show(entries[:-1])
    screen.answer(said, cut)


async def _continue_plainly(chat: PlainChat, _argument: str) -> None:
    entries = await chat.talk.entries()
    cut = _cut_of(entries)
    await chat.answer(_up_to_said(entries)[-1], cut)


def _cut_of(entries: Sequence[Entry]) -> Entry:
    """The last message, where it is an answer that was cut."""
    cut = entries[-1] if entries else None
    if cut is None or cut.role != "assistant" or not cut.text or not _is_cut(cut):
        raise InvalidRequest(_("The last answer is not cut."), remedy=_("/again has it answered anew."))
    return cut


def _is_cut(entry: Entry) -> bool:
    return entry.state in _CUT or (entry.figures is not None and entry.figures.reason == "length")


async def _choose(screen: ConversationScreen, message: int) -> None:
    await screen.show(await screen.talk.choose(message))
    turn = screen.transcript.turn_of(message)
    if turn is not None:
        turn.select()


async def _edit(screen: ConversationScreen, argument: str) -> None:
    edited = await _said(screen, argument)
    turn = screen.transcript.turn_of(edited.id) if edited is not None else None
    if turn is not None:
        await fulfil(screen, turn, "edit")


async def _edit_plainly(chat: PlainChat, argument: str) -> None:
    edited = await _said(chat, argument)
    if edited is None:
        return
    await chat.tell(edited.text)
    text = await chat.read()
    if text is not None and text.strip():
        await chat.answer(await chat.talk.say_after(edited.parent, text))


async def _said(host: Host, argument: str) -> Entry | None:
    """What the person said and wants to say in another way: the one with this number, or one that is chosen."""
    said = [entry for entry in await host.talk.entries() if entry.role == "user"]
    if not said:
        raise InvalidRequest(_("Nothing was said yet."))
    if argument.isdecimal() and 0 < int(argument) <= len(said):
        return said[int(argument) - 1]
    return await host.pick(SaidPicker(said))


async def _branches(screen: ConversationScreen, _argument: str) -> None:
    message = await screen.pick(await _branches_of(screen))
    if message is not None:
        screen.require_ready()
        await _choose(screen, message)


async def _branches_plainly(chat: PlainChat, _argument: str) -> None:
    message = await chat.pick(await _branches_of(chat))
    if message is None:
        return
    for entry in await chat.talk.choose(message):
        if entry.id >= message and entry.text and entry.role in {"user", "assistant"}:
            await chat.tell(f"{_('You:')} {entry.text}" if entry.role == "user" else entry.text)


async def _branches_of(host: Host) -> BranchPicker:
    if host.talk.conversation is None:
        raise InvalidRequest(_("Nothing was said yet."))
    every = {entry.id: entry for entry in await host.keeper.do(tree.every, host.talk.conversation.id)}
    shown = await host.talk.entries()
    branches = [every[number] for entry in shown if len(entry.siblings) > 1 for number in entry.siblings]
    if not branches:
        raise InvalidRequest(_("There are no branches."), remedy=_("/again and /edit begin one."))
    return BranchPicker(branches, {entry.id for entry in shown})


async def _copy_last(screen: ConversationScreen, argument: str) -> None:
    _copy(screen, _copied(await screen.talk.entries(), argument))


async def _copy_plainly(chat: PlainChat, argument: str) -> None:
    await chat.tell(_copied(await chat.talk.entries(), argument))


def _copied(entries: Sequence[Entry], argument: str) -> str:
    """The last answer, or its last block of code."""
    answer = next((entry for entry in reversed(entries) if entry.role == "assistant" and entry.text), None)
    if answer is None:
        raise InvalidRequest(_("There is no answer yet."))
    return _last_code(answer.text) if argument == "code" else answer.text


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
    Command("again", mark("have the last message answered again"), _again, plain=_again_plainly),
    Command("continue", mark("have a cut answer go on"), _continue, plain=_continue_plainly),
    Command("edit", mark("say something else in the place of a message"), _edit, plain=_edit_plainly),
    Command("branches", mark("go to another branch of the conversation"), _branches, plain=_branches_plainly),
    Command(
        "copy",
        mark("copy the last answer, or its last block of code"),
        _copy_last,
        argument="code",
        plain=_copy_plainly,
        complete=lambda _screen: ("code",),
    ),
)
