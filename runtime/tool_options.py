"""Options of the commands that let a model use tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runtime.errors import InvalidRequest

Tools = Annotated[
    bool, typer.Option("--tools", help="Let the model use the tools of tools.toml in the configuration folder.")
]
ToolsFile = Annotated[Path | None, typer.Option(metavar="FILE", help="Let the model use the tools of this file.")]
Approve = Annotated[
    list[str] | None, typer.Option(metavar="TOOL", help="Run this tool without asking; may be repeated.")
]


def wants_tools(tools: bool, tools_file: Path | None, *, says_more: bool) -> bool:  # as it comes
    """Whether there are to be tools; `says_more`: other options speak of them.

    Raises:
        InvalidRequest: they do, and there are none.
    """
    if tools or tools_file is not None:
        return True
    if says_more:
        raise InvalidRequest("There are no tools.", remedy="Name them with --tools or --tools-file.")
    return False
