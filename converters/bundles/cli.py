"""The command that packs a model for a language: bundle.

Only its signature and help text live here, as in `converters/cli.py`; the body is in `converters/bundles/commands.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from converters.cli_options import Force, Json


def register(app: typer.Typer) -> None:
    """Add the command to the front door's `app`."""
    app.command("bundle", help=_BUNDLE_HELP)(_bundle)


_BUNDLE_HELP = """Put what makes a model one for a language into a bundle: a recipe with hashes, and a few small files.

A bundle names its base and has what changes it: an adapter, another vocabulary, a chat template, defaults of requests,
figures of an evaluation. The base itself is not in it. The parts are held against each other first, and nothing is
written where they do not fit. `demotic pull`, `run`, `serve`, `chat`, `show`, `list` and `remove` take the recipe by
its path, or once it is pulled by its name.

The base is of the hub or the catalogue, or a file in the folder of the bundle.

Examples:

  demotic bundle gemma-3-270m --trimmed gemma-bul.gguf --language bul --name gemma-bul -o gemma-bul.bundle.json

  demotic bundle qwen3-0.6b --adapter legal-bg.gguf --language bul --system "You answer in Bulgarian." \\
    --sampling temperature=0.3 --name legal-bg -o legal-bg.bundle.json

  demotic bundle qwen3-0.6b --adapter ./peft-folder --template chat.jinja --name tutor -o tutor.bundle.json
"""


def _bundle(
    base: Annotated[str, typer.Argument(metavar="BASE", help="The GGUF: a path, or a name as for demotic run.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The recipe: NAME.bundle.json.")],
    name: Annotated[str, typer.Option(help="What the bundle is called, and served as.")],
    adapter: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="A LoRA: a GGUF, or a folder that PEFT saved, its rows of tokens with it."),
    ] = None,
    scale: Annotated[float, typer.Option(help="What the LoRA is multiplied by.")] = 1.0,
    trimmed: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What demotic trim made of the base; its rows alone are kept.")
    ] = None,
    tokens: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="The base with new or other tokens, a GGUF; or a folder of PEFT with rows."),
    ] = None,
    template: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A chat template (Jinja) in place of the base's.")
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(help="What it is for; may be repeated. Answers are kept in the script of a single one."),
    ] = None,
    script: Annotated[
        list[str] | None, typer.Option(help="Keep answers in this script (Cyrl) instead; may be repeated.")
    ] = None,
    lock: Annotated[
        Literal["soft", "hard"] | None, typer.Option(help="How answers are kept there, as for demotic run.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="System message of conversations that have none.")] = None,
    sampling: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="temperature, top_k, top_p and so on of requests; may be repeated."),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='Figures: of demotic eval, or JSON with {"languages": {"bul_Cyrl": {...}}}.'),
    ] = None,
    description: Annotated[str, typer.Option(help="What it is, in a sentence.")] = "",
    license_name: Annotated[
        str | None, typer.Option("--license", help="The licence of the whole; else the base's.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    from converters.bundles.commands import bundle
    from converters.bundles.pack import Request

    options = {"scripts": script, "mode": lock, "system": system}
    request = Request(
        base=base,
        output=output,
        name=name,
        adapter=adapter,
        scale=scale,
        trimmed=trimmed,
        tokens=tokens,
        template=template,
        languages=tuple(language or ()),
        evaluation=card,
        description=description,
        license=license_name,
        options={key: value for key, value in options.items() if value},
        force=force,
    )
    bundle(request, sampling or [], as_json=as_json)
