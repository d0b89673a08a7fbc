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
from tui.commands.host import Host
from tui.commands.known import ADAPTERS, MODELS
from tui.preferences import remember
from tui.screens.lock import LockPicker
from tui.screens.sampling import SamplingPanel
from tui.screens.settings import SettingPicker
from tui.screens.themes import ThemePicker
from tui.themes import THEMES, checked_theme
from tui.words import _, mark

if TYPE_CHECKING:
    from tui.plain.chat import PlainChat
    from tui.screens.conversation import ConversationScreen


async def _model(host: Host, name: str) -> None:
    find = find_model if host.can_switch else find_served
    chosen = await find(host, name, current=host.model_name)
    if not chosen:
        return
    if not host.can_switch:
        host.forget_given()
        await _ask_for(host, chosen, "")
    elif await host.switch_model(chosen):
        host.forget_given()
        await host.choose(msgspec.structs.replace(host.choices, adapter=""), host.talk.model)


async def _adapter(host: Host, name: str) -> None:
    chosen = await find_adapter(host, host.model_name, name, current=host.choices.adapter)
    if chosen is not None:
        await _ask_for(host, host.model_name, chosen)


async def _lock(host: Host, argument: str) -> None:
    if argument:
        lock = read_lock(argument, host.choices.lock)
    else:
        picker = LockPicker(host.choices.lock)
        chosen = await host.pick(picker)
        if chosen is None:
            return
        lock = lock_of(chosen, picker.mode)
    await host.choose(msgspec.structs.replace(host.choices, lock=lock))
    await host.tell(_told(lock))


async def _sampling(screen: ConversationScreen, argument: str) -> None:
    if argument:
        await _sample(screen, read_sampling(argument, screen.choices.sampling))
        return
    sampling = await screen.app.push_screen_wait(SamplingPanel(screen.choices.sampling))
    if sampling is not None:
        await _sample(screen, sampling)


async def _sampling_plainly(chat: PlainChat, argument: str) -> None:
    if not argument:
        setting = await chat.pick(SettingPicker(chat.choices.sampling))
        if setting is None:
            return
        value = await chat.ask(f"{setting.name} ({setting.range}):")
        if value is None:
            return
        argument = f"{setting.name} {value}"
    await _sample(chat, read_sampling(argument, chat.choices.sampling))


async def _sample(host: Host, sampling: Sampling) -> None:
    await host.choose(msgspec.structs.replace(host.choices, sampling=sampling))
    await host.tell(_("Sampling: {settings}.").format(settings=told(sampling)))


async def _theme(screen: ConversationScreen, name: str) -> None:
    chosen = checked_theme(name) if name else await screen.app.push_screen_wait(ThemePicker())
    if chosen is not None:
        screen.app.theme = chosen
        remember("theme", chosen)


async def _keys(screen: ConversationScreen, _argument: str) -> None:
    screen.app.action_show_keys()


async def _ask_for(host: Host, model: str, adapter: str) -> None:
    """From the next message on, this model of the server answers, with this adapter of it or none."""
    await host.ask_for(client_of(host), model, msgspec.structs.replace(host.choices, adapter=adapter))
    await host.choose(host.choices, host.talk.model)


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
    Command(
        "model", mark("choose the model that answers"), _model, argument=mark("MODEL"), plain=_model, complete=MODELS
    ),
    Command(
        "adapter",
        mark("choose an adapter of the model"),
        _adapter,
        argument=mark("ADAPTER"),
        plain=_adapter,
        complete=ADAPTERS,
    ),
    Command(
        "lock",
        mark("keep answers in the script of a language"),
        _lock,
        argument=mark("LANGUAGE"),
        plain=_lock,
        complete=_languages,
    ),
    Command(
        "sampling",
        mark("set temperature and the like"),
        _sampling,
        argument=mark("NAME"),
        plain=_sampling_plainly,
        complete=_settings,
    ),
    Command(
        "theme",
        mark("choose how the chat looks"),
        _theme,
        argument=mark("THEME"),
        complete=lambda _screen: tuple(THEMES),
    ),
    Command("keys", mark("show all keys"), _keys),
)
