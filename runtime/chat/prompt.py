"""From a conversation to the engine's request, and how its answer is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from runtime.chat.answer import AnswerReader
from runtime.chat.reasoning import Piece, ReasoningSplit, marks_of, span_of
from runtime.chat.template import ChatTemplate, Message, Opening
from runtime.chat.tools.constraint import constraint_of
from runtime.chat.tools.dialects.base import Dialect
from runtime.chat.tools.dialects.registry import FALLBACK
from runtime.chat.tools.parser import parser_of
from runtime.chat.tools.use import ToolUse
from runtime.engine.constraints import Constraint, Trigger
from runtime.engine.messages import Generate
from runtime.engine.sampling import SamplingParams
from runtime.language.lock import Lock
from runtime.language.regions import Span

NO_TOOLS = ToolUse()


@dataclass(frozen=True)
class ChatPrompt:
    """A rendered conversation; `stop` ends its answer, and where the model reasons, `marks` enclose its reasoning.

    `tools` are those that the answer may call, in `dialect`.
    """

    text: str
    stop: tuple[str, ...] = ()
    marks: tuple[str, str] | None = None
    tools: ToolUse = NO_TOOLS
    dialect: Dialect = FALLBACK

    @classmethod
    def render(
        cls,
        template: ChatTemplate,
        messages: Sequence[Message],
        variables: Mapping[str, Any] | None = None,
        tools: ToolUse = NO_TOOLS,
        language: str | None = None,
        *,
        opening: Opening = "answer",
    ) -> ChatPrompt:
        """The prompt of `messages`; `language` is the user's, where it is known. Raises as `ChatTemplate.render`."""
        text = template.render(messages, opening=opening, variables=variables, tools=tools.told, language=language)
        stop = template.stop + (template.dialect.stops if tools.allowed else ())
        return cls(text, stop, marks_of(template.source), tools, template.dialect)

    def reader(self) -> AnswerReader:
        """What reads an answer: its reasoning, its content and its calls."""
        split = None if self.marks is None else ReasoningSplit(*self.marks, is_begun=self.is_reasoning)
        return AnswerReader(split, parser_of(self.tools, self.dialect))

    def content_of(self, text: str) -> str:
        """What of a whole answer is its content."""
        reader = self.reader()
        found = [*reader.push(text), *reader.finish()]
        return "".join(piece.text for piece in found if isinstance(piece, Piece) and piece.kind == "content")

    @property
    def exempt(self) -> tuple[Span, ...]:
        """What of an answer is not prose in the user's language: reasoning and calls."""
        reasoning = [] if self.marks is None else [span_of(self.marks, self.text)]
        starts = self.dialect.starts(self.tools.allowed) if self.tools.allowed else ()
        calls = [Span(start, self.dialect.end, is_first=self.dialect.is_first) for start in starts]
        return (*reasoning, *calls)

    @property
    def is_reasoning(self) -> bool:
        """Whether the answer begins within the reasoning."""
        return self.marks is not None and self.text.rstrip().endswith(self.marks[0])

    def to_request(
        self,
        request_id: str,
        sampling: SamplingParams,
        max_tokens: int | None,
        *,
        stop: tuple[str, ...] = (),
        adapter: str | None = None,
        constraint: Constraint | None = None,
        logprobs: int | None = None,
        param: str = "messages",
        lock: Lock | None = None,
        max_characters: int | None = None,
    ) -> Generate:
        """The engine's request for one answer, which calls tools as the request wants, or matches `constraint`.

        Errors call the conversation `param`.

        Raises:
            InvalidRequest: the two cannot be joined, or a tool's schema cannot be enforced.
        """
        if self.tools.allowed:
            constraint = self._after_reasoning(constraint_of(self.tools, self.dialect, constraint))
        return Generate(
            request_id=request_id,
            prompt=self.text,
            sampling=sampling,
            max_tokens=max_tokens,
            stop=stop + self.stop,
            parse_special=True,
            adapter=adapter,
            constraint=constraint,
            logprobs=logprobs,
            param=param,
            lock=lock,
            max_characters=max_characters,
            visible=(*(self.marks or ()), *(self.dialect.marks if self.tools.allowed else ())),
        )

    def _after_reasoning(self, constraint: Constraint) -> Constraint:
        """`constraint`, which is that of calls, for what comes after the reasoning."""
        if self.marks is None:
            return constraint
        if constraint.trigger is not None:
            trigger = replace(constraint.trigger, skip=self.marks, is_skipping=self.is_reasoning)
        elif self.is_reasoning:
            trigger = Trigger((self.marks[1],), is_after=True)
        else:
            return constraint
        return replace(constraint, trigger=trigger)
