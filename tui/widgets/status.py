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
from tui.laid import ISOLATE, Laid
from tui.seen import Seen
from tui.shapes import Model
from tui.words import _, mark

State = Literal["loading", "ready", "answering", "asking", "failed"]

_WORDS: dict[State, str] = {
    "loading": mark("loading …"),
    "ready": mark("ready"),
    "answering": mark("answering … (Esc stops)"),
    "asking": mark("may the tool run? (Esc stops)"),
    "failed": mark("not started"),
}
_MODEL, _ADAPTER, _DEVICE, _STATE, _FIGURES, _CONTEXT, _LANGUAGE = range(7)
# What gives way first. The state stays, and the model's name is cut at last.
_STEPS = (_FIGURES, _FIGURES, _CONTEXT, _DEVICE, _FIGURES, _LANGUAGE, _CONTEXT, _ADAPTER, _FIGURES, _CONTEXT)
_BAR_CELLS = 6
_PARTS = re.compile(r"(?:(?! · ).)+")


class StatusLine(Laid):
    """Shows the conversation's state, which is bound to it, and what is `seen` of the model.

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
        self._ended = []
        self.seen = self.seen.after((), None)

    def on_resize(self, _event: events.Resize) -> None:
        """Show as much as there is room for."""
        self.show_words()

    def show_words(self) -> None:
        """Show it all anew, in the language that is used."""
        parts: list[Sequence[str]] = [
            [self.model_name or _("default model")],
            [self.adapter, ""],
            [self.seen.device, ""],
            [self._word()],
            [*(self.forms if self.figures in self.forms else (self.figures,)), ""],
            self._fill_forms(),
            [self._languages(), ""],
        ]
        # One that has fewer forms is gone sooner.
        steps = [step for step in _STEPS if len(parts[step]) > 1]
        line = Content(fitted(parts, steps, self.content_size.width or 1000))
        # Each is in order by itself: a number does not go with the right-to-left word before it.
        self.update(
            line.add_spans([Span(found.start(), found.end(), ISOLATE) for found in _PARTS.finditer(line.plain)])
        )

    def _word(self) -> str:
        word = _(_WORDS[self.state])
        if self.state != "loading" or not self.share:
            return word
        return f"{word} {bar(self.share, _BAR_CELLS)} {self.share:.0%}"

    def _fill_forms(self) -> list[str]:
        share = self.seen.share_used
        if share is None:
            return [""]
        short = f"{bar(share, _BAR_CELLS)} {share:.0%}"
        pages = self.seen.pages
        if pages is None:
            return [short, f"{share:.0%}", ""]
        used, whole = pages
        told = _("{used:.1f}/{whole:.1f} pages").format(used=used, whole=whole)
        return [f"{short} {told}", short, f"{share:.0%}", ""]

    def _languages(self) -> str:
        found = self.seen.language
        if not self.locked_to:
            return found
        if found in {"", self.locked_to}:
            return _("{language} (locked)").format(language=self.locked_to)
        return f"{found} → " + _("{language} (locked)").format(language=self.locked_to)
