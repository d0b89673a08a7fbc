"""What `/v1/responses` answers: a response, and the events that make it up."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from runtime.api.schemas.language import TextUsage
from runtime.api.schemas.logprobs import ChatTokenLogprob
from runtime.api.schemas.responses import ResponseRequest
from runtime.api.schemas.tools import Reported
from runtime.api.streaming import NamedEvent
from runtime.engine.messages import Finished

ItemStatus = Literal["in_progress", "completed", "incomplete"]
ResponseStatus = Literal["in_progress", "completed", "incomplete", "failed"]


class OutputText(BaseModel):
    """The text of an answer."""

    type: Literal["output_text"] = "output_text"
    text: str = ""
    annotations: list[None] = []
    logprobs: list[ChatTokenLogprob] = []


class ReasoningText(BaseModel):
    """The text of a reasoning."""

    type: Literal["reasoning_text"] = "reasoning_text"
    text: str = ""


class MessageItem(BaseModel):
    """What the model says."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    status: ItemStatus = "in_progress"
    content: list[OutputText] = []


class ReasoningItem(BaseModel):
    """What the model thinks to itself."""

    id: str
    type: Literal["reasoning"] = "reasoning"
    status: ItemStatus = "in_progress"
    summary: list[None] = []
    content: list[ReasoningText] = []


class CallItem(Reported):
    """A tool that the model wants run."""

    id: str
    type: Literal["function_call"] = "function_call"
    status: ItemStatus = "in_progress"
    call_id: str
    name: str
    arguments: str = ""


OutputItem = MessageItem | ReasoningItem | CallItem


class InputTokensDetails(BaseModel):
    """`cached_tokens`: those that an earlier or concurrent request had computed already."""

    cached_tokens: int
    cache_write_tokens: int = 0


class OutputTokensDetails(BaseModel):
    """`reasoning_tokens`: those of the reasoning's text."""

    reasoning_tokens: int


class ResponseUsage(BaseModel):
    """Token counts."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int
    demotic: TextUsage | None = None

    @classmethod
    def from_finished(cls, finished: Finished, num_reasoning: int) -> ResponseUsage:
        """Counts of an answer that ends so."""
        usage = finished.usage
        return cls(
            input_tokens=usage.prompt_tokens,
            input_tokens_details=InputTokensDetails(cached_tokens=usage.cached_tokens),
            output_tokens=usage.completion_tokens,
            output_tokens_details=OutputTokensDetails(reasoning_tokens=num_reasoning),
            total_tokens=usage.prompt_tokens + usage.completion_tokens,
        )


class ResponseFault(BaseModel):
    """Why an answer failed."""

    code: Literal["server_error"] = "server_error"
    message: str


class IncompleteDetails(BaseModel):
    """Why an answer is not complete."""

    reason: Literal["max_output_tokens"] = "max_output_tokens"


class ResponseBody(BaseModel):
    """An answer, as far as it has come."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: ResponseStatus = "in_progress"
    error: ResponseFault | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    model: str
    output: list[OutputItem] = []
    parallel_tool_calls: bool
    previous_response_id: str | None
    reasoning: dict[str, Any]
    store: bool
    temperature: float
    text: dict[str, Any]
    tool_choice: Any = "auto"
    tools: list[dict[str, Any]] = []
    top_logprobs: int
    top_p: float
    truncation: Literal["disabled"] = "disabled"
    usage: ResponseUsage | None = None
    user: str | None

    @classmethod
    def from_request(
        cls, request: ResponseRequest, response_id: str, *, created: int, model: str, store: bool
    ) -> ResponseBody:
        """The answer to `request` before it begins."""
        sampling = request.sampling()
        form = request.text.format if request.text else None
        return cls(
            id=response_id,
            created_at=created,
            instructions=request.instructions,
            max_output_tokens=request.max_output_tokens,
            metadata=request.metadata or {},
            model=model,
            parallel_tool_calls=request.parallel_tool_calls is not False,
            previous_response_id=request.previous_response_id,
            reasoning={"effort": request.effort, "summary": None},
            store=store,
            temperature=sampling.temperature,
            text={"format": form.model_dump(by_alias=True, exclude_unset=True) if form else {"type": "text"}},
            tool_choice=_echo(request.tool_choice) or "auto",
            tools=[_echo(tool) for tool in request.tools or ()],
            top_logprobs=request.top_logprobs or 0,
            top_p=sampling.top_p,
            user=request.user,
        )


def _echo(value: Any) -> Any:
    return value.model_dump() if isinstance(value, BaseModel) else value


class DeletedResponse(BaseModel):
    """An answer that is kept no more."""

    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True


LifeEvent = Literal[
    "response.created", "response.in_progress", "response.completed", "response.incomplete", "response.failed"
]


class ResponseEvent(NamedEvent):
    """A stretch in the life of the answer, and the answer as it stands then."""

    type: LifeEvent
    sequence_number: int
    response: ResponseBody


class ItemEvent(NamedEvent):
    """An item begins or ends."""

    type: Literal["response.output_item.added", "response.output_item.done"]
    sequence_number: int
    output_index: int
    item: OutputItem


class PartEvent(NamedEvent):
    """The part of an item begins or ends."""

    type: Literal["response.content_part.added", "response.content_part.done"]
    sequence_number: int
    item_id: str
    output_index: int
    content_index: int = 0
    part: OutputText | ReasoningText


class TextDelta(NamedEvent):
    """Some more text of an answer."""

    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    sequence_number: int
    item_id: str
    output_index: int
    content_index: int = 0
    delta: str
    logprobs: tuple[ChatTokenLogprob, ...] = ()


class TextDone(NamedEvent):
    """The whole text of an answer."""

    type: Literal["response.output_text.done"] = "response.output_text.done"
    sequence_number: int
    item_id: str
    output_index: int
    content_index: int = 0
    text: str
    logprobs: tuple[ChatTokenLogprob, ...] = ()


class ReasoningDelta(NamedEvent):
    """Some more text of a reasoning."""

    type: Literal["response.reasoning_text.delta"] = "response.reasoning_text.delta"
    sequence_number: int
    item_id: str
    output_index: int
    content_index: int = 0
    delta: str


class ReasoningDone(NamedEvent):
    """The whole text of a reasoning."""

    type: Literal["response.reasoning_text.done"] = "response.reasoning_text.done"
    sequence_number: int
    item_id: str
    output_index: int
    content_index: int = 0
    text: str


class ArgumentsDelta(NamedEvent):
    """Some more of a call's arguments."""

    type: Literal["response.function_call_arguments.delta"] = "response.function_call_arguments.delta"
    sequence_number: int
    item_id: str
    output_index: int
    delta: str


class ArgumentsDone(NamedEvent):
    """The whole arguments of a call."""

    type: Literal["response.function_call_arguments.done"] = "response.function_call_arguments.done"
    sequence_number: int
    item_id: str
    output_index: int
    name: str
    arguments: str


StreamEvent = (
    ResponseEvent
    | ItemEvent
    | PartEvent
    | TextDelta
    | TextDone
    | ReasoningDelta
    | ReasoningDone
    | ArgumentsDelta
    | ArgumentsDone
)
