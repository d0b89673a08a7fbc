"""What a request says of tools: which ones there are, and which calls an answer may have, and must."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from runtime.chat.tools.call import Tool
from runtime.chat.tools.dialects.writing import to_json
from runtime.config import ToolLimits
from runtime.errors import InvalidRequest

_LIMITS = ToolLimits()
Choice = Literal["auto", "none", "required"]
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


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

    @classmethod
    def chosen(cls, tools: tuple[Tool, ...], choice: str) -> ToolUse:
        """The tools with the choice that a person names: one of `Choice`, or the tool that must be called.

        Raises:
            InvalidRequest: as `checked`.
        """
        match choice:
            case "auto" | "required" | "none":
                return cls.checked(tools, choice)
            case _:
                return cls.checked(tools, "required", named=choice)

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


def _refusal(message: str, param: str = "tools") -> InvalidRequest:
    return InvalidRequest(message, param=param)
