"""`continue_final_message`: an answer goes on where it ends, asked for by the real OpenAI client."""

from __future__ import annotations

import httpx
import openai
import pytest

CHAT = "smollm2-135m-instruct"
GEMMA = "gemma-3-270m"
QUESTION = "What is the capital of France? Answer in one sentence."


def ask(client: openai.OpenAI, model: str, begun: str | None, **more: object) -> str:
    """The answer to `QUESTION` or, where it is `begun`, what follows that."""
    cut = [] if begun is None else [{"role": "assistant", "content": begun}]
    answer = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": QUESTION}, *cut],  # type: ignore[list-item]  # both are messages
        temperature=0,
        max_tokens=40,
        extra_body=more,
    )
    return answer.choices[0].message.content or ""


@pytest.mark.parametrize("model", [CHAT, GEMMA])
def test_an_answer_goes_on_where_it_was_cut(client: openai.OpenAI, model: str) -> None:
    whole = ask(client, model, None)
    words = whole.split(" ")
    begun = " ".join(words[: len(words) // 2])
    assert begun
    rest = ask(client, model, begun, continue_final_message=True, add_generation_prompt=False)
    assert begun + rest[: len(whole) - len(begun)] == whole


def test_the_prompt_of_one_that_goes_on_is_shorter_than_that_of_a_next_answer(http: httpx.Client) -> None:
    messages = [{"role": "user", "content": "Colours?"}, {"role": "assistant", "content": "White, green and"}]

    def count(**more: object) -> int:
        body = {"model": CHAT, "messages": messages} | more
        num_tokens: int = http.post("/v1/chat/completions/tokens", json=body).json()["prompt_tokens"]
        return num_tokens

    assert count(continue_final_message=True) < count(add_generation_prompt=False) < count()


@pytest.mark.parametrize(
    ("begun", "more", "param"),
    [(None, {}, "continue_final_message"), ("Paris", {"add_generation_prompt": True}, "add_generation_prompt")],
)
def test_what_cannot_go_on_is_refused(
    client: openai.OpenAI, begun: str | None, more: dict[str, object], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, CHAT, begun, continue_final_message=True, **more)
    assert refused.value.param == param
