"""Commands that choose: /model, /adapter, /lock, /sampling, /theme, /keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from runtime.errors import DemoticError
from tui.choosing.choices import Lock
from tui.choosing.languages import all_named, named
from tui.choosing.locks import AUTO, MODES, OFF_WORD, lock_of, read_lock
from tui.choosing.offers import previewed
from tui.choosing.sampling import SETTINGS, Sampling, setting_named, with_value
from tui.commands.command import Command
from tui.commands.known import ADAPTERS, MODELS, NO_ADAPTER, adapters_of, base_of
from tui.preferences import remember
from tui.screens.download import DownloadPanel
from tui.screens.lock import LockPicker
from tui.screens.models import ModelPicker
from tui.screens.sampling import SamplingPanel
from tui.screens.served import AdapterPicker, ServedPicker
from tui.screens.themes import ThemePicker
from tui.themes import THEMES, checked_theme
from tui.words import _, mark

if TYPE_CHECKING:
    from tui.client import ChatClient
    from tui.screens.conversation import ConversationScreen


async def _model(screen: ConversationScreen, name: str) -> None:
    if not screen.app.can_switch:
        await _served_model(screen, name)
        return
    if not name:
        chosen = await screen.app.push_screen_wait(ModelPicker(current=screen.model_name))
    else:
        chosen = await previewed(name)
        if not chosen.here:
            chosen = await screen.app.push_screen_wait(DownloadPanel(chosen, name))
        else:
            chosen = msgspec.structs.replace(chosen, name=name)
    if chosen is not None:
        screen.choices = msgspec.structs.replace(screen.choices, adapter="")
        await screen.app.switch_model(chosen.name)


async def _served_model(screen: ConversationScreen, name: str) -> None:
    client = _client(screen)
    models = await client.models()
    if not name:
        chosen = await screen.app.push_screen_wait(ServedPicker(models, current=base_of(screen, client)))
        name = chosen or ""
    elif name not in {model.id for model in models}:
        known = ", ".join(model.id for model in models)
        raise DemoticError(_("The server has no model '{name}'. It has {known}.").format(name=name, known=known))
    if name:
        screen.choices = msgspec.structs.replace(screen.choices, adapter="")
        _ask_for(screen, name)


async def _adapter(screen: ConversationScreen, name: str) -> None:
    client = _client(screen)
    base = base_of(screen, client)
    adapters = await adapters_of(client, base)
    if not name:
        picker = AdapterPicker(base, adapters, current=screen.choices.adapter)
        chosen = await screen.app.push_screen_wait(picker)
        if chosen is None:
            return
        name = chosen
    elif name == NO_ADAPTER:
        name = ""
    elif name not in adapters:
        known = ", ".join(adapters)
        raise DemoticError(_("There is no adapter '{name}'. There are {known}.").format(name=name, known=known))
    screen.choices = msgspec.structs.replace(screen.choices, adapter=name)
    _ask_for(screen, screen.choices.model(base))


async def _lock(screen: ConversationScreen, argument: str) -> None:
    if argument:
        lock = read_lock(argument, screen.choices.lock)
    else:
        picker = LockPicker(screen.choices.lock)
        chosen = await screen.app.push_screen_wait(picker)
        if chosen is None:
            return
        lock = lock_of(chosen, picker.mode)
    screen.choices = msgspec.structs.replace(screen.choices, lock=lock)
    await screen.transcript.tell(_told(lock))


async def _sampling(screen: ConversationScreen, argument: str) -> None:
    sampling: Sampling | None
    if not argument:
        sampling = await screen.app.push_screen_wait(SamplingPanel(screen.choices.sampling))
    elif argument == _RESET:
        sampling = Sampling()
    else:
        name, _blank, value = argument.partition(" ")
        sampling = with_value(screen.choices.sampling, setting_named(name), value)
    if sampling is None:
        return
    screen.choices = msgspec.structs.replace(screen.choices, sampling=sampling)
    values = msgspec.to_builtins(sampling)
    told = ", ".join(f"{name} {value}" for name, value in values.items()) or _("all by default")
    await screen.transcript.tell(_("Sampling: {settings}.").format(settings=told))


async def _theme(screen: ConversationScreen, name: str) -> None:
    chosen = checked_theme(name) if name else await screen.app.push_screen_wait(ThemePicker())
    if chosen is not None:
        screen.app.theme = chosen
        remember("theme", chosen)


async def _keys(screen: ConversationScreen, _argument: str) -> None:
    screen.app.action_show_keys()


def _client(screen: ConversationScreen) -> ChatClient:
    client = screen.app.client
    if client is None:
        raise DemoticError(_("The model is not there yet: wait until it is ready."))
    return client


def _ask_for(screen: ConversationScreen, name: str) -> None:
    """From the next message on, this model of the server answers, or this adapter of one."""
    _client(screen).model = name
    screen.model_name = name


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
    return (*(setting.name for setting in SETTINGS), _RESET)


_RESET = "reset"

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
