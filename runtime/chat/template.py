"""From messages to the prompt a model was trained on: its own Jinja template, or a plain one.

Two faults of real templates are mended. Some refuse a system message (Gemma 2) or drop it without a word: for those
the system text is folded into the first user message. Models without any template get `PLAIN`, a transcript with
names, which base models continue sensibly; it stops where the model would begin the user's next turn. Encoder-decoders
without one get `PLAIN_TASK`: what the user said last, after the system message, and no earlier turns.

Tools, calls and results are given to templates that know them. For the others the model's dialect makes them text.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from jinja2 import TemplateError

from runtime.chat.sandbox import BoundedEnvironment
from runtime.chat.tools.call import Tool, ToolCall
from runtime.chat.tools.turns import one_call_a_turn
from runtime.config import ChatTemplateConfig
from runtime.errors import InvalidRequest, ModelFileInvalid

if TYPE_CHECKING:
    from runtime.chat.tools.dialects.base import Dialect

PLAIN = """\
{%- for message in messages -%}
{%- if message.role == 'system' -%}{{ message.content }}

{% elif message.role == 'user' -%}User: {{ message.content }}
{% else -%}Assistant: {{ message.content }}
{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}Assistant:{%- endif -%}
"""
# An encoder-decoder was trained to do one task with one text.
PLAIN_TASK = """\
{%- for message in messages if message.role == 'system' -%}{{ message.content }}

{% endfor -%}
{%- set said = messages | selectattr('role', 'equalto', 'user') | list or messages -%}
{{- (said | last).content -}}
"""
PLAIN_STOP = ("\nUser:",)
ROLES = ("system", "user", "assistant", "tool")
# What a prompt ends with: the beginning of an answer, the last message, or an answer that is left open to go on.
Opening = Literal["answer", "none", "last"]
# Stands behind the text of an answer that is left open; what a template writes after it is cut off.
_OPEN_END = "demotic-open-end"
_PROBE = Tool("demotic-tool", "", {"type": "object", "properties": {}})


@dataclass(frozen=True)
class Message:
    """One turn of a conversation; `role` is one of `ROLES`.

    An assistant's turn may have `tool_calls`. A turn of role "tool" is what became of one of them: `tool_call_id` says
    of which, and `name` is the tool's.
    """

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class ChatTemplate:
    """A model's template and the texts of its special tokens.

    `source` None stands for a model without a template, which gets `plain`. `tool_dialect` names how the model writes
    calls of tools, where that is known better than by the template's text. `tool_source` is a template of its own for
    requests with tools, which some models have (Hermes). `system` begins conversations that have no system message.
    """

    source: str | None
    bos_token: str = ""
    eos_token: str = ""
    tool_dialect: str | None = None
    plain: str = PLAIN
    config: ChatTemplateConfig = field(default_factory=ChatTemplateConfig)
    tool_source: str | None = None
    system: str | None = None

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings that end the answer, beside the model's own end tokens."""
        return () if self.source or self.plain is not PLAIN else PLAIN_STOP

    def render(
        self,
        messages: Sequence[Message],
        *,
        opening: Opening = "answer",
        variables: Mapping[str, Any] | None = None,
        tools: Sequence[Tool] = (),
        language: str | None = None,
    ) -> str:
        """The prompt for `messages`, which ends with `opening`; `variables` are what else the template is told.

        `tools` are those that the model may call, and `language` is that in which it is told of them where its template
        has no words for that.

        Raises:
            InvalidRequest: no message, an unknown role, an order of roles that the template refuses, or no answer at
                the end that could go on.
            ModelFileInvalid: the template itself is at fault: it does not parse, reaches outside, or never ends.
        """
        if not messages:
            raise InvalidRequest("There are no messages.", remedy="Send at least one.", param="messages")
        for message in messages:
            if message.role not in ROLES:
                raise InvalidRequest(
                    f"'{message.role}' is not a role.", remedy=f"Roles are {', '.join(ROLES)}.", param="messages"
                )
        if self.system and not any(message.role == "system" for message in messages):
            messages = [Message("system", self.system), *messages]
        if opening == "last":
            marked = _with_open_end(messages)
            whole = self.render(marked, opening="none", variables=variables, tools=tools, language=language)
            prompt, mark, _end = whole.rpartition(_OPEN_END)
            if not mark:
                raise InvalidRequest("The model's chat template leaves the last answer out.", param="messages")
            return prompt
        if tools and self._with_tools is not None:
            return self._with_tools.render(
                messages, opening=opening, variables=variables, tools=tools, language=language
            )
        has_tools = tools or any(message.role == "tool" or message.tool_calls for message in messages)
        heading = ""
        if has_tools and not self._takes_tools:
            heading = self.dialect.request_heading(tools, language) if tools else ""
            messages, tools = self.dialect.render(messages, tools, language), ()
        elif has_tools:
            messages = self.dialect.introduce(messages) if tools else messages
            messages = messages if self._takes_several_calls else one_call_a_turn(messages)
        if messages[0].role == "system" and len(messages) > 1 and not self._takes_system:
            messages = _fold_system(messages, heading)
        return self._render(messages, add_generation_prompt=opening == "answer", more=variables, tools=tools)

    @cached_property
    def dialect(self) -> Dialect:
        """How the model writes calls of tools."""
        from runtime.chat.tools.dialects.registry import DIALECTS, dialect_of

        if self.tool_dialect is not None:
            return DIALECTS[self.tool_dialect]
        return dialect_of(self.tool_source or self.source)

    @cached_property
    def _with_tools(self) -> ChatTemplate | None:
        """The template for requests with tools, where it is another one."""
        return None if self.tool_source is None else replace(self, source=self.tool_source, tool_source=None)

    def knows(self, name: str) -> bool:
        """Whether the template speaks of a variable."""
        return self.source is not None and name in self.source

    @cached_property
    def _takes_system(self) -> bool:
        """Whether a system message's text comes out of the template."""
        probe = (Message("system", "demotic-probe"), Message("user", "?"))
        # A template that is only for tools may fail without any.
        for tools in ((), (_PROBE,)):
            try:
                return "demotic-probe" in self._render(probe, add_generation_prompt=True, tools=tools)
            except InvalidRequest:
                return False
            except ModelFileInvalid:
                continue
        return False

    @cached_property
    def _takes_tools(self) -> bool:
        """Whether a tool, a call of it and the result all come out of the template."""
        return self.knows("tools") and self._takes_calls(1)

    @cached_property
    def _takes_several_calls(self) -> bool:
        """Whether a turn may have several calls: Llama's template refuses that."""
        return self._takes_calls(2)

    def _takes_calls(self, number: int) -> bool:
        calls = [
            ToolCall(f"demotic{at:02}", f"demotic-probe-{at}", json.dumps({f"demotic-argument-{at}": at}))
            for at in range(number)
        ]
        probe = (
            Message("user", "?"),
            Message("assistant", "", tuple(calls)),
            *(
                Message("tool", f"demotic-result-{at}", tool_call_id=call.id, name=call.name)
                for at, call in enumerate(calls)
            ),
        )
        try:
            prompt = self._render(probe, add_generation_prompt=True, tools=(_PROBE,))
        except (InvalidRequest, ModelFileInvalid):
            return False
        wanted = [f"demotic-{part}-{at}" for part in ("probe", "argument", "result") for at in range(number)]
        return _PROBE.name in prompt and all(text in prompt for text in wanted)

    def _render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool,
        more: Mapping[str, Any] | None = None,
        tools: Sequence[Tool] = (),
    ) -> str:
        variables: dict[str, Any] = dict(more or {}) | {
            "messages": [self._turn(message) for message in messages],
            "add_generation_prompt": add_generation_prompt,
            "bos_token": self.bos_token,
            "eos_token": self.eos_token,
            "tools": [_told(tool) for tool in tools] or None,
            "raise_exception": _refuse,
            "strftime_now": _now,
        }
        try:
            return BoundedEnvironment(self.config).render(self.source or self.plain, variables)
        except _Refused as fault:
            message = f"The model's chat template refused the messages: {fault}."
            raise InvalidRequest(message, param="messages") from None
        except Exception as fault:  # a template can fail in as many ways as Python can
            raise ModelFileInvalid(
                f"The model's chat template cannot be used: {str(fault).rstrip('.') or type(fault).__name__}.",
                remedy="Use plain completions with this model.",
            ) from fault

    def _turn(self, message: Message) -> dict[str, Any]:
        """A message as templates know it: in OpenAI's shape, but for the arguments, which are no text."""
        turn: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            turn["tool_calls"] = [
                {
                    "id": self.dialect.id_of(call.id),
                    "type": "function",
                    "function": {"name": call.name, "arguments": json.loads(call.arguments)},
                }
                for call in message.tool_calls
            ]
        if message.tool_call_id is not None:
            turn["tool_call_id"] = self.dialect.id_of(message.tool_call_id)
        if message.name is not None:
            turn["name"] = message.name
        return turn


class _Refused(TemplateError):
    """The template called `raise_exception`."""


def _told(tool: Tool) -> dict[str, Any]:
    # All that OpenAI's shape has, which the template of Hermes takes for granted.
    parameters = {"type": "object", "properties": {}, **tool.parameters}
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


def _refuse(message: object) -> NoReturn:
    raise _Refused(str(message).rstrip("."))


def _now(pattern: str) -> str:
    return datetime.datetime.now().astimezone().strftime(pattern[:64])


def _with_open_end(messages: Sequence[Message]) -> list[Message]:
    """The messages, the last of which, an answer, ends with `_OPEN_END`: a template that trims texts trims none of it.

    Raises:
        InvalidRequest: the last one is no answer in words.
    """
    *before, last = messages
    if last.role != "assistant" or last.tool_calls:
        raise InvalidRequest(
            "Only an answer in words can go on, and the last message is none.",
            remedy="Leave the field out, or end with a message of the assistant.",
            param="continue_final_message",
        )
    return [*before, replace(last, content=last.content + _OPEN_END)]


def _fold_system(messages: Sequence[Message], heading: str) -> list[Message]:
    """Put a leading system message at the head of the first user message, and `heading` between them."""
    system, *rest = messages
    for index, message in enumerate(rest):
        if message.role == "user":
            rest[index] = Message("user", f"{system.content}\n\n{heading}{message.content}")
            return rest
    return [Message("user", system.content), *rest]
