"""Messages that are remembered as they stood on the screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textual.widget import Widget

from runtime.chat.tools.loop import CallAsked, CallEnded
from tui.history.records import Entry
from tui.widgets.answer import Answer
from tui.widgets.card import CallCard
from tui.widgets.message import Fault, Notice, Place, Reasoning, Said
from tui.widgets.turn import Turn
from tui.words import _


def widgets_of(entries: Sequence[Entry]) -> Iterator[Widget]:
    """What shows these messages of a branch, in their order."""
    results = {entry.call_id: entry for entry in entries if entry.role == "tool"}
    for entry in entries:
        match entry.role:
            case "user":
                yield from _turn(Said(entry.text), entry)
            case "assistant":
                if entry.reasoning:
                    yield Reasoning(entry.reasoning)
                if entry.text:
                    yield from _turn(Answer(entry.text), entry)
                yield from (_card(asked, results.get(asked.call.id)) for asked in map(CallAsked, entry.calls))
                yield from _ending(entry)
            case _:
                pass  # a result is shown with its call, and what the model is told before all else is not


def _turn(turn: Turn, entry: Entry) -> Iterator[Widget]:
    turn.entry = entry
    yield turn
    if len(entry.siblings) > 1:
        yield Place(*entry.position)


def _card(asked: CallAsked, result: Entry | None) -> CallCard:
    card = CallCard(asked.call)
    match result:
        case Entry(state="complete", text=text):
            card.end(CallEnded(asked, "answered", text, result.seconds or 0.0))
        case Entry(state="denied"):
            card.end(CallEnded(asked, "denied"))
        case Entry(state="failed", text=text):
            card.end(CallEnded(asked, "failed", text, result.seconds or 0.0))
        case _:
            card.stop()
    return card


def _ending(entry: Entry) -> Iterator[Widget]:
    match entry.state:
        case "failed" if entry.fault:
            yield Fault(entry.fault)
        case "interrupted":
            yield Notice(_("The answer was interrupted. /continue goes on with it, and /again begins it anew."))
        case _:
            pass
