"""`demotic list`, `show` and `remove`: results on standard output, progress on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runtime.commands.facts import entry_facts, fit_word, origin_of, print_json, say, sized, summary
from runtime.commands.progress import progress_for
from runtime.errors import InvalidRequest, ModelFileInvalid, ModelNotFound
from runtime.models.catalog import CatalogEntry, default_entry, load_catalog
from runtime.models.name import CatalogName, parse_reference
from runtime.models.store import ModelFile, Store

_SHOWN_LANGUAGES = 3
# What the converters' manifest says beside what the file itself does.
_MADE = ("made_from", "revision", "made_at", "sha256")
_ONLY_IN_FILE = dict.fromkeys(("kind", "quantization", "context_length", "vocabulary_size", "has_chat_template"))


def list_models(*, as_json: bool, with_fit: bool = False) -> None:
    """Show the models of this machine, and those of the catalogue that are not here; `with_fit`: which of them fit."""
    store = Store()
    here = store.installed()
    names = {model.name for model in here}
    more = [entry for entry in load_catalog().values() if entry.name not in names]
    models, available = [summary(model) for model in here], [entry_facts(entry) for entry in more]
    if with_fit:
        from runtime.commands.fitting import Fitting

        fitting = Fitting()
        models = [facts | fitting.of_file(model) for facts, model in zip(models, here, strict=True)]
        available = [facts | fitting.of_entry(entry) for facts, entry in zip(available, more, strict=True)]
    if as_json:
        print_json({"default": store.default_name(), "models": models, "available": available})
        return
    if here:
        rows = [_row(model.name, facts, model.source) for facts, model in zip(models, here, strict=True)]
        _print_table("On this machine", rows, with_fit=with_fit)
    else:
        entry = default_entry()
        say(f"No model is here yet. `demotic pull {entry.name}` downloads the default one ({sized(entry.size)}).")
    if more:
        rows = [_row(entry.name, facts, origin_of(entry)) for facts, entry in zip(available, more, strict=True)]
        _print_table("To get with `demotic pull NAME`", rows, with_fit=with_fit)


def show(reference: str, *, as_json: bool) -> None:
    """Show all that is known of one model; of one that is not here, what the catalogue says."""
    store = Store()
    try:
        model = store.resolve(reference, progress=progress_for(as_json=as_json))
    except ModelNotFound:
        if store.has_bundle(reference):  # and its base is not here
            raise
        known = parse_reference(reference, load_catalog())
        if not isinstance(known, CatalogName):
            raise
        facts = {"here": False, **_ONLY_IN_FILE, **dict.fromkeys(_MADE), **entry_facts(load_catalog()[known.name])}
    else:
        facts = {"here": True, **_file_facts(model)}
    _show_facts(facts, as_json=as_json)


def _show_facts(facts: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(facts)
        return
    table = Table.grid(padding=(0, 2))
    for key, value in facts.items():
        if value is None and key != "license":
            continue
        table.add_row(Text(key.replace("_", " ").removesuffix(" bytes")), Text(_readable(key, value)))
    _console().print(table)
    if not facts["here"]:
        say(f"It is not on this machine: {_how_to_get(load_catalog()[str(facts['name'])])}")


def remove(reference: str, *, yes: bool, as_json: bool) -> None:
    """Delete a downloaded model, after asking."""
    store = Store()
    if not store.has_bundle(reference):
        store.resolve(reference)
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise InvalidRequest(f"Removing {reference} was not confirmed.", remedy="Add --yes.")
        if not typer.confirm(f"Remove {reference} from this machine?", err=True):
            say("Nothing was removed.")
            return
    model = store.remove(reference)
    if as_json:
        place = model.path if model.bundle is None else model.bundle.folder
        print_json({"removed": model.name, "path": str(place)})
        return
    if model.bundle is not None:
        say(f"Removed {model.name} ({model.bundle.folder}). Its base, {model.bundle.recipe.base.reference}, stays.")
        return
    say(f"Removed {model.name} ({model.path}).")
    if model.source == "starter" and model.entry is not None:
        say(f"Its package stays and can assemble it again; `pip uninstall {model.entry.package}` ends that.")


def _file_facts(model: ModelFile) -> dict[str, object]:
    """All facts: the catalogue's, and over them what the file or the folder says."""
    if model.path.is_dir():
        from runtime.commands.exported import exported_facts
        from runtime.models.onnx_folder import read_folder

        return exported_facts(read_folder(model.path))
    from runtime.models.inspect import read_header
    from runtime.models.provenance import read_provenance

    header = read_header(model.path)
    try:
        shape = header.shape()
    except ModelFileInvalid:  # of an architecture with other sizes: the rest is worth showing
        shape = None
    entry = model.entry
    made = read_provenance(model.path)
    facts = {
        "name": model.name,
        "title": entry.title if entry is not None else header.name,
        "path": str(model.path),
        "source": f"{model.source}: {origin_of(entry)}" if entry is not None else model.source,
        "license": model.license or header.license,
        "license_url": entry.license_url if entry is not None else None,
        "languages": list(model.languages or made.get("languages") or ()),
        "architecture": header.architecture,
        "kind": _kind(header.architecture),
        "parameters": header.parameter_count,
        "quantization": header.quantization,
        "size_bytes": header.file_size,
        "context_length": shape.context_length if shape is not None else None,
        "vocabulary_size": shape.vocabulary_size if shape is not None else None,
        "has_chat_template": header.chat_template is not None,
        "task": entry.task if entry is not None else None,
        "gated": entry.gated if entry is not None else False,
        "notes": entry.notes if entry is not None else " ".join(made.get("notes") or ()) or None,
        **{key: made.get(key) for key in _MADE},
    }
    if model.bundle is not None:
        from runtime.commands.bundled import bundle_facts

        facts |= bundle_facts(model.bundle, header)
    return facts


def _kind(architecture: str) -> str:
    from runtime.models.encoding import ENCODERS
    from runtime.models.seq2seq import SEQ2SEQ

    if architecture in SEQ2SEQ:
        return "encoder-decoder"
    return "encoder" if architecture in ENCODERS else "decoder"


def _how_to_get(entry: CatalogEntry) -> str:
    return f"run `demotic pull {entry.name}`." if entry.repo is not None else f"run `pip install {entry.package}`."


def _readable(key: str, value: object) -> str:
    match value:
        case None:
            return "not known"
        case bool():
            return "yes" if value else "no"
        case dict():
            return "\n".join(f"{name}: {_line(each)}" for name, each in value.items())
        case list():
            return ", ".join(value) if value else "not known"
        case int():
            return sized(value) if key.endswith("size_bytes") else f"{value:,}"
    return str(value)


def _line(value: object) -> str:
    """A value in one line; of several each with its name."""
    if isinstance(value, dict):
        return ", ".join(
            f"{name} {each:g}" if isinstance(each, float) else f"{name} {each}" for name, each in value.items()
        )
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _row(name: str, facts: Mapping[str, object], source: str) -> tuple[str, ...]:
    languages = facts.get("languages")
    codes = languages if isinstance(languages, list) else []
    more = f" +{len(codes) - _SHOWN_LANGUAGES}" if len(codes) > _SHOWN_LANGUAGES else ""
    spoken = f"{' '.join(codes[:_SHOWN_LANGUAGES])}{more}"
    size = sized(facts["size_bytes"]) if facts["size_bytes"] is not None else ""
    row = name, size, str(facts.get("task") or ""), spoken, str(facts["license"] or "not known"), source
    return (*row, fit_word(facts["fit"])) if "fit" in facts else row


def _print_table(title: str, rows: Iterable[tuple[str, ...]], *, with_fit: bool) -> None:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("NAME", "SIZE", "TASK", "LANGUAGES", "LICENCE", "SOURCE", *(("FITS",) if with_fit else ())):
        table.add_column(heading, justify="right" if heading == "SIZE" else "left", no_wrap=heading == "NAME")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = _console()
    console.print(table)
    console.print()


def _console() -> Console:
    """Standard output; as wide as it needs to be where it is not a terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=240)
