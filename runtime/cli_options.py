"""Options and arguments that several of the runtime's commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for scripts.")]
Context = Annotated[
    int | None,
    typer.Option("--context", min=16, help="Tokens one request may hold; without it, what the model and memory allow."),
]
# The backslashes keep rich from reading the brackets as markup.
MODEL_HELP = (
    r"A path (GGUF, ONNX graphs, or a bundle's recipe), a name of `demotic list`, or "
    r"hf:org/repo\[@revision]\[:file-or-quantization]."
)
