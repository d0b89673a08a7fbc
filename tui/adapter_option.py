"""The option of every command that starts a server of its own: adapters that its models may be asked for with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runtime.errors import InvalidRequest

AdapterDir = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Let any NAME.gguf in this folder be chosen as an adapter (LoRA) of a model."),
]


def refuse_with_url(adapter_dir: Path | None, url: str | None) -> None:
    """Raise `InvalidRequest` where both are given: a server that runs already has its own."""
    if adapter_dir is not None and url is not None:
        raise InvalidRequest(
            "--adapter-dir is for a server that is started here.",
            remedy="Give it to the one that runs: demotic serve MODEL --adapter-dir DIR.",
        )
