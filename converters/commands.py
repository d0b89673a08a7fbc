"""The bodies of the converters' commands: results on standard output, progress and notes on standard error."""

from __future__ import annotations

import importlib.util
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from runtime.commands.progress import progress_for
from runtime.errors import ConfigurationInvalid

_NEEDED = ("gguf", "torch", "transformers")


def convert(
    source: str,
    output: Path | None,
    type_name: str,
    pooling: str | None,
    *,
    is_reranker: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Make a GGUF of a checkpoint and say what came of it."""
    _require_extra()
    from converters.architectures.base import Options
    from converters.convert import Request
    from converters.convert import convert as run

    _end_like_an_interrupt()
    options = Options(pooling, is_reranker)
    done = run(Request(source, output, type_name, force, options), progress_for(as_json=as_json))
    facts = asdict(done.manifest)
    if as_json:
        print(json.dumps({"path": str(done.path), **facts}, ensure_ascii=False, indent=2))  # noqa: T201
        return
    for note in done.manifest.notes:
        _tell(f"Note: {note}")
    if done.manifest.license is None:
        _tell("Note: the checkpoint names no licence, so the file names none.")
    print(f"{done.path} ({done.manifest.size / 1e6:,.1f} MB, {done.manifest.type})")  # noqa: T201


def _require_extra() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationInvalid(
            f"The converters need {', '.join(missing)}, not installed here.",
            remedy="Install the extra: pip install 'demotic[convert]'",
        )


def _end_like_an_interrupt() -> None:
    """Let SIGTERM remove what is half written, as Ctrl-C does."""

    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)


def _tell(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201
