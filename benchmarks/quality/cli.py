"""The commands that measure quality: eval and what is below it.

Only their signatures, help texts and defaults live here, so that `demotic --help` imports nothing heavy.
"""

from __future__ import annotations

import typer

from benchmarks.group import ModelsOrCommand


def register(app: typer.Typer) -> typer.Typer:
    """Add the group to the front door's `app`; it is returned, for commands of other modules."""
    group = typer.Typer(cls=ModelsOrCommand, no_args_is_help=True, subcommand_metavar="| COMMAND ...", help=_HELP)
    app.add_typer(group, name="eval")
    return group


_HELP = """Measure how good models are, language by language."""
