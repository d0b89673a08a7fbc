"""`demotic pull`, `list`, `show` and `remove`: results on standard output, progress on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runtime.commands.progress import progress_for
from runtime.errors import InvalidRequest, ModelFileInvalid, ModelNotFound
from runtime.models.catalog import CatalogEntry, default_entry, load_catalog
from runtime.models.name import CatalogName, parse_reference
from runtime.models.store import ModelFile, Store

INTERRUPTED = 130
_SHOWN_LANGUAGES = 3
# What the converters' manifest says beside what the file itself does.
_MADE = ("made_from", "revision", "made_at", "sha256")
_ONLY_IN_FILE = dict.fromkeys(("kind", "quantization", "context_length", "vocabulary_size", "has_chat_template"))


def pull(reference: str, *, as_json: bool) -> None:
    """Download a model, or go on with a download that was cut."""
    try:
        model = Store().pull(reference, progress_for(as_json=as_json))
    except KeyboardInterrupt:
        print(f"Stopped; `demotic pull {reference}` goes on from here.", file=sys.stderr)  # noqa: T201
        raise SystemExit(INTERRUPTED) from None
    if as_json:
        _print_json(_summary(model))
        return
    _say(f"{model.name} is here: {model.path} ({_size(_bytes_of(model))})")
    if model.license:
        _say(f"Licence: {_license(model.license, model.entry)}")


def list_models(*, as_json: bool) -> None:
    """Show the models of this machine, and those of the catalogue that are not here."""
    store = Store()
    here = store.installed()
    names = {model.name for model in here}
    more = [entry for entry in load_catalog().values() if entry.name not in names]
    if as_json:
        available = [_entry_facts(entry) for entry in more]
        models = [_summary(model) for model in here]
        _print_json({"default": store.default_name(), "models": models, "available": available})
        return
    if here:
        _print_table("On this machine", [_row(model.name, _summary(model), model.source) for model in here])
    else:
        entry = default_entry()
        _say(f"No model is here yet. `demotic pull {entry.name}` downloads the default one ({_size(entry.size)}).")
    if more:
        rows = [_row(entry.name, _entry_facts(entry), _origin(entry)) for entry in more]
        _print_table("To get with `demotic pull NAME`", rows)


def show(reference: str, *, as_json: bool) -> None:
    """Show all that is known of one model; of one that is not here, what the catalogue says."""
    try:
        model = Store().resolve(reference, progress=progress_for(as_json=as_json))
    except ModelNotFound:
        known = parse_reference(reference, load_catalog())
        if not isinstance(known, CatalogName):
            raise
        facts = {"here": False, **_ONLY_IN_FILE, **dict.fromkeys(_MADE), **_entry_facts(load_catalog()[known.name])}
    else:
        facts = {"here": True, **_file_facts(model)}
    if as_json:
        _print_json(facts)
        return
    table = Table.grid(padding=(0, 2))
    for key, value in facts.items():
        if value is None and key != "license":
            continue
        table.add_row(Text(key.replace("_", " ").removesuffix(" bytes")), Text(_readable(key, value)))
    _console().print(table)
    if not facts["here"]:
        _say(f"It is not on this machine: {_how_to_get(load_catalog()[str(facts['name'])])}")


def remove(reference: str, *, yes: bool, as_json: bool) -> None:
    """Delete a downloaded model, after asking."""
    store = Store()
    store.resolve(reference)
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise InvalidRequest(f"Removing {reference} was not confirmed.", remedy="Add --yes.")
        if not typer.confirm(f"Remove {reference} from this machine?", err=True):
            _say("Nothing was removed.")
            return
    model = store.remove(reference)
    if as_json:
        _print_json({"removed": model.name, "path": str(model.path)})
        return
    _say(f"Removed {model.name} ({model.path}).")
    if model.source == "starter" and model.entry is not None:
        _say(f"Its package stays and can assemble it again; `pip uninstall {model.entry.package}` ends that.")


def _entry_facts(entry: CatalogEntry) -> dict[str, object]:
    return {
        "name": entry.name,
        "title": entry.title,
        "path": None,
        "source": _origin(entry),
        "license": entry.license,
        "license_url": entry.license_url,
        "languages": list(entry.languages),
        "architecture": entry.architecture,
        "parameters": entry.parameters,
        "size_bytes": entry.size,
        "task": entry.task,
        "gated": entry.gated,
        "notes": entry.notes,
    }


def _summary(model: ModelFile) -> dict[str, object]:
    """Facts that need no look into the file."""
    known: Mapping[str, object] = _entry_facts(model.entry) if model.entry is not None else {"title": model.path.stem}
    return {
        **known,
        "name": model.name,
        "path": str(model.path),
        "source": model.source,
        "license": model.license,
        "size_bytes": _bytes_of(model),
    }


def _file_facts(model: ModelFile) -> dict[str, object]:
    """All facts: the catalogue's, and over them what the file says."""
    from runtime.models.inspect import read_header
    from runtime.models.provenance import read_provenance

    header = read_header(model.path)
    try:
        shape = header.shape()
    except ModelFileInvalid:  # of an architecture with other sizes: the rest is worth showing
        shape = None
    entry = model.entry
    made = read_provenance(model.path)
    return {
        "name": model.name,
        "title": entry.title if entry is not None else header.name,
        "path": str(model.path),
        "source": f"{model.source}: {_origin(entry)}" if entry is not None else model.source,
        "license": model.license or header.license,
        "license_url": entry.license_url if entry is not None else None,
        "languages": list(entry.languages if entry is not None else made.get("languages") or ()),
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


def _kind(architecture: str) -> str:
    from runtime.models.encoding import ENCODERS
    from runtime.models.seq2seq import SEQ2SEQ

    if architecture in SEQ2SEQ:
        return "encoder-decoder"
    return "encoder" if architecture in ENCODERS else "decoder"


def _bytes_of(model: ModelFile) -> int | None:
    if model.path.is_file():
        return model.path.stat().st_size
    return model.entry.size if model.entry is not None else None  # a starter that is not assembled yet


def _origin(entry: CatalogEntry) -> str:
    return f"hf:{entry.repo}" if entry.repo is not None else f"pip:{entry.package}"


def _how_to_get(entry: CatalogEntry) -> str:
    return f"run `demotic pull {entry.name}`." if entry.repo is not None else f"run `pip install {entry.package}`."


def _license(name: str, entry: CatalogEntry | None) -> str:
    return f"{name} ({entry.license_url})" if entry is not None else name


def _readable(key: str, value: object) -> str:
    match value:
        case None:
            return "not known"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(value) if value else "not known"
        case int():
            return _size(value) if key == "size_bytes" else f"{value:,}"
    return str(value)


def _size(num_bytes: object) -> str:
    if not isinstance(num_bytes, int):
        return "size not known"
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"


def _row(name: str, facts: Mapping[str, object], source: str) -> tuple[str, ...]:
    languages = facts.get("languages")
    codes = languages if isinstance(languages, list) else []
    more = f" +{len(codes) - _SHOWN_LANGUAGES}" if len(codes) > _SHOWN_LANGUAGES else ""
    spoken = f"{' '.join(codes[:_SHOWN_LANGUAGES])}{more}"
    size = _size(facts["size_bytes"]) if facts["size_bytes"] is not None else ""
    return name, size, str(facts.get("task") or ""), spoken, str(facts["license"] or "not known"), source


def _print_table(title: str, rows: Iterable[tuple[str, ...]]) -> None:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("NAME", "SIZE", "TASK", "LANGUAGES", "LICENCE", "SOURCE"):
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


def _say(text: str) -> None:
    print(text)  # noqa: T201


def _print_json(document: Mapping[str, object]) -> None:
    print(json.dumps(document, ensure_ascii=False, indent=2))  # noqa: T201
