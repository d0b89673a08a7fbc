"""Models to choose from: what `demotic list`, `pull --preview` and `pull` tell of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import msgspec

from runtime.errors import DemoticError
from tui.front_door import output_of
from tui.words import _

Kind = TypeVar("Kind")


class Fit(msgspec.Struct, frozen=True):
    """Whether a model fits this machine, by `plan`; `fits` None is not known. As in docs/hardware.md."""

    fits: bool | None
    is_estimate: bool = False
    estimated_bytes: int | None = None
    context_length: int | None = None
    reason: str = ""

    @property
    def label(self) -> str:
        """In a word or two."""
        match self.fits:
            case None:
                return ""
            case True:
                return _("probably fits") if self.is_estimate else _("fits")
            case False:
                return _("probably does not fit") if self.is_estimate else _("does not fit")


class Offer(msgspec.Struct, frozen=True):
    """A model that may be chosen; `here`: on this machine. Only a preview tells `destination`, and
    `partial_bytes` of a cut download.
    """

    name: str
    title: str = ""
    source: str = ""
    license: str | None = None
    license_url: str | None = None
    languages: list[str] = []
    size_bytes: int | None = None
    task: str | None = None
    gated: bool = False
    notes: str | None = None
    fit: Fit = Fit(None)
    partial_bytes: int = 0
    destination: str | None = None
    here: bool = False

    @property
    def can_talk(self) -> bool:
        """Whether it gives text."""
        return self.task in {None, "chat", "completion"}


class _Shown(msgspec.Struct):
    here: bool


class _Listed(msgspec.Struct):
    default: str
    models: list[Offer]
    available: list[Offer]


class Step(msgspec.Struct, frozen=True):
    """How far a download is; `total_bytes` None is not known."""

    title: str
    num_bytes: int
    total_bytes: int | None = None


class _Told(msgspec.Struct):
    progress: Step


async def listed() -> list[Offer]:
    """The models that give text: those of this machine, then those of the catalogue.

    Raises:
        DemoticError: they cannot be listed.
    """
    told = _read(await output_of("list", "--fit", "--json"), _Listed)
    every = [*(msgspec.structs.replace(offer, here=True) for offer in told.models), *told.available]
    return [offer for offer in every if offer.can_talk]


async def default_name() -> str:
    """The model that answers where none is named.

    Raises:
        DemoticError: it cannot be told.
    """
    return _read(await output_of("list", "--json"), _Listed).default


async def is_here(name: str) -> bool:
    """Whether a model is on this machine; the hub is not asked."""
    try:
        return _read(await output_of("show", "--json", "--", name), _Shown).here
    except DemoticError:
        return False


async def previewed(reference: str) -> Offer:
    """What is known of a model before it is downloaded: its file on the hub, licence and size.

    Raises:
        DemoticError: there is none, or the hub cannot be asked.
    """
    return _read(await output_of("pull", "--preview", "--json", "--", reference), Offer)


async def missing(name: str) -> Offer | None:
    """What would be downloaded for a model; None where it is on this machine.

    Raises:
        DemoticError: it is not here, and cannot be downloaded.
    """
    offer = await previewed(name)
    return None if offer.here else offer


async def pulled(reference: str, on_step: Callable[[Step], None]) -> Offer:
    """Download a model. A caller that is cancelled stops it; what came stays, and the next one goes on from there.

    Raises:
        DemoticError: it cannot be had.
    """

    def on_line(line: str) -> None:
        with suppress(msgspec.DecodeError):  # a warning
            on_step(msgspec.json.decode(line, type=_Told).progress)

    brought = _read(await output_of("pull", "--json", "--json-progress", "--", reference, on_line=on_line), Offer)
    return msgspec.structs.replace(brought, here=True)


def _read(printed: bytes, kind: type[Kind]) -> Kind:
    try:
        return msgspec.json.decode(printed, type=kind)
    except msgspec.DecodeError as fault:
        raise DemoticError(_("What the command printed cannot be read: {fault}.").format(fault=fault)) from fault


def sized(num_bytes: int | None) -> str:
    """A size for people; nothing where it is not known."""
    if num_bytes is None:
        return ""
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"
