"""The body of `demotic transplant`: results on standard output, progress and notes on standard error."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

from converters.bodies import ending_like_an_interrupt, print_json, require_extra, tell
from runtime.commands.progress import progress_for


def run(
    model: str,
    tokenizer: str,
    output: Path,
    method: Literal["overlap", "ofa", "trans-tokenization"] | None,
    mapping: Path | None,
    vectors: Path | None,
    rank: int | None,
    alignments: Path | None,
    parallel: Path | None,
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Give a checkpoint another tokenizer and say what came of it."""
    require_extra()
    from converters.adapt.transplant.shown import print_report
    from converters.adapt.transplant.transplant import Request, transplant
    from converters.progress import steps_for

    request = Request(model, tokenizer, output, method, mapping, vectors, rank, alignments, parallel, force)
    with ending_like_an_interrupt():
        done = transplant(request, progress_for(as_json=as_json), steps_for(as_json=as_json))
    if as_json:
        print_json({"path": str(done.path), **asdict(done.manifest)})
        return
    for note in done.manifest.notes:
        tell(f"Note: {note}")
    print_report(done.report)
    print(f"{done.path} ({done.manifest.size / 1e6:,.1f} MB, {done.manifest.type})")  # noqa: T201
