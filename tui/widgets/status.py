"""The status line: which model on what, what it does, how fast it was, how full its context is, in which language."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from textual import events
from textual.content import Content, Span
from textual.reactive import reactive

from tui.events import AnswerFinished, figure_forms
from tui.fitting import bar, fitted
from tui.keynames import with_keys
from tui.laid import ISOLATE, Laid
from tui.seen import Seen
from tui.shapes import Model
from tui.words import _, mark

State = Literal["loading", "ready", "answering", "asking", "failed"]

_WORDS: dict[State, str] = {
    "loading": mark("loading …"),
    "ready": mark("ready"),
    "answering": mark("answering … ({stop} stops)"),
    "asking": mark("may the tool run? ({stop} stops)"),
    "failed": mark("not started"),
}
# Where there is less room; the keys stand below.
_SHORT_WORDS: dict[State, str] = {"answering": mark("answering …"), "asking": mark("asking …")}
_MODEL, _ADAPTER, _DEVICE, _STATE, _FIGURES, _CONTEXT, _LANGUAGE = range(7)
# In one row, what is told in less words there, so that all has room.
_ONE_ROW_STEPS = (_FIGURES,)
# In two: who answers and how, and what it took. What gives way first stands first; the model's name is cut at last.
_ROWS = ((_MODEL, _ADAPTER, _DEVICE, _STATE, _LANGUAGE), (_FIGURES, _CONTEXT))
_STEPS = (
    (_STATE, _DEVICE, _LANGUAGE, _ADAPTER),
    (_FIGURES, _CONTEXT, _CONTEXT, _CONTEXT, _FIGURES, _FIGURES, _FIGURES, _CONTEXT),
)
_BAR_CELLS, _SHORT_BAR_CELLS = 6, 4
_PARTS = re.compile(r"(?:(?! · ).)+")


class StatusLine(Laid):
    """Shows the conversation's state, which is bound to it, and what is `seen` of the model: in one row or, where that
    is too short for it, in two.

    `figures` are those of the last answer, and `forms` the same from the longest to the shortest one. `share` is how
    much of the model is loaded, from 0 to 1.
    """

    model_name = reactive("")
    adapter = reactive("")
    locked_to = reactive("")
    state: reactive[State] = reactive[State]("loading")
    figures = reactive("")
    forms: reactive[tuple[str, ...]] = reactive[tuple[str, ...]](())
    seen: reactive[Seen] = reactive(Seen())
    share = reactive(0.0)

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._ended: list[AnswerFinished] = []
        self._has_two_rows = False
        self._width = 0

    def on_mount(self) -> None:
        """Show every change."""
        for name in ("model_name", "adapter", "locked_to", "state", "figures", "forms", "seen", "share"):
            self.watch(self, name, self.show_words, init=False)
        self.show_words()

    def know(self, model: Model | None) -> None:
        """Show what an endpoint tells of the model."""
        self.seen = Seen.of(model)

    def note(self, turns: Sequence[AnswerFinished], num_calls: int, said_language: str | None) -> None:
        """Show what the last answer took, and what it leaves of the context."""
        self.forms = figure_forms(turns, num_calls)
        self._ended += turns
        self.seen = self.seen.after(self._ended, said_language)

    def forget(self) -> None:
        """There is another conversation."""
        self._ended, self._has_two_rows = [], False
        self.seen = self.seen.after((), None)

    def on_resize(self, event: events.Resize) -> None:
        """Show as much as there is room for."""
        if event.size.width != self._width:
            self._width, self._has_two_rows = event.size.width, False
            self.show_words()

    def show_words(self) -> None:
        """Show it all anew, in the language that is used."""
        parts: list[Sequence[str]] = [
            [self.model_name or _("default model")],
            [self.adapter, ""],
            [self.seen.device, ""],
            self._words(),
            [*(self.forms if self.figures in self.forms else (self.figures,)), ""],
            self._fill_forms(),
            [self._languages(), ""],
        ]
        line = Content("\n".join(self._rows(parts, self.content_size.width or 1000)))
        # Each is in order by itself: a number does not go with the right-to-left word before it.
        self.update(
            line.add_spans([Span(found.start(), found.end(), ISOLATE) for found in _PARTS.finditer(line.plain)])
        )

    def _rows(self, parts: Sequence[Sequence[str]], width: int) -> list[str]:
        """One row where all has room in it, and none of two was needed before: it would hop after each answer."""
        whole = fitted(parts, _ONE_ROW_STEPS, width)
        is_cut = any(part[0] not in whole for at, part in enumerate(parts) if at != _FIGURES)
        self._has_two_rows = self._has_two_rows or is_cut
        if not self._has_two_rows:
            return [whole]
        rows = []
        for row, steps in zip(_ROWS, _STEPS, strict=True):
            # One that has fewer forms is gone sooner.
            places = [row.index(step) for step in steps if len(parts[step]) > 1]
            rows.append(fitted([parts[at] for at in row], places, width))
        return rows

    def _words(self) -> list[str]:
        word = with_keys(_(_WORDS[self.state]))
        if self.state == "loading" and self.share:
            word = f"{word} {bar(self.share, _BAR_CELLS)} {self.share:.0%}"
        short = _SHORT_WORDS.get(self.state)
        return [word] if short is None else [word, _(short)]

    def _fill_forms(self) -> list[str]:
        share = self.seen.share_used
        if share is None:
            return [""]
        percent = f"{share:.0%}"
        long, short = (f"{bar(share, num_cells)} {percent}" for num_cells in (_BAR_CELLS, _SHORT_BAR_CELLS))
        pages = self.seen.pages
        if pages is None:
            return [long, short, percent, ""]
        used, whole = pages
        told = _("{used:.1f}/{whole:.1f} pages").format(used=used, whole=whole)
        return [f"{long} {told}", f"{short} {told}", short, percent, ""]

    def _languages(self) -> str:
        found = self.seen.language
        if not self.locked_to:
            return found
        if found in {"", self.locked_to}:
            return _("{language} (locked)").format(language=self.locked_to)
        return f"{found} → " + _("{language} (locked)").format(language=self.locked_to)
