"""The keys of the lab. They stand apart from its screen, which is only loaded when somebody opens it."""

from __future__ import annotations

from textual.binding import Binding

from tui.words import mark


def _key(keys: str, action: str, name: str, *, shown: str = "", help: str = "") -> Binding:  # noqa: A002  # what it is
    return Binding(keys, action, shown, show=bool(shown), priority=True, id=f"lab-{name}", tooltip=help or shown)


LAB_KEYS = (
    _key("escape", "stop", "stop", shown=mark("Stop"), help=mark("stop the column's answer, then all; leave the lab")),
    _key("f3", "command('model')", "model", shown=mark("Model"), help=mark("choose the column's model")),
    _key("f4", "command('language')", "language", shown=mark("Answer in"), help=mark("ask for answers in a language")),
    _key("f5", "command('lock')", "lock", shown=mark("Lock"), help=mark("keep its answer in the script of a language")),
    _key("f6", "command('adapter')", "adapter", help=mark("choose an adapter of its model")),
    _key("f7", "command('sampling')", "sampling", help=mark("set temperature and the like, for all columns")),
    _key("f8", "command('order')", "order", help=mark("ask one after the other, or all at once")),
    _key("f9", "command('save')", "save", help=mark("write prompt, answers and figures as a card")),
    _key("alt+left", "select(-1)", "back", help=mark("to the column before")),
    _key("alt+right", "select(1)", "on", help=mark("to the column after")),
    _key("ctrl+t", "command('add')", "add", help=mark("add a column like the selected one")),
    _key("ctrl+r", "command('remove')", "remove", help=mark("take the selected column away")),
    _key("pageup", "scroll(-1)", "up", help=mark("one page up")),
    _key("pagedown", "scroll(1)", "down", help=mark("one page down")),
)
