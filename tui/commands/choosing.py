"""Commands that choose: /model, /adapter, /lock, /sampling, /theme, /keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from tui.choosing.choices import Lock
from tui.choosing.languages import all_named, named
from tui.choosing.locks import AUTO, MODES, OFF_WORD, lock_of, read_lock
from tui.choosing.sampling import RESET, SETTINGS, Sampling, read_sampling, told
from tui.commands.command import Command
from tui.commands.finding import client_of, find_adapter, find_model, find_served
from tui.commands.known import ADAPTERS, MODELS
from tui.preferences import remember
from tui.screens.lock import LockPicker
from tui.screens.sampling import SamplingPanel
from tui.screens.themes import ThemePicker
from tui.themes import THEMES, checked_theme
from tui.words import _, mark

if TYPE_CHECKING:
    from tui.screens.conversation import ConversationScreen


async def _model(screen: ConversationScreen, name: str) -> None:
    if screen.app.can_switch:
        chosen = await find_model(screen.app, name, current=screen.model_name)
    else:
        chosen = await find_served(screen.app, name, current=screen.model_name)
    if not chosen:
        return
    if not screen.app.can_switch:
        screen.app.is_model_given = False
        await _ask_for(screen, chosen, "")
    elif await screen.app.switch_model(chosen):
        screen.app.is_model_given = False
        await screen.choose(msgspec.structs.replace(screen.choices, adapter=""), screen.talk.model)


async def _adapter(screen: ConversationScreen, name: str) -> None:
    chosen = await find_adapter(screen.app, screen.model_name, name, current=screen.choices.adapter)
    if chosen is not None:
        await _ask_for(screen, screen.model_name, chosen)


async def _lock(screen: ConversationScreen, argument: str) -> None:
    if argument:
        lock = read_lock(argument, screen.choices.lock)
    else:
        picker = LockPicker(screen.choices.lock)
        chosen = await screen.app.push_screen_wait(picker)
        if chosen is None:
            return
        lock = lock_of(chosen, picker.mode)
    await screen.choose(msgspec.structs.replace(screen.choices, lock=lock))
    await screen.transcript.tell(_told(lock))


async def _sampling(screen: ConversationScreen, argument: str) -> None:
    if argument:
        sampling: Sampling | None = read_sampling(argument, screen.choices.sampling)
    else:
        sampling = await screen.app.push_screen_wait(SamplingPanel(screen.choices.sampling))
    if sampling is not None:
        await screen.choose(msgspec.structs.replace(screen.choices, sampling=sampling))
        await screen.transcript.tell(_("Sampling: {settings}.").format(settings=told(sampling)))


async def _theme(screen: ConversationScreen, name: str) -> None:
    chosen = checked_theme(name) if name else await screen.app.push_screen_wait(ThemePicker())
    if chosen is not None:
        screen.app.theme = chosen
        remember("theme", chosen)


async def _keys(screen: ConversationScreen, _argument: str) -> None:
    screen.app.action_show_keys()


async def _ask_for(screen: ConversationScreen, model: str, adapter: str) -> None:
    """From the next message on, this model of the server answers, with this adapter of it or none."""
    choices = msgspec.structs.replace(screen.choices, adapter=adapter)
    await screen.ask_for(client_of(screen.app), model, choices)
    await screen.choose(screen.choices, screen.talk.model)


def _told(lock: Lock | None) -> str:
    if lock is None:
        return _("Answers may be in any script.")
    spoken = _("the language of the message") if lock.language == AUTO else named(lock.language).label
    if lock.mode == "hard":
        return _("Answers stay in the script of {language}; others are impossible.").format(language=spoken)
    return _("Answers stay in the script of {language}; others become unlikely.").format(language=spoken)


def _languages(_screen: ConversationScreen) -> Sequence[str]:
    return (OFF_WORD, AUTO, *MODES, *(language.code for language in all_named()))


def _settings(_screen: ConversationScreen) -> Sequence[str]:
    return (*(setting.name for setting in SETTINGS), RESET)


CHOOSING = (
    Command("model", mark("choose the model that answers"), _model, argument=mark("MODEL"), complete=MODELS),
    Command("adapter", mark("choose an adapter of the model"), _adapter, argument=mark("ADAPTER"), complete=ADAPTERS),
    Command(
        "lock",
        mark("keep answers in the script of a language"),
        _lock,
        argument=mark("LANGUAGE"),
        complete=_languages,
    ),
    Command("sampling", mark("set temperature and the like"), _sampling, argument=mark("NAME"), complete=_settings),
    Command(
        "theme",
        mark("choose how the chat looks"),
        _theme,
        argument=mark("THEME"),
        complete=lambda _screen: tuple(THEMES),
    ),
    Command("keys", mark("show all keys"), _keys),
)
