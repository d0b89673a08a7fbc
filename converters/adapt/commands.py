"""The bodies of the commands in `cli.py`: results on standard output, progress and notes on standard error."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from converters.bodies import ending_like_an_interrupt, print_json, require, require_extra
from runtime.commands.progress import progress_for
from runtime.errors import InvalidRequest


def trim(
    model: str,
    output: Path,
    languages: str,
    corpora: list[str],
    size: int | None,
    coverage: float | None,
    scripts: str,
    keep: Path | None,
    adapters: list[Path],
    *,
    verify: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Make a model for some languages and say what came of it."""
    from converters.adapt.format import packages_of
    from converters.adapt.request import Request
    from converters.adapt.selection import Limits
    from converters.adapt.shown import print_report
    from converters.adapt.trim import trim as run
    from converters.progress import steps_for
    from runtime.models.store import Store

    if size is not None and coverage is not None:
        raise InvalidRequest("--size and --coverage each say how much is kept.", remedy="Give one of them.")
    folder = Path(model).expanduser()
    source = folder if folder.is_dir() else Store().resolve(model).path
    require(*packages_of(source, verify=verify))
    request = Request(
        source,
        output,
        _names(languages),
        tuple(corpora),
        _names(scripts),
        Limits(size, coverage),
        keep,
        tuple(adapters),
        verify,
        force,
    )
    with ending_like_an_interrupt():
        done = run(request, progress_for(as_json=as_json), steps_for(as_json=as_json))
    if as_json:
        paths = {"path": str(done.path), "adapters": [str(path) for path in done.adapters]}
        print_json({**paths, **asdict(done.manifest)})
        return
    print_report(done.report)
    sizes = {done.path: done.manifest.size} | {path: _num_bytes(path) for path in done.adapters}
    for path, num_bytes in sizes.items():
        print(f"{path} ({num_bytes / 1e6:,.1f} MB)")  # noqa: T201


def _num_bytes(path: Path) -> int:
    """The size of a file, or of all files in a folder."""
    files = path.iterdir() if path.is_dir() else [path]
    return sum(each.stat().st_size for each in files)


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in text.split(","))))


def merge(
    models: list[str],
    output: Path,
    scale: str,
    weights: str,
    base: str | None,
    *,
    apply_delta: bool,
    verify: bool | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make one model of others and say what came of it."""
    require_extra()
    from converters.arithmetic.merge import Request
    from converters.arithmetic.merge import merge as run
    from converters.arithmetic.shown import print_merged
    from converters.progress import steps_for

    request = Request(tuple(models), output, scale, weights, base, apply_delta, verify, force)
    with ending_like_an_interrupt():
        done = run(request, progress_for(as_json=as_json), steps_for(as_json=as_json))
    if as_json:
        print_json({"path": str(output), **asdict(done)})
        return
    print_merged(output, done)


def transfer(base: str, finetuned: str, target: str, output: Path, scale: float, *, force: bool, as_json: bool) -> None:
    """Carry a fine-tuning over to another model and say what came of it."""
    require_extra()
    from converters.arithmetic.merge import transfer as run
    from converters.arithmetic.shown import print_merged

    with ending_like_an_interrupt():
        done = run(base, finetuned, target, output, scale, progress_for(as_json=as_json), force=force)
    if as_json:
        print_json({"path": str(output), **asdict(done)})
        return
    print_merged(output, done)
