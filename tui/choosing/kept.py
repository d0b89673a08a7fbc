"""Which of a conversation's own choices count where it is opened again: those that are there still."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tui.choosing.choices import Choices
from tui.words import _


def lasting(reference: str) -> str:
    """A model's file by its whole path, so that it is found from another folder too; nothing of another reference."""
    path = Path(reference).expanduser()
    return str(path.resolve()) if reference and path.is_file() else ""


@dataclass(frozen=True)
class Settled:
    """`model` answers, with the adapter of `choices`; `notice` and `fault` are to be told, where they are not empty."""

    model: str
    choices: Choices
    notice: str = ""
    fault: str = ""


def settled(kept: str, wanted: Choices, now: tuple[str, str], served: AbstractSet[str], *, is_given: bool) -> Settled:
    """What answers a conversation whose model is `kept`, which may be empty, with the choices `wanted`.

    `now` are the model and the adapter that answer now, by the command line where `is_given`, which then stay. `served`
    are the names that can be asked for.
    """
    answers, adapter = now
    model = kept or answers
    notice = fault = ""
    if is_given and model != answers:
        notice = _("{model} answered here before. /model {model} has it answer again.").format(model=model)
        model = answers
    elif model not in served | {answers}:
        fault = _("The server no longer has {model}, which answered here; {other} answers now. /model chooses another.")
        fault, model = fault.format(model=model, other=answers), answers
    if (kept and model != kept) or (adapter and is_given):
        wanted = msgspec.structs.replace(wanted, adapter=adapter)
    elif wanted.adapter and wanted.model(model) not in served:
        fault = _("{model} has no adapter {adapter} any more, and answers without it. /adapter chooses another.")
        fault = fault.format(model=model, adapter=wanted.adapter)
        wanted = msgspec.structs.replace(wanted, adapter="")
    return Settled(model, wanted, notice, fault)
