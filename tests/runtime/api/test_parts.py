"""Reasoning and content as parts of one answer, and an answer that fails on its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from anthropic.types import ErrorResponse, RawMessageStreamEvent
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from runtime.api.messages import MessageShape
from runtime.api.parts import part_events
from runtime.api.responses import ResponseShape
from runtime.api.schemas.language import TextUsage
from runtime.api.schemas.response_events import ResponseBody
from runtime.api.schemas.responses import ResponseRequest
from runtime.api.streaming import NamedEvent, named_response
from runtime.chat.prompt import ChatPrompt
from runtime.engine.client import InProcessClient
from runtime.engine.sampling import SamplingParams
from runtime.errors import InferenceFailed
from tests.fakes.decoder import ScriptedDecoder, answer_with
from tests.fakes.visitor import Visitor

GREEDY = SamplingParams(temperature=0)
PROMPT = ChatPrompt("q", marks=("<think>", "</think>"))
SAID = "Откъде мога да си купя билет за влака?"
OPENAI: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
ANTHROPIC: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)


def response() -> ResponseShape:
    request = ResponseRequest.model_validate({"input": "q"})
    return ResponseShape(ResponseBody.from_request(request, "resp_1", created=1, model="m", store=False))


async def told(client: InProcessClient, shape: Any, max_tokens: int | None = None) -> list[NamedEvent]:
    request = PROMPT.to_request("a", GREEDY, max_tokens)
    return [event async for event in part_events(shape, PROMPT, SAID, request, client, Visitor().http)]


def thinking(make_client: Callable[..., InProcessClient]) -> InProcessClient:
    return make_client(ScriptedDecoder(answer_with("<think>so so</think>\n\nyes", "q")))


async def test_a_response_has_an_item_for_the_reasoning_and_then_one_for_the_answer(
    make_client: Callable[..., InProcessClient],
) -> None:
    events: list[Any] = [
        OPENAI.validate_json(event.model_dump_json(), strict=True)
        for event in await told(thinking(make_client), response())
    ]
    names = [event.type.removeprefix("response.") for event in events]
    assert [name for before, name in zip(["", *names], names, strict=False) if name != before] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    reasoning, message = events[-1].response.output
    assert reasoning.content[0].text == "so so"
    assert message.content[0].text == "yes"
    assert (reasoning.status, message.status) == ("completed", "completed")
    places = [(event.item_id, event.output_index) for event in events if hasattr(event, "item_id")]
    assert set(places) == {(reasoning.id, 0), (message.id, 1)}
    assert [event.item.content for event in events if event.type == "response.output_item.added"] == [[], []]
    assert events[-1].response.usage.output_tokens_details.reasoning_tokens == len("so so")


async def test_logprobs_of_a_response_are_of_the_answer_and_not_of_its_reasoning(
    make_client: Callable[..., InProcessClient],
) -> None:
    request = PROMPT.to_request("a", GREEDY, None, logprobs=1)
    shape = response()
    client = thinking(make_client)
    events: list[Any] = [event async for event in part_events(shape, PROMPT, SAID, request, client, Visitor().http)]
    _, message = events[-1].response.output
    assert message.content[0].text == "yes"
    assert [bytes(token.bytes) for token in message.content[0].logprobs] == [b"y", b"e", b"s"]
    told = [token.token for event in events if event.type == "response.output_text.delta" for token in event.logprobs]
    assert told == ["y", "e", "s"]


async def test_a_message_has_a_block_for_the_reasoning_and_then_one_for_the_answer(
    make_client: Callable[..., InProcessClient],
) -> None:
    events: list[Any] = [
        ANTHROPIC.validate_json(event.model_dump_json(), strict=True)
        for event in await told(thinking(make_client), MessageShape("msg_1", "m", ()))
    ]
    blocks = [(event.index, event.content_block.type) for event in events if event.type == "content_block_start"]
    assert blocks == [(0, "thinking"), (1, "text")]
    deltas = [(event.index, event.delta) for event in events if event.type == "content_block_delta"]
    assert "".join(delta.thinking for index, delta in deltas if index == 0) == "so so"
    assert "".join(delta.text for index, delta in deltas if index == 1) == "yes"
    assert [event.index for event in events if event.type == "content_block_stop"] == [0, 1]


async def test_both_tell_what_tokens_leave_out_of_all_that_was_written(
    make_client: Callable[..., InProcessClient],
) -> None:
    text = "<think>so so</think>\n\nБилети се продават на гарата и в кварталната книжарница. 👩🏽‍🚀"
    shapes: list[Any] = [response(), MessageShape("msg_1", "m", ())]
    for shape in shapes:
        client = make_client(ScriptedDecoder(answer_with(text, "q"), context_length=500, num_cells=500))
        events: list[Any] = await told(client, shape)
        (found,) = [usage for event in events for usage in usages_of(event) if usage.demotic is not None]
        assert found.demotic == TextUsage(
            characters=len(text),
            graphemes=len(text) - 3,
            characters_per_token=round(len(text) / len(text.encode()), 3),
            prompt_language="bul_Cyrl",
            answer_language="bul_Cyrl",
            blocked_tokens=0,
            context_left=client.context_length - len("q") - len(text.encode()),
        )


def usages_of(event: Any) -> list[Any]:
    """The counts that an event tells of."""
    places = [event, getattr(event, "response", None), getattr(event, "message", None)]
    return [usage for place in places if (usage := getattr(place, "usage", None)) is not None]


async def test_an_answer_without_a_word_is_still_a_message(make_client: Callable[..., InProcessClient]) -> None:
    client = make_client(ScriptedDecoder(answer_with("", "q")))
    last: Any = (await told(client, response()))[-1]
    (message,) = last.response.output
    assert (last.type, message.type, message.content[0].text) == ("response.completed", "message", "")


async def test_a_response_that_fails_on_its_way_says_so_in_its_last_event(
    make_client: Callable[..., InProcessClient],
) -> None:
    decoder = ScriptedDecoder(answer_with("one two three", "q"))
    decoder.fail_at = 6
    shape = response()
    request = PROMPT.to_request("a", GREEDY, None)
    events = part_events(shape, PROMPT, SAID, request, make_client(decoder), Visitor().http)
    answer = await named_response(events, shape.fail, headers={})
    blocks = [str(block) async for block in answer.body_iterator]
    last: Any = OPENAI.validate_json(blocks[-1].split("data: ")[1], strict=True)
    assert last.type == "response.failed"
    assert last.sequence_number == len(blocks) - 1
    assert (last.response.status, last.response.error.code) == ("failed", "server_error")
    assert "backend failed" in last.response.error.message
    assert last.response.output[0].status == "incomplete"


async def test_a_message_that_fails_on_its_way_ends_with_an_error_event(
    make_client: Callable[..., InProcessClient],
) -> None:
    decoder = ScriptedDecoder(answer_with("one two three", "q"))
    decoder.fail_at = 6
    shape = MessageShape("msg_1", "m", ())
    request = PROMPT.to_request("a", GREEDY, None)
    events = part_events(shape, PROMPT, SAID, request, make_client(decoder), Visitor().http)
    answer = await named_response(events, shape.fail, headers={})
    name, data = [str(block) async for block in answer.body_iterator][-1].strip().split("\n")
    assert name == "event: error"
    error = ErrorResponse.model_validate_json(data.removeprefix("data: "), strict=True).error
    assert (error.type, "backend failed" in error.message) == ("api_error", True)


async def test_a_fault_before_the_first_event_is_raised(make_client: Callable[..., InProcessClient]) -> None:
    decoder = ScriptedDecoder(answer_with("one", "q"))
    decoder.fail_at = 0
    with pytest.raises(InferenceFailed):
        await told(make_client(decoder), response())
