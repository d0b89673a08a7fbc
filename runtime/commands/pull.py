"""`demotic pull`: a model, or what it would be; progress on standard error."""

from __future__ import annotations

import sys

from runtime.commands.facts import bytes_of, entry_facts, fit_word, license_line, print_json, say, sized, summary
from runtime.commands.progress import JsonProgress, progress_for
from runtime.models.store import ModelFile, Offer, Store

INTERRUPTED = 130


def pull(reference: str, *, as_json: bool, with_progress: bool = False) -> None:
    """Download a model, or go on with a download that was cut; `with_progress`: told in JSON lines."""
    try:
        model = Store().pull(reference, JsonProgress() if with_progress else progress_for(as_json=as_json))
    except KeyboardInterrupt:
        print(f"Stopped; `demotic pull {reference}` goes on from here.", file=sys.stderr)  # noqa: T201
        raise SystemExit(INTERRUPTED) from None
    if as_json:
        print_json(summary(model))
        return
    beside = f" beside its base, {model.bundle.recipe.base.reference}" if model.bundle is not None else ""
    place = model.bundle.folder if model.bundle is not None else model.path
    say(f"{model.name} is here: {place} ({sized(bytes_of(model))}{beside})")
    if model.license:
        say(f"Licence: {license_line(model.license, model.entry)}")


def preview(reference: str, *, as_json: bool) -> None:
    """Show what `pull` would bring, its licence and size, and whether it fits this machine; nothing is fetched."""
    from runtime.commands.fitting import Fitting

    found = Store().offer(reference)
    if isinstance(found, ModelFile):
        facts = {**summary(found), "here": True, "partial_bytes": 0, **Fitting().of_file(found)}
    else:
        facts = {**_offered(found), "here": False, **Fitting().of_offer(found)}
    if as_json:
        print_json(facts)
        return
    if isinstance(found, ModelFile):
        say(f"{found.name} is here already: {found.path} ({sized(bytes_of(found))})")
    else:
        begun = f", {sized(found.partial_bytes)} of it are here" if found.partial_bytes else ""
        say(f"{found.name}: {found.file.path} of {found.repository.repo} ({sized(found.file.size)}{begun})")
    if found.license:
        say(f"Licence: {license_line(found.license, found.entry)}")
    say(f"Fits this machine: {fit_word(facts['fit'])}")


def _offered(offer: Offer) -> dict[str, object]:
    known = entry_facts(offer.entry) if offer.entry is not None else {"title": offer.name, "license_url": None}
    return {
        **known,
        "name": offer.name,
        "path": None,
        "source": f"hf:{offer.repository.repo}",
        "revision": offer.repository.commit,
        "file": offer.file.path,
        "license": offer.license,
        "size_bytes": offer.file.size,
        "partial_bytes": offer.partial_bytes,
        "destination": str(offer.destination),
    }
