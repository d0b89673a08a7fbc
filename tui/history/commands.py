"""`demotic history ...`: results on standard output, all else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from runtime.chat.tools.showing import printable
from runtime.errors import HistoryUnusable, InvalidRequest
from runtime.models.files import write_atomically
from tui.history import conversations, tree
from tui.history.export import FORMATS, Format, export, to_document, to_summary
from tui.history.markdown import iso_time, to_markdown
from tui.history.openai_import import import_openai
from tui.history.opening import open_history
from tui.history.records import Conversation
from tui.history.search import Hit, search


def list_conversations(*, is_deleted: bool, as_json: bool) -> None:
    """Show what is remembered, or what can be brought back."""
    with open_history() as store:
        found = conversations.listed(store, is_deleted=is_deleted)
    if as_json:
        _print_json({"conversations": [to_summary(each) for each in found]})
    elif found:
        _print_table(("id", "", "title", "messages", "last", "model"), map(_row, found))
    else:
        _tell("Nothing is deleted." if is_deleted else "Nothing is remembered yet.")


def show(number: int, *, as_json: bool) -> None:
    """Show a conversation: what is on the chat's screen, or as JSON all of it."""
    with open_history() as store:
        conversation = conversations.get(store, number)
        current = tree.branch(store, number)
        every = tree.every(store, number) if as_json else []
    if as_json:
        _print_json(to_document(conversation, every, current))
        return
    text = to_markdown(conversation, current)
    if sys.stdout.isatty():
        # A model or a stranger may have written it, and a terminal obeys.
        text = "\n".join(printable(line.expandtabs(4), None) for line in text.split("\n"))
    sys.stdout.write(text)


def export_conversations(numbers: Sequence[int], output: Path | None, form: str | None) -> None:
    """Write conversations, by default all, to a file or to standard output."""
    chosen = _format(output, form)
    with open_history() as store:
        text = export(store, numbers or [each.id for each in conversations.listed(store)], chosen)
    if output is None:
        sys.stdout.write(text)
        return
    try:
        write_atomically(output, text)
    except OSError as fault:
        raise HistoryUnusable(f"{output} cannot be written: {fault.strerror or fault}.") from fault
    _tell(f"Written to {output}.")


def import_file(path: Path, *, as_json: bool) -> None:
    """Import the conversations of a file."""
    with open_history() as store:
        imported = import_openai(store, path)
    if as_json:
        _print_json(asdict(imported))
        return
    for sentence in imported.refused:
        _tell(f"Not imported, {printable(sentence)}")
    known = f"; {imported.num_known} were there already" if imported.num_known else ""
    _say(f"Imported {len(imported.conversations)} conversations with {imported.num_messages} messages{known}.")


def find(query: str, *, limit: int, as_json: bool) -> None:
    """Show where all words of a text stand."""
    with open_history() as store:
        hits = search(store, query, limit=limit)
    if as_json:
        _print_json({"hits": [asdict(hit) | {"created": iso_time(hit.created)} for hit in hits]})
        return
    for hit in hits:
        _console().print(_hit_line(hit), soft_wrap=True)
    if not hits:
        _tell("Nothing was found.")


def delete(numbers: Sequence[int], *, as_json: bool) -> None:
    """Put conversations away."""
    with open_history() as store:
        for number in numbers:
            conversations.get(store, number)
        for number in numbers:
            conversations.delete(store, number)
        days = store.config.keep_deleted_days
    if as_json:
        _print_json({"deleted": list(numbers), "kept_days": days})
        return
    listed = " ".join(map(str, numbers))
    _say(f"Deleted. For {days:g} days `demotic history restore {listed}` brings back what was.")


def restore(numbers: Sequence[int], *, as_json: bool) -> None:
    """Bring deleted conversations back."""
    with open_history() as store:
        for number in numbers:
            conversations.get(store, number)
        for number in numbers:
            conversations.restore(store, number)
    if as_json:
        _print_json({"restored": list(numbers)})
        return
    _say(f"Restored {' '.join(map(str, numbers))}.")


def _format(output: Path | None, form: str | None) -> Format:
    """What is asked for, or what the name of the file says, or Markdown."""
    named = form or (output.suffix.removeprefix(".").lower() if output is not None else "md")
    for known in FORMATS:
        if named == known:
            return known
    raise InvalidRequest(f"There is no format '{named}'.", remedy=f"Add --format {' or --format '.join(FORMATS)}.")


def _row(conversation: Conversation) -> tuple[str, ...]:
    return (
        str(conversation.id),
        "*" if conversation.is_pinned else "",
        printable(conversation.title or "(not sent yet)"),
        str(conversation.num_messages),
        iso_time(conversation.updated)[:10],
        printable(conversation.model),
    )


def _hit_line(hit: Hit) -> Text:
    where = f"{hit.conversation} {printable(hit.title)}" + (f" · {hit.role}" if hit.role is not None else "")
    # As long as before, character for character: the marks are places in it.
    snippet = Text("".join(map(printable, hit.snippet)))
    for start, end in hit.marks:
        snippet.stylize("bold", start, end)
    return Text.assemble((where, "cyan"), "\n  ", snippet)


def _print_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False)
    for head in heads:
        table.add_column(head, justify="right" if head in {"id", "messages"} else "left", overflow="ellipsis")
    for row in rows:
        table.add_row(*map(Text, row))
    _console().print(table)


def _console() -> Console:
    return Console(highlight=False)


def _print_json(value: object) -> None:
    _say(json.dumps(value, ensure_ascii=False, indent=2))


def _say(line: str) -> None:
    print(line)  # noqa: T201


def _tell(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201
