"""The commands that make artefacts: convert.

Only signatures and help texts live here, so that `demotic --help` imports nothing heavy; the bodies are in
`converters/commands.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for scripts.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite a file of this name.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the front door's `app`."""
    app.command("convert", help=_CONVERT_HELP)(_convert)


_CONVERT_HELP = """Make a GGUF of a checkpoint, with its tokenizer inside.

The checkpoint is a folder with config.json, weights (safetensors, PyTorch's .bin, Flax's msgpack) and tokenizer.json,
or a repository of the hub. What cannot be converted is refused before anything is written. A manifest beside the file
tells what it was made from; `demotic show FILE` reads it.

Examples:

  demotic convert ./my-finetune

  demotic convert hf:Qwen/Qwen3-0.6B --type q8_0 -o qwen3.gguf

  demotic convert hf:intfloat/multilingual-e5-small

  demotic convert hf:Qwen/Qwen3-Reranker-0.6B --reranker
"""


def _convert(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help=r"A checkpoint's folder, or hf:org/repo\[@revision].")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to; else the source's name with the type."),
    ] = None,
    to: Annotated[Literal["gguf"], typer.Option(help="The format.")] = "gguf",
    type_name: Annotated[
        Literal["f32", "f16", "bf16", "q8_0"], typer.Option("--type", help="What the weights are stored in.")
    ] = "f16",
    pooling: Annotated[
        Literal["mean", "cls", "last"] | None,
        typer.Option(help="How a model of vectors makes them; else as the checkpoint says."),
    ] = None,
    reranker: Annotated[
        bool, typer.Option("--reranker", help="Make a reranker of a Qwen3 that answers yes or no.")
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    del to  # one format so far
    from converters.commands import convert

    convert(source, output, type_name, pooling, is_reranker=reranker, force=force, as_json=as_json)
