"""Commands for the models of this machine: pull, list, show, remove. Bodies are in `runtime/commands/`."""

from __future__ import annotations

from typing import Annotated

import typer

from runtime.cli_options import MODEL_HELP, Json


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("pull", help=_PULL_HELP)(_pull)
    app.command("list", help=_LIST_HELP)(_list)
    app.command("show", help=_SHOW_HELP)(_show)
    app.command("remove", help=_REMOVE_HELP)(_remove)


_PULL_HELP = """Download a model, resuming where an earlier download stopped.

A bundle (NAME.bundle.json, here or on the hub) comes with its base and all its files, each held against its hash, and
the model that it makes of the base is made.

Examples:

  demotic pull qwen3-0.6b

  demotic pull hf:bartowski/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M

  demotic pull hf:bartowski/Qwen2.5-0.5B-Instruct-GGUF --preview

  demotic pull ./gemma-bul.bundle.json
"""


def _pull(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    is_preview: Annotated[
        bool,
        typer.Option("--preview", help="Only show what would come: file, size, licence, and whether it fits here."),
    ] = False,
    with_progress: Annotated[
        bool, typer.Option("--json-progress", help="Tell the progress as JSON lines on standard error.")
    ] = False,
    as_json: Json = False,
) -> None:
    from runtime.commands.pull import preview, pull

    if is_preview:
        preview(model, as_json=as_json)
    else:
        pull(model, as_json=as_json, with_progress=with_progress)


_LIST_HELP = """List the models on this machine.

Examples:

  demotic list

  demotic list --fit

  demotic list --json
"""


def _list(
    with_fit: Annotated[
        bool, typer.Option("--fit", help="Tell of each whether it fits this machine, as `demotic doctor` plans.")
    ] = False,
    as_json: Json = False,
) -> None:
    from runtime.commands.models import list_models

    list_models(as_json=as_json, with_fit=with_fit)


_SHOW_HELP = """Show a model's licence, languages, size and shape.

Examples:

  demotic show gemma-3-270m

  demotic show ./my-model.gguf --json
"""


def _show(model: Annotated[str, typer.Argument(help=MODEL_HELP)], as_json: Json = False) -> None:
    from runtime.commands.models import show

    show(model, as_json=as_json)


_REMOVE_HELP = """Delete a downloaded model from this machine.

Examples:

  demotic remove qwen3-0.6b

  demotic remove qwen3-0.6b --yes
"""


def _remove(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    from runtime.commands.models import remove

    remove(model, yes=yes, as_json=as_json)
