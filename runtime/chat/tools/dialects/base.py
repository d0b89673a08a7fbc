"""What a dialect is: how a family of models is told of tools, and how it writes that it wants one run.

An answer is text with sections of calls in it. A section goes from one of the dialect's `starts` to its `end`, or to
the end of the answer.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, NamedTuple, Protocol

from runtime.chat.template import Message
from runtime.chat.tools.call import Tool, ToolCall
from runtime.chat.tools.dialects.telling import EXAMPLE, told
from runtime.chat.tools.prompts import ENGLISH, prompts_for


class ReadCall(NamedTuple):
    """A call as a model wrote it: the tool's name, and the arguments as JSON text, an object."""

    name: str
    arguments: str


class Unfinished(ValueError):
    """The text is no section yet, but may become one: what looks like its end stands within a string."""


class Dialect(Protocol):
    """One way to write calls.

    `end` is empty where a section goes to the end of the answer. `is_first`: a section is one only at the beginning of
    an answer. `marks` are texts that a vocabulary may have as control tokens; grammars call them `mark_0`, `mark_1`,
    ... `between`: several calls at a time are several sections, with this text between them; None where they are parts
    of one. `stops` end the answer. `blocks` are what people call the blocks of a call and of its result.
    """

    name: ClassVar[str]
    end: ClassVar[str] = ""
    is_first: ClassVar[bool] = False
    marks: ClassVar[tuple[str, ...]] = ()
    between: ClassVar[str | None] = None
    stops: ClassVar[tuple[str, ...]] = ()
    blocks: ClassVar[tuple[str, str]] = ("<tool_call>", "<tool_response>")

    @abstractmethod
    def starts(self, tools: Sequence[Tool]) -> tuple[str, ...]:
        """The texts that a section may begin with."""

    @abstractmethod
    def parse(self, section: str) -> list[ReadCall]:
        """The calls of a section, which has its start and end; only at the end of an answer may the end be missing.

        Raises:
            Unfinished: more text may make it a section.
            ValueError: it is none.
        """

    @abstractmethod
    def grammar(self, tools: Sequence[Tool], max_calls: int) -> str:
        """Rules in Lark. `section` is a section that calls one of `tools`, or, where calls are parts, `max_calls`.

        The rule `gap` is there to use where models differ in white space; it is a line break.

        Raises:
            InvalidRequest: a tool's schema asks for what cannot be enforced in this dialect.
        """

    @abstractmethod
    def write(self, calls: Sequence[ToolCall]) -> str:
        """Calls as the model writes them."""

    def words(self, tools: Sequence[Tool]) -> str | None:  # noqa: ARG002
        """What the model was trained to be told of its tools, in English; None where that is not known."""
        return None

    def describe(self, tools: Sequence[Tool], language: str | None) -> str:
        """What a model is told of its tools where its template does not; `language` is the user's."""
        return self._own_words(tools, language) or told(tools, self.write([EXAMPLE]), self.blocks, language)

    def introduce(self, messages: Sequence[Message]) -> list[Message]:
        """The conversation with what the model must be told beside the tools that its template tells of."""
        return list(messages)

    def request_heading(self, tools: Sequence[Tool], language: str | None) -> str:
        """What parts the user's words from what the model is told, for templates that have both in one turn."""
        return "" if self._own_words(tools, language) else f"## {prompts_for(language).request_heading}\n"

    def _own_words(self, tools: Sequence[Tool], language: str | None) -> str | None:
        return self.words(tools) if language in {None, ENGLISH} else None

    def answer(self, result: Message) -> str:
        """A tool's result, within the user's turn."""
        return f"<tool_response>\n{result.content}\n</tool_response>"

    def id_of(self, call_id: str) -> str:
        """A call's id in the form that the model's template takes."""
        return call_id

    def render(self, messages: Sequence[Message], tools: Sequence[Tool], language: str | None = None) -> list[Message]:
        """The conversation in plain turns, for a template that knows nothing of tools."""
        turns = self.plain(messages)
        if not tools:
            return turns
        told = self.describe(tools, language)
        if turns and turns[0].role == "system":
            return [replace(turns[0], content=f"{turns[0].content}\n\n{told}"), *turns[1:]]
        assistant = "" if self._own_words(tools, language) else f"{prompts_for(language).assistant}\n\n"
        return [Message("system", f"{assistant}{told}"), *turns]

    def plain(self, messages: Sequence[Message]) -> list[Message]:
        """The turns without calls and results: these are text of the assistant and of the user."""
        turns: list[Message] = []
        is_result = False
        for message in messages:
            match message.role:
                case "assistant":
                    said = [message.content, self.write(message.tool_calls)]
                    turn = Message("assistant", "\n".join(text for text in said if text))
                case "tool":
                    turn = Message("user", self.answer(message))
                case _:
                    turn = message
            # Results and what the user says after them are one turn: many templates want the roles to alternate.
            if is_result and turn.role == "user":
                turns[-1] = Message("user", f"{turns[-1].content}\n{turn.content}")
            else:
                turns.append(turn)
            is_result = turn.role == "user" and (is_result or message.role == "tool")
        return turns
