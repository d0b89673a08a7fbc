"""How the chat looks and which keys it takes, as the person has set it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from runtime.config import load_user_config
from tui.themes import DEFAULT, checked_theme


@dataclass(frozen=True)
class Look:
    """`theme` is a key of `THEMES`; `keymap` has the keys of each action that was given others."""

    theme: str = DEFAULT
    keymap: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def configured(cls) -> Self:
        """As the configuration folder says.

        Raises:
            ConfigurationInvalid: a value is none of those that there are.
        """
        from tui.actions import all_actions
        from tui.app import ChatApp  # which knows this file
        from tui.keymap import read_keymap

        return cls(checked_theme(load_user_config().theme), read_keymap(all_actions(ChatApp.BINDINGS)))
