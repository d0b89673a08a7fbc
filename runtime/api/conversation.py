"""From a conversation to the engine's request, the same way for all shapes of chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from runtime.chat.reasoning import ReasoningSplit, marks_of
from runtime.chat.template import ChatTemplate, Message
from runtime.engine.constraints import Constraint
from runtime.engine.messages import Generate
from runtime.engine.sampling import SamplingParams
from runtime.errors import InvalidRequest

Effort = Literal["none", "minimal", "low", "medium", "high"]
# What templates call it: Qwen3 and its kin the first, gpt-oss the second.
_EFFORT_VARIABLES = ("enable_thinking", "reasoning_effort")


@dataclass(frozen=True)
class ChatPrompt:
    """A rendered conversation; `stop` ends its answer, and where the model reasons, `marks` enclose its reasoning."""

    text: str
    stop: tuple[str, ...] = ()
    marks: tuple[str, str] | None = None

    @classmethod
    def render(
        cls, template: ChatTemplate, messages: Sequence[Message], variables: Mapping[str, Any] | None = None
    ) -> ChatPrompt:
        """The prompt of `messages`. Raises as `ChatTemplate.render` does."""
        text = template.render(messages, variables=variables)
        return cls(text, template.stop, marks_of(template.source))

    def split(self) -> ReasoningSplit | None:
        """What splits an answer's reasoning from its content; None where the model does not reason."""
        if self.marks is None:
            return None
        start, end = self.marks
        return ReasoningSplit(start, end, is_begun=self.text.rstrip().endswith(start))

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
    ) -> Generate:
        """The engine's request for one answer; errors call the conversation `param`."""
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
        )


def effort_variables(effort: Effort | None, template: ChatTemplate, *, param: str) -> dict[str, Any]:
    """What `template` is told of how much to reason; `param` is the field that asked for it.

    Raises:
        InvalidRequest: an effort is asked for of a model that does not reason.
    """
    if effort is None:
        return {}
    if effort != "none" and not any(template.knows(name) for name in _EFFORT_VARIABLES):
        raise InvalidRequest("This model's reasoning has no levels.", param=param)
    return {"enable_thinking": effort != "none", "reasoning_effort": effort}
