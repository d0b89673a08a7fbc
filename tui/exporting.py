"""A conversation written to a file, from within the chat."""

from __future__ import annotations

import asyncio
from pathlib import Path

from runtime.errors import HistoryUnusable
from runtime.models.files import write_atomically
from tui.history.export import Format, export
from tui.keeper import Keeper
from tui.words import _


async def export_to(keeper: Keeper, number: int, name: str) -> Path:
    """Write a conversation: JSON where the file's name ends with `.json`, Markdown else; the file's path.

    Raises:
        HistoryUnusable: it cannot be written.
        ConversationNotFound: there is none of this number.
    """
    path = Path(name).expanduser()
    form: Format = "json" if path.suffix.lower() == ".json" else "md"
    text = await keeper.do(export, [number], form)
    try:
        await asyncio.to_thread(write_atomically, path, text)
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise HistoryUnusable(_("{path} cannot be written: {reason}.").format(path=path, reason=reason)) from fault
    return path
