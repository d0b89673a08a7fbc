"""The fingerprint of this machine, by `demotic doctor` in a child process: the chat knows nothing of hardware."""

from __future__ import annotations

from typing import Any

import msgspec

from tui.front_door import output_of


class _Told(msgspec.Struct):
    fingerprint: dict[str, Any]


async def fingerprint() -> dict[str, Any]:
    """What a result on this machine was measured on.

    Raises:
        DemoticError: the command failed.
    """
    return msgspec.json.decode(await output_of("doctor", "--json"), type=_Told).fingerprint
