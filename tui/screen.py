"""How the chat shows itself: in which language, and who puts right-to-left text in order."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Self

from runtime.config import load_user_config
from runtime.errors import ConfigurationInvalid
from tui.probe import SETTINGS, Setting
from tui.words import checked, language_from


@dataclass(frozen=True)
class Screen:
    """`language` is a key of `LANGUAGES`."""

    language: str = "en"
    bidi: Setting = "auto"

    @classmethod
    def chosen(cls, *, language: str | None = None, bidi: str | None = None) -> Self:
        """What is asked for, else what the configuration file says, else what the locale and the terminal say.

        Raises:
            ConfigurationInvalid: a value is none of those that there are.
        """
        configured = load_user_config()
        named = language or configured.interface_language
        wanted = bidi or configured.bidi
        for setting in SETTINGS:
            if setting == wanted:
                return cls(checked(named) if named else language_from(os.environ), setting)
        raise ConfigurationInvalid(f"'{wanted}' is no setting of bidi.", remedy=f"It is one of {', '.join(SETTINGS)}.")
