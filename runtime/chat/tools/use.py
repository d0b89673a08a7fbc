"""What a request says of tools, and what follows from it: which calls an answer may have, and must."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from runtime.chat.tools.call import Tool
from runtime.chat.tools.dialects.base import Dialect
from runtime.chat.tools.dialects.writing import json_rule, literal, to_json
from runtime.chat.tools.parser import CallParser
from runtime.config import ToolLimits
from runtime.engine.constraints import Constraint, Trigger
from runtime.errors import InvalidRequest

_LIMITS = ToolLimits()
Choice = Literal["auto", "none", "required"]
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
# White space at the places where models differ: they choose where they are free, and need not where they are not.
_FREE_GAP, _FORCED_GAP = r"gap: /[ \n]{0,2}/", r'gap: "\n"'


@dataclass(frozen=True)
class ToolUse:
    """The tools of a request. `choice` says whether the model may call one or must, and `named` which one.

    `among` are the names of those that it may call, where these are not all. `normalises`: their arguments are given
    out as the tools ask for them, where a model wrote them as people do.
    """

    tools: tuple[Tool, ...] = ()
    choice: Choice = "auto"
    named: str | None = None
    among: tuple[str, ...] | None = None
    is_parallel: bool = True
    normalises: bool = True

    @classmethod
    def checked(
        cls,
        tools: tuple[Tool, ...],
        choice: Choice,
        *,
        named: str | None = None,
        among: tuple[str, ...] | None = None,
        is_parallel: bool = True,
    ) -> ToolUse:
        """The tools of a request that can be honoured.

        Raises:
            InvalidRequest: too many or too large tools, a name that is none or is there twice, or a choice of none of
                them.
        """
        use = cls(tools, choice, named, among, is_parallel)
        use._check()
        return use

    def normalising(self, wanted: bool | None) -> ToolUse:
        """The same, with the arguments of calls normalised unless that is not wanted."""
        return replace(self, normalises=wanted is not False)

    def _check(self) -> None:
        if len(self.tools) > _LIMITS.max_tools:
            raise _refusal(f"There are {len(self.tools)} tools, and at most {_LIMITS.max_tools} are taken.")
        names = [tool.name for tool in self.tools]
        for tool in self.tools:
            if not _NAME.fullmatch(tool.name):
                raise _refusal("A tool's name has 1 to 64 letters of ASCII, digits, '_' and '-'.")
            if names.count(tool.name) > 1:
                raise _refusal(f"There are two tools named '{tool.name}'.")
            if tool.parameters.get("type", "object") != "object":
                raise _refusal(f"The parameters of '{tool.name}' must be of type 'object'.")
        size = sum(len(tool.description) + len(to_json(tool.parameters)) for tool in self.tools)
        if size > _LIMITS.max_chars:
            raise _refusal(f"The tools have {size} characters, and at most {_LIMITS.max_chars} are taken.")
        for name in (self.named,) if self.named is not None else self.among or ():
            if name not in names:
                raise _refusal(f"There is no tool named '{name}'.", param="tool_choice")
        if self.choice == "required" and not self.allowed:
            raise _refusal("A call is asked for, and there are no tools to call.", param="tool_choice")

    @property
    def told(self) -> tuple[Tool, ...]:
        """The tools that the model is told of."""
        return () if self.choice == "none" else self.tools

    @property
    def allowed(self) -> tuple[Tool, ...]:
        """The tools that it may call."""
        if self.named is not None:
            return tuple(tool for tool in self.told if tool.name == self.named)
        return tuple(tool for tool in self.told if self.among is None or tool.name in self.among)

    @property
    def max_calls(self) -> int:
        """How many calls an answer may have."""
        return 1 if self.named is not None or not self.is_parallel else _LIMITS.max_calls

    def parser(self, dialect: Dialect) -> CallParser | None:
        """What finds the calls in an answer; None where there may be none."""
        if not self.allowed:
            return None
        return CallParser(dialect, self.allowed, self.max_calls, normalises=self.normalises)

    def constraint(self, dialect: Dialect, answer: Constraint | None = None) -> Constraint:
        """What keeps an answer to well-formed calls of the tools that are allowed, and, where it has none, to `answer`.

        A call that must be has its constraint from the first token on. Where the model is free, the constraint of a
        call begins where a call does.

        Raises:
            InvalidRequest: the schema of a tool that must be kept to cannot be, or `answer` cannot be joined with it.
        """
        if self.choice == "required":
            return Constraint("lark", self._calls_first(dialect, self.allowed), dialect.marks, param="tools")
        if answer is None:
            trigger = Trigger(
                dialect.starts(self.allowed),
                is_first=dialect.is_first,
                times=self.max_calls if dialect.end and dialect.between is not None else 1,
            )
            return self._relaxing(dialect, lambda tools: self._call_alone(dialect, tools), trigger)
        schema = _schema_of(answer)
        return self._relaxing(dialect, lambda tools: self._calls_first(dialect, tools, schema), None)

    def _relaxing(
        self, dialect: Dialect, write: Callable[[tuple[Tool, ...]], str], trigger: Trigger | None
    ) -> Constraint:
        """The constraint whose source `write` makes of the tools, or, where these cannot be kept to, of looser ones."""
        relaxed = write(tuple(map(_relaxed, self.allowed)))
        try:
            source = write(self.allowed)
        except InvalidRequest:
            if any(tool.is_strict for tool in self.allowed):
                raise
            source = relaxed
        return Constraint("lark", source, dialect.marks, trigger, relaxed=relaxed, param="tools")

    def _call_alone(self, dialect: Dialect, tools: Sequence[Tool]) -> str:
        """The grammar of a section that the model has begun."""
        return f"start: section\n{_FREE_GAP}\n{dialect.grammar(tools, self.max_calls)}"

    def _calls_first(self, dialect: Dialect, tools: Sequence[Tool], answer: dict[str, Any] | None = None) -> str:
        """The grammar of a whole answer: sections, or JSON that matches `answer` where that is given."""
        calls = "section"
        if dialect.between is not None and self.max_calls > 1:
            calls += f" ({literal(dialect.between)} section){{0,{self.max_calls - 1}}}"
        rules = [f"start: {calls}", _FORCED_GAP, dialect.grammar(tools, self.max_calls)]
        if answer is not None:
            rules[0] += " | answer"
            rules.append(json_rule("answer", answer))
        return "\n".join(rules)


def _schema_of(answer: Constraint) -> dict[str, Any]:
    """The schema of an answer in JSON.

    Raises:
        InvalidRequest: it is to have another form.
    """
    if answer.kind != "json_schema":
        raise InvalidRequest(
            "Tools and a form of the answer other than JSON exclude each other.",
            remedy="Send one of them.",
            param="tools",
        )
    try:
        schema = json.loads(answer.source)
    except (ValueError, RecursionError):
        schema = None
    if not isinstance(schema, dict):
        raise InvalidRequest("What the answer must match is no JSON schema: that is an object.", param="guided_json")
    return schema


def _relaxed(tool: Tool) -> Tool:
    """The tool with any arguments, unless it is strict."""
    return tool if tool.is_strict else replace(tool, parameters={"type": "object", "additionalProperties": True})


def _refusal(message: str, param: str = "tools") -> InvalidRequest:
    return InvalidRequest(message, param=param)
