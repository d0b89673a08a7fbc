"""Options of the commands that ask a server: one that runs already, or one that is started for them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runtime.errors import InvalidRequest

ApiKey = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="The key that it wants. Other users of this machine can read a command line: rather use the variable.",
        envvar="DEMOTIC_CHAT_API_KEY",
    ),
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Send the key to another machine also without encryption.")]
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
