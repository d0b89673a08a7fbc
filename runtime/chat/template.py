"""From messages to the prompt a model was trained on: its own Jinja template, or a plain one.

Two faults of real templates are mended. Some refuse a system message (Gemma 2) or drop it without a word: for those
the system text is folded into the first user message. Models without any template get `PLAIN`, a transcript with
names, which base models continue sensibly; it stops where the model would begin the user's next turn.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NoReturn

from jinja2 import TemplateError

from runtime.chat.sandbox import BoundedEnvironment
from runtime.chat.tools.call import ToolCall
from runtime.config import ChatTemplateConfig
from runtime.errors import InvalidRequest, ModelFileInvalid

PLAIN = """\
{%- for message in messages -%}
{%- if message.role == 'system' -%}{{ message.content }}

{% elif message.role == 'user' -%}User: {{ message.content }}
{% else -%}Assistant: {{ message.content }}
{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}Assistant:{%- endif -%}
"""
PLAIN_STOP = ("\nUser:",)
ROLES = ("system", "user", "assistant", "tool")


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

    `source` None stands for a model without a template.
    """

    source: str | None
    bos_token: str = ""
    eos_token: str = ""
    config: ChatTemplateConfig = field(default_factory=ChatTemplateConfig)

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings that end the answer, beside the model's own end tokens."""
        return () if self.source else PLAIN_STOP

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt for `messages`; `variables` are what else the template is told.

        Raises:
            InvalidRequest: no message, an unknown role, or an order of roles that the template refuses.
            ModelFileInvalid: the template itself is at fault: it does not parse, reaches outside, or never ends.
        """
        if not messages:
            raise InvalidRequest("There are no messages.", remedy="Send at least one.", param="messages")
        for message in messages:
            if message.role not in ROLES:
                raise InvalidRequest(
                    f"'{message.role}' is not a role.", remedy=f"Roles are {', '.join(ROLES)}.", param="messages"
                )
        if messages[0].role == "system" and len(messages) > 1 and not self._takes_system:
            messages = _fold_system(messages)
        return self._render(messages, add_generation_prompt=add_generation_prompt, more=variables)

    def knows(self, name: str) -> bool:
        """Whether the template speaks of a variable."""
        return self.source is not None and name in self.source

    @cached_property
    def _takes_system(self) -> bool:
        """Whether a system message's text comes out of the template."""
        probe = (Message("system", "demotic-probe"), Message("user", "?"))
        try:
            return "demotic-probe" in self._render(probe, add_generation_prompt=True)
        except InvalidRequest:
            return False

    def _render(
        self, messages: Sequence[Message], *, add_generation_prompt: bool, more: Mapping[str, Any] | None = None
    ) -> str:
        variables: dict[str, Any] = dict(more or {}) | {
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "add_generation_prompt": add_generation_prompt,
            "bos_token": self.bos_token,
            "eos_token": self.eos_token,
            "tools": None,
            "raise_exception": _refuse,
            "strftime_now": _now,
        }
        try:
            return BoundedEnvironment(self.config).render(self.source or PLAIN, variables)
        except _Refused as fault:
            message = f"The model's chat template refused the messages: {fault}."
            raise InvalidRequest(message, param="messages") from None
        except Exception as fault:  # a template can fail in as many ways as Python can
            raise ModelFileInvalid(
                f"The model's chat template cannot be used: {str(fault).rstrip('.') or type(fault).__name__}.",
                remedy="Use plain completions with this model.",
            ) from fault


class _Refused(TemplateError):
    """The template called `raise_exception`."""


def _refuse(message: object) -> NoReturn:
    raise _Refused(str(message).rstrip("."))


def _now(pattern: str) -> str:
    return datetime.datetime.now().astimezone().strftime(pattern[:64])


def _fold_system(messages: Sequence[Message]) -> list[Message]:
    """Put a leading system message at the head of the first user message."""
    system, *rest = messages
    for index, message in enumerate(rest):
        if message.role == "user":
            rest[index] = Message("user", f"{system.content}\n\n{message.content}")
            return rest
    return [Message("user", system.content), *rest]
