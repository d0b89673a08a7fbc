"""Finds the calls in an answer while its text streams.

A pure state machine over text, as `runtime/chat/reasoning.py` is one. What may be the beginning of a call is held back
until that is certain, and a call is given out when it is whole. All that is no call stays content, as it was written.
White space next to calls belongs to neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runtime.chat.reasoning import Piece
from runtime.chat.tools.call import Tool, ToolCall, new_id
from runtime.chat.tools.dialects.base import Dialect, ReadCall, Unfinished
from runtime.chat.tools.normalise import normalise_call
from runtime.chat.tools.use import ToolUse


def parser_of(use: ToolUse, dialect: Dialect) -> CallParser | None:
    """What finds the calls that a request allows in its answer; None where there may be none."""
    if not use.allowed:
        return None
    return CallParser(dialect, use.allowed, use.max_calls, normalises=use.normalises)


class CallParser:
    """Text in, pieces of content and calls out."""

    def __init__(
        self,
        dialect: Dialect,
        tools: Sequence[Tool],
        max_calls: int,
        make_id: Callable[[], str] = new_id,
        *,
        normalises: bool = False,
    ) -> None:
        """Only calls of `tools` are calls, and no more than `max_calls`; the others stay content.

        `normalises`: the arguments are given out as the tools' schemas ask for them, where they can be read so.
        """
        self._dialect = dialect
        self._starts = sorted(dialect.starts(tools), key=len, reverse=True)
        self._names = {tool.name for tool in tools}
        self._num_left = max_calls
        self._make_id = make_id
        self._schemas = tools if normalises else ()
        self._held = ""
        self._is_section = False
        # White space before the section, and where in it its end may still be.
        self._space, self._from = "", 0
        # Whether anything came before, and whether a call did just now.
        self._is_begun = self._is_after_call = False

    def push(self, text: str) -> list[Piece | ToolCall]:
        """Take the next text; return what is certain now (it may be nothing)."""
        self._held += text
        return self._run(is_final=False)

    def finish(self) -> list[Piece | ToolCall]:
        """Return what was held back. No more text comes after this."""
        return self._run(is_final=True)

    def _run(self, *, is_final: bool) -> list[Piece | ToolCall]:
        out: list[Piece | ToolCall] = []
        while self._held:
            found = self._read_section(is_final) if self._is_section else self._read_content(is_final)
            if found is None:
                break
            out += found
        return out

    def _read_content(self, is_final: bool) -> list[Piece | ToolCall] | None:
        """One move outside a section; None when it needs more text."""
        if self._is_after_call:
            self._held = self._held.lstrip()
            self._is_after_call = not self._held
        start, at = self._find_start()
        if start:
            before, self._held = self._held[:at], self._held[at:]
            said = before.rstrip()
            self._is_section, self._space, self._from = True, before[len(said) :], len(start)
            return self._say(said)
        certain = self._held if is_final else self._held[: len(self._held) - self._overlap()].rstrip()
        if not certain:
            return None
        self._held = self._held[len(certain) :]
        return self._say(certain)

    def _read_section(self, is_final: bool) -> list[Piece | ToolCall] | None:
        """One move within a section; None when it needs more text."""
        end = self._dialect.end
        at = self._held.find(end, self._from) if end else -1
        if at < 0 and not is_final:
            # The end may be there in part.
            self._from = max(self._from, len(self._held) - len(end) + 1)
            return None
        section = self._held if at < 0 else self._held[: at + len(end)]
        try:
            calls = self._parse(section)
        except Unfinished:
            if at >= 0:
                self._from = at + 1
                return []
            calls = []
        self._is_section = False
        if not calls:
            # Its start is text, and what follows is looked at again.
            start = next(start for start in self._starts if section.startswith(start))
            self._held = self._held[len(start) :]
            return self._say(self._space + start)
        self._held = self._held[len(section) :]
        self._num_left -= len(calls)
        self._is_begun = self._is_after_call = True
        made = [ToolCall(self._make_id(), call.name, call.arguments) for call in calls]
        return [normalise_call(call, self._schemas) if self._schemas else call for call in made]

    def _parse(self, section: str) -> list[ReadCall]:
        """The calls of a section; none where it has one that may not be."""
        try:
            calls = self._dialect.parse(section)
        except Unfinished:
            raise
        except ValueError:
            return []
        is_right = len(calls) <= self._num_left and all(call.name in self._names for call in calls)
        return calls if is_right else []

    def _find_start(self) -> tuple[str, int]:
        """The start of the next section, the longest where several match, and where it is; "" where there is none."""
        if not self._may_start:
            return "", -1
        if self._dialect.is_first:
            at = len(self._held) - len(self._held.lstrip())
            return next((start for start in self._starts if self._held.startswith(start, at)), ""), at
        found = [(at, -len(start), start) for start in self._starts if (at := self._held.find(start)) >= 0]
        at, _, start = min(found, default=(-1, 0, ""))
        return start, at

    def _overlap(self) -> int:
        """Length of the longest end of the held text that may be the beginning of a start."""
        if not self._may_start:
            return 0
        if self._dialect.is_first:
            body = self._held.lstrip()
            return len(self._held) if any(start.startswith(body) for start in self._starts) else 0
        longest = max(map(len, self._starts), default=0)
        for size in range(min(len(self._held), longest), 0, -1):
            tail = self._held[-size:]
            if any(start.startswith(tail) for start in self._starts):
                return size
        return 0

    @property
    def _may_start(self) -> bool:
        return self._num_left > 0 and not (self._dialect.is_first and self._is_begun)

    def _say(self, text: str) -> list[Piece | ToolCall]:
        if text:
            self._is_begun = True
        return [Piece("content", text)] if text else []
