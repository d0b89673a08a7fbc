"""Options that several of the converters' commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for scripts.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite a file of this name.")]
