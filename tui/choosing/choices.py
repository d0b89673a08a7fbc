"""What a conversation is asked with beside its messages: adapter, language lock, sampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from tui.choosing.sampling import Sampling

Mode = Literal["soft", "hard"]


class Lock(msgspec.Struct, frozen=True):
    """Answers stay in the script of `language`, such as `bul_Cyrl`, or "auto"; as in docs/language.md."""

    language: str
    mode: Mode = "soft"


class Choices(msgspec.Struct, frozen=True, omit_defaults=True):
    """A conversation's choices. `adapter` is one of the served model, or empty; `lock` None is none."""

    adapter: str = ""
    lock: Lock | None = None
    sampling: Sampling = Sampling()

    def fields(self) -> dict[str, Any]:
        """What a request says of them; nothing of what was not chosen, which other servers need not know."""
        said: dict[str, Any] = msgspec.to_builtins(self.sampling)
        if self.lock is not None:
            said |= {"language": self.lock.language, "mode": self.lock.mode}
        return said

    def model(self, name: str) -> str:
        """The name to ask for where `name` is served."""
        return f"{name}:{self.adapter}" if self.adapter else name

    def to_settings(self) -> dict[str, Any]:
        """As a conversation's settings are remembered: JSON values, without the adapter, which is beside them."""
        settings: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(self, adapter=""))
        return settings

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], adapter: str = "") -> Choices:
        """What was remembered; values that a later or an earlier chat wrote, and this one cannot read, are left out."""
        try:
            return msgspec.convert({**settings, "adapter": adapter}, cls)
        except msgspec.ValidationError:
            return cls(adapter)
