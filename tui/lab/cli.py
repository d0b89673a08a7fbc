"""The command of the language lab without a screen: lab.

Only its signature and help text live here, as in `tui/cli.py`; the body is in `tui/lab/once.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tui.server_options import AdapterDir, ApiKey, Insecure, refuse_with_url

_LAB_HELP = r"""Ask two to four columns the same, one after the other, and compare their answers and figures.

PROMPT is what all are asked; without it, what is piped in. The card is printed as Markdown. With a screen:
`demotic chat --lab`.

A COLUMN is MODEL\[,language=LANGUAGE]\[,lock=LANGUAGE soft|hard]\[,adapter=NAME].

Examples:

  demotic lab "Name three rivers." --column smollm2-135m-instruct --column gemma-3-270m

  demotic lab "Кои са трите най-дълги реки?" --column gemma-3-270m --column "gemma-3-270m,lock=bul hard" --json

  demotic lab "Name three rivers." --column gemma-3-270m,language=nl --column gemma-3-270m,language=sw --save rivers.md
"""


def register(app: typer.Typer) -> None:
    """Add the command to the front door's `app`."""
    app.command("lab", help=_LAB_HELP)(_lab)


def _lab(
    column: Annotated[
        list[str], typer.Option("--column", "-c", metavar="COLUMN", help="What to ask; two to four times.")
    ],
    prompt: Annotated[str | None, typer.Argument(metavar="PROMPT", help="What all columns are asked.")] = None,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="Ask all at the same time; then they slow each other down.")
    ] = False,
    max_tokens: Annotated[int | None, typer.Option(metavar="N", help="Longest answer, in tokens.", min=1)] = None,
    temperature: Annotated[float | None, typer.Option(min=0, max=2, help="0 takes the likeliest token.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same answers.")] = None,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Ask a server that runs already, as `demotic chat --url`, and start none."),
    ] = None,
    api_key: ApiKey = None,
    insecure: Insecure = False,
    adapter_dir: AdapterDir = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the card as FILE, as Markdown and as JSON; not over others."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON, for scripts.")] = False,
) -> None:
    from tui.choosing.sampling import Sampling
    from tui.joining import joined
    from tui.lab.column import Column
    from tui.lab.once import lab_once

    refuse_with_url(adapter_dir, url)
    sampling = Sampling(temperature=temperature, max_tokens=max_tokens, seed=seed)
    columns = [Column.read(text) for text in column]
    join = None if url is None else joined(url, api_key=api_key or "", insecure=insecure)
    raise typer.Exit(
        lab_once(
            *(prompt, columns, sampling, join, adapter_dir),
            order="at_once" if at_once else "in_turn",
            save_as=save,
            as_json=as_json,
        )
    )
