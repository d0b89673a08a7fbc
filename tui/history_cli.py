"""The commands of what the chat remembers: history list, show, search, export, import, delete, restore.

Only signatures and help texts live here, as in `tui/cli.py`; the bodies are in `tui/history/commands.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for scripts.")]
Number = Annotated[int, typer.Argument(metavar="ID", help="The conversation's number, as `list` shows it.")]
Numbers = Annotated[list[int], typer.Argument(metavar="ID...", help="Numbers of conversations, as `list` shows them.")]

_HISTORY_HELP = """What the chat remembers: list, search, export and import conversations."""


def register(app: typer.Typer) -> None:
    """Add the group of commands to the front door's `app`."""
    history = typer.Typer(help=_HISTORY_HELP, no_args_is_help=True)
    history.command("list", help=_LIST_HELP)(_list)
    history.command("show", help=_SHOW_HELP)(_show)
    history.command("search", help=_SEARCH_HELP)(_search)
    history.command("export", help=_EXPORT_HELP)(_export)
    history.command("import", help=_IMPORT_HELP)(_import)
    history.command("delete", help=_DELETE_HELP)(_delete)
    history.command("restore", help=_RESTORE_HELP)(_restore)
    app.add_typer(history, name="history")


_LIST_HELP = """List conversations: pinned ones first, then the latest.

Examples:

  demotic history list

  demotic history list --deleted --json
"""


def _list(
    deleted: Annotated[bool, typer.Option("--deleted", help="Those that were deleted and can be restored.")] = False,
    as_json: Json = False,
) -> None:
    from tui.history.commands import list_conversations

    list_conversations(is_deleted=deleted, as_json=as_json)


_SHOW_HELP = """Show a conversation as Markdown, as it was last on the screen.

Examples:

  demotic history show 7

  demotic history show 7 --json
"""


def _show(number: Number, as_json: Json = False) -> None:
    from tui.history.commands import show

    show(number, as_json=as_json)


_SEARCH_HELP = """Find messages and titles that have all words of TEXT, in any script.

Case, width and accents make no difference, and parts of words are found. There are no operators.

Examples:

  demotic history search "прозорец"

  demotic history search 你好 --limit 5 --json
"""


def _search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to look for.")],
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most hits, the latest first.")] = 50,
    as_json: Json = False,
) -> None:
    from tui.history.commands import find

    find(text, limit=limit, as_json=as_json)


_EXPORT_HELP = """Write conversations as Markdown or JSON; without an ID all of them.

Markdown has what was last on the screen, JSON all branches.

Examples:

  demotic history export 7 -o windows.md

  demotic history export -o all.json

  demotic history export 7 9 --format json
"""


def _export(
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="ID...", help="Numbers of conversations, as `list` shows them.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to; without it, standard output."),
    ] = None,
    form: Annotated[
        Literal["md", "json"] | None,
        typer.Option("--format", help="Without it, what the file's name ends with, or else md."),
    ] = None,
) -> None:
    from tui.history.commands import export_conversations

    export_conversations(numbers or (), output, form)


_IMPORT_HELP = """Import the conversations of ChatGPT's data export: its zip file, or the conversations.json in it.

What was imported before is left as it is.

Examples:

  demotic history import ./export.zip

  demotic history import ./conversations.json --json
"""


def _import(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The export.")],
    as_json: Json = False,
) -> None:
    from tui.history.commands import import_file

    import_file(path, as_json=as_json)


_DELETE_HELP = """Delete conversations; `restore` brings them back for some time.

Examples:

  demotic history delete 7

  demotic history delete 7 9 --json
"""


def _delete(numbers: Numbers, as_json: Json = False) -> None:
    from tui.history.commands import delete

    delete(numbers, as_json=as_json)


_RESTORE_HELP = """Bring deleted conversations back.

Examples:

  demotic history restore 7

  demotic history restore 7 9 --json
"""


def _restore(numbers: Numbers, as_json: Json = False) -> None:
    from tui.history.commands import restore

    restore(numbers, as_json=as_json)
