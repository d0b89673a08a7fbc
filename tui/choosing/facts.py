"""What a person is told of a model before it is downloaded, in lines."""

from __future__ import annotations

from tui.choosing.languages import names_of
from tui.choosing.offers import Offer, sized
from tui.words import _

_MOST_LANGUAGES = 8


def facts_of(offer: Offer) -> list[str]:
    """What it is, its licence, size and languages, where it goes, and whether it fits by `plan`."""
    licence = offer.license or _("not known: read it at its source before you use the model")
    where = f" ({offer.license_url})" if offer.license_url else ""
    lines = [
        _("Licence: {licence}").format(licence=licence + where),
        _("Size: {size}").format(size=sized(offer.size_bytes) or _("not known")),
        _("From: {source}").format(source=offer.source),
    ]
    if kind := _kind(offer):
        lines.insert(0, _("What it is: {kind}").format(kind=kind))
    if offer.destination:
        lines.append(_("To: {path}").format(path=offer.destination))
    if offer.partial_bytes:
        lines.append(_("Here already: {size}").format(size=sized(offer.partial_bytes)))
    if offer.languages:
        lines.append(_("Languages: {languages}").format(languages=names_of(offer.languages, _MOST_LANGUAGES)))
    if offer.fit.label:
        reason = f": {offer.fit.reason}" if offer.fit.reason else ""
        lines.append(_("This machine: {fit}").format(fit=offer.fit.label) + reason)
    if offer.gated:
        lines.append(_("The hub wants its licence accepted first, with an account."))
    return [*lines, offer.notes] if offer.notes else lines


def _kind(offer: Offer) -> str:
    """Its name for people, and whether it answers or continues."""
    title = offer.title if offer.title != offer.name else ""
    match offer.task:
        case "chat":
            kind = _("a chat model")
        case "completion":
            kind = _("a base model, which continues texts")
        case _:
            kind = ""
    return ", ".join(part for part in (title, kind) if part)
