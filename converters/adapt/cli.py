"""The commands that change what a model knows and for whom it is: trim; transplant has a file of its own.

Only signatures and help texts live here, as in `converters/cli.py`; the bodies are in `converters/adapt/commands.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import converters.adapt.transplant.cli
from converters.cli_options import Force, Json


def register(app: typer.Typer) -> None:
    """Add the commands to the front door's `app`."""
    app.command("trim", help=_TRIM_HELP)(_trim)
    app.command("transplant", help=converters.adapt.transplant.cli.HELP)(converters.adapt.transplant.cli.transplant)


_TRIM_HELP = """Make a smaller and faster model for some languages: keep only the tokens that they need.

What is trimmed is a GGUF, a folder of ONNX graphs, or the folder of a checkpoint, and it becomes another of its kind.
Rows of the embedding and of the head are copied bit for bit, quantized as they are; every id beside them is counted
anew. What the languages need is counted in a corpus, one line in ten of which is held out and told about. Without a
corpus, lists of words (the extra 'trim') and alphabets stand in. Kept tokens stay reachable, bytes and control tokens
always stay, and other text is cut into smaller pieces.

The result is proved before it gets its name: texts whose tokens are all kept are read alike, logits are equal to the
source's to the bit, and continuations are equal to those of the source among the kept rows.

Examples:

  demotic trim gemma-3-270m -o gemma-bul.gguf --corpus bul=bulgarian.txt --corpus eng=english.txt

  demotic trim gemma-3-270m -o gemma-tha.gguf --languages tha,eng --size 32768

  demotic trim model.gguf -o smaller.gguf --scripts Cyrl,Latn --keep terms.txt --adapter legal.gguf

  demotic trim ./xlmr-onnx -o ./xlmr-afro --scripts Latn,Ethi,Arab --corpus hau=hausa.txt --corpus amh=amharic.txt
"""


def _trim(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A GGUF, by its path or a name as for demotic run; or a folder.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PATH", help="Where to.")],
    languages: Annotated[
        str, typer.Option(metavar="LANGUAGE,...", help="Which languages it is for, as in bul,eng.")
    ] = "",
    corpus: Annotated[
        list[str] | None,
        typer.Option(metavar=r"\[LANGUAGE=]FILE", help="Text to count tokens in, UTF-8; may be repeated."),
    ] = None,
    size: Annotated[int | None, typer.Option(min=1, metavar="ROWS", help="Keep at most so many rows.")] = None,
    coverage: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="SHARE",
            help="Keep the most frequent tokens up to this share of each text; else all of a corpus.",
        ),
    ] = None,
    scripts: Annotated[
        str, typer.Option(metavar="SCRIPT,...", help="Drop tokens with letters of other scripts, as in Cyrl,Latn.")
    ] = "",
    keep: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Tokens, ids or words that stay as well, a line each.")
    ] = None,
    adapter: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="A LoRA of the model, to be made one of the new one; may be repeated."),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Compute both, and refuse what differs.")] = True,
    force: Force = False,
    as_json: Json = False,
) -> None:
    from converters.adapt.commands import trim

    trim(
        model,
        output,
        languages,
        corpus or [],
        size,
        coverage,
        scripts,
        keep,
        adapter or [],
        verify=verify,
        force=force,
        as_json=as_json,
    )
