"""Offsets of tokens are places in the echoed text, also where a vocabulary puts a space before it."""

from __future__ import annotations

import pytest

from runtime.api.completions import CompletionShape
from runtime.api.schemas.completions import CompletionRequest
from runtime.engine.messages import Delta, TokenLogprob


def told(prompt: str, *tokens: str) -> tuple[list[str], list[int]]:
    """What the shape makes of a prompt's tokens, which come in two parts."""
    body = CompletionRequest.model_validate({"prompt": prompt, "echo": True, "logprobs": 0, "max_tokens": 0})
    shape = CompletionShape("1", 0, "x", body)
    shape.begin(0)
    whole = [TokenLogprob(0, token.encode(), None if index == 0 else -1.0, ()) for index, token in enumerate(tokens)]
    pieces = [
        *shape.say(0, Delta("1", "", logprobs=tuple(whole[:3]), is_prompt=True)),
        *shape.say(0, Delta("1", "", logprobs=tuple(whole[3:]), is_prompt=True)),
    ]
    found = [piece.logprobs for piece in pieces if piece.logprobs is not None]
    return [token for one in found for token in one.tokens], [place for one in found for place in one.text_offset]


@pytest.mark.parametrize(
    ("tokens", "offsets"),
    [
        (["<s>", " ", "a", " b", "c"], [0, 0, 1, 3]),
        (["<s>", " a", " ", "bc"], [0, 1, 2]),
        (["<s>", "a", " b", "c"], [0, 1, 3]),
        (["a", " b", "c"], [0, 1, 3]),
    ],
)
def test_a_space_that_is_not_in_the_text_takes_no_place(tokens: list[str], offsets: list[int]) -> None:
    names, found = told("a bc", *tokens)
    assert "".join(names).strip() == "a bc"
    assert found == offsets


def test_a_space_of_the_text_itself_takes_one() -> None:
    assert told(" a b", "<s>", " a", " b")[1] == [0, 2]
