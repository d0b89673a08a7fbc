"""A call of a tool as a card in the conversation: what is called with what, whether it may run, what came of it."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, ClassVar, Literal

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content, Span
from textual.message import Message

from runtime.chat.tools.approval import Verdict
from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.loop import CallEnded
from runtime.chat.tools.showing import described_change, printable
from runtime.text.stream import shortened
from tui.keymap import action_of
from tui.keynames import all_keys, with_keys
from tui.laid import ISOLATE, Laid
from tui.words import _, mark

CardState = Literal["asking", "running", "answered", "failed", "denied", "stopped"]

_WORDS: dict[CardState, str] = {
    "asking": mark("may it run?"),
    "running": mark("running …"),
    "answered": mark("answered"),
    "failed": mark("failed"),
    "denied": mark("denied"),
    "stopped": mark("stopped"),
}
# What is shown of a text while the card is folded. A question shows more: it is about the arguments.
_FOLDED_LINES, _FOLDED_CHARS = 4, 400
_ASKED_LINES, _ASKED_CHARS = 30, 3000
# Beyond this a value has lines of its own.
_VALUE_CHARS = 60
# A name, and the strings of JSON.
_PARTS = re.compile(r'^\s*[^"\[{:]+(?=:)|"(?:[^"\\]|\\.)*"')


class CallCard(Laid):
    """One call. Its keys work while it has the focus: those of the question while it asks, and the fold.

    The digits are for keyboards without Latin letters. All else that is typed is told as `Typed`.
    """

    FOCUS_ON_CLICK = False  # what is typed next belongs to the prompt
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o,1", "decide('once')", mark("Once"), id="once", tooltip=mark("let the tool run this once")),
        Binding("a,2", "decide('always')", mark("Always"), id="always", tooltip=mark("let the tool run always")),
        Binding("d,3", "decide('deny')", mark("Deny"), id="deny", tooltip=mark("do not let the tool run")),
        Binding("enter,space", "toggle_fold", mark("Fold"), id="fold", tooltip=mark("show all of the card, or less")),
    ]

    class Typed(Message):
        """Somebody typed what is not for the card."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, call: ToolCall) -> None:
        super().__init__(markup=False)
        self.state: CardState = "running"
        self._call = call
        self._arguments = _argument_lines(json.loads(call.arguments))
        self._changes = [described_change(change) for change in call.changes]
        self._is_read_only = False
        self._is_folded = True
        self._result = ""
        self._seconds = 0.0
        self._verdict: asyncio.Future[Verdict] | None = None

    def on_mount(self) -> None:
        """Show the call."""
        self.show_words()

    def on_key(self, event: events.Key) -> None:
        """Pass on what is typed and is none of the card's keys, so that no letter in the middle of a word decides."""
        match action_of(self, event.key):
            case "once" | "always" | "deny":
                is_own = bool(self.check_action("decide", ()))
            case "fold":
                is_own = bool(self.check_action("toggle_fold", ()))
            case _:
                is_own = False
        if event.character is not None and event.is_printable and not is_own:
            event.stop()
            self.post_message(self.Typed(event.character))

    def watch_has_focus(self, has_focus: bool) -> None:
        """Show which keys work now."""
        super().watch_has_focus(has_focus)
        self.show_words()

    async def ask(self, *, is_read_only: bool) -> Verdict:
        """Ask whether the call may run, and wait for the word of the person."""
        self._is_read_only = is_read_only
        self._verdict = asyncio.get_running_loop().create_future()
        self._become("asking")
        verdict = await self._verdict
        self._become("denied" if verdict == "deny" else "running")
        return verdict

    def end(self, ended: CallEnded) -> None:
        """Show what became of the call."""
        self._result, self._seconds = ended.text, ended.seconds
        self._become(ended.outcome)

    def stop(self) -> None:
        """Show that it was given up, where it had not ended."""
        if self.state in {"asking", "running"}:
            self._become("stopped")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002  # Textual's own signature
        """Whether a key means something now."""
        if action == "decide":
            return self.state == "asking"
        return self._is_long if action == "toggle_fold" else True

    def action_decide(self, verdict: Verdict) -> None:
        """Take the person's word."""
        if self._verdict is not None and not self._verdict.done():
            self._verdict.set_result(verdict)

    def action_toggle_fold(self) -> None:
        """Show the whole, or its beginning."""
        self._is_folded = not self._is_folded
        self.show_words()

    def _become(self, state: CardState) -> None:
        self.remove_class(self.state)
        self.state = state
        self.add_class(state)
        if self.is_attached:
            self.refresh_bindings()
        self.show_words()

    @property
    def _is_long(self) -> bool:
        return any(_folded(text, *self._room(text)) != text for text in (self._arguments, self._result))

    def _room(self, text: str) -> tuple[int, int]:
        """How many lines and characters of a text are shown while the card is folded."""
        is_asked = self.state == "asking" and text == self._arguments
        return (_ASKED_LINES, _ASKED_CHARS) if is_asked else (_FOLDED_LINES, _FOLDED_CHARS)

    def show_words(self) -> None:
        """Show it all anew, in the language that is used."""
        state = _(_WORDS[self.state])
        if self.state in {"answered", "failed"}:
            state = _("{state} after {seconds:.2f} s").format(state=state, seconds=self._seconds)
        lines = [Content.assemble((printable(self._call.name), "bold"), f" · {state}")]
        lines += [_apart(line) for line in self._text(self._arguments)]
        lines += [Content("  " + _("normalised {change}").format(change=change)) for change in self._changes]
        lines += self._text(self._result, "→ ")
        if self._is_long:
            words = _("the whole") if self._is_folded else _("less")
            before = "" if self.has_focus else _("Tab") + ", "
            lines.append(_link("toggle_fold", with_keys(f"{before}{{fold}}: {words}")))
        if self.state == "asking":
            lines.append(self._question())
        self.can_focus = self._is_long or self.state == "asking"
        self.update(Content("\n").join(lines))

    def _text(self, text: str, mark: str = "") -> list[Content]:
        shown = _folded(text, *self._room(text)) if self._is_folded else text
        return [Content(f"  {mark if not at else ' ' * len(mark)}{line}") for at, line in enumerate(_lines(shown))]

    def _question(self) -> Content:
        keys = [
            _link("decide('once')", all_keys("once") + " " + _("once")),
            _link("decide('always')", all_keys("always") + " " + _("always for this tool")),
            _link("decide('deny')", all_keys("deny") + " " + _("deny")),
        ]
        note = _("It says that it only reads.") + "\n" if self._is_read_only else ""
        return Content.assemble(note, "" if self.has_focus else _("Tab, then:") + " ", Content(" · ").join(keys))


def _apart(line: Content) -> Content:
    """A line of arguments whose name and strings are each in order by themselves: none may change places."""
    return line.add_spans([Span(found.start(), found.end(), ISOLATE) for found in _PARTS.finditer(line.plain)])


def _link(action: str, text: str) -> Content:
    """Words that do something when they are clicked."""
    return Content.from_markup(f"[@click={action}]$text[/]", text=text)


def _argument_lines(arguments: dict[str, Any]) -> str:
    """Arguments as people read them, in every script: a line each, longer ones over several lines."""
    return "\n".join(f"{printable(name)}: {_value(value)}" for name, value in arguments.items())


def _value(value: Any) -> str:
    if isinstance(value, str) and "\n" in value:
        return "\n" + "\n".join(f"  {line}" for line in value.split("\n"))
    line = json.dumps(value, ensure_ascii=False)
    if len(line) <= _VALUE_CHARS or isinstance(value, str):
        return line
    return json.dumps(value, ensure_ascii=False, indent=2)


def _lines(text: str) -> list[str]:
    """The lines of a stranger's text as they may go to a terminal."""
    return [printable(line, None) for line in text.expandtabs(4).split("\n")] if text else []


def _folded(text: str, most_lines: int, most_chars: int) -> str:
    """The text or, where it is too long, its beginning and how much is left out."""
    beginning = "\n".join(text.split("\n")[:most_lines])
    return shortened(text, min(len(beginning), most_chars))
