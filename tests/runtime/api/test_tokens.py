"""Text to tokens and back, and how many tokens a chat has."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from runtime.api.schemas.tokens import MAX_TEXT, TokenizeAnswer
from runtime.engine.client import InProcessClient
from runtime.engine.engine import Engine
from runtime.engine.messages import Describe
from runtime.model import Model
from tests.fakes.decoder import END, ByteTokenizer, ScriptedDecoder
from tests.runtime.api.test_choices import endpoint_over

CHAT, BASE = "smollm2-135m-instruct", "gemma-3-270m"
TEXTS = [
    "Érase una vez",
    "Жили-были дед да баба.",
    "むかしむかし",
    "एक समय",
    "كان يا ما كان",
    "👩‍👩‍👧 \n\t x",
    " two  words ",
]


def tokenize(http: httpx.Client, text: str, model: str = CHAT, **more: Any) -> dict[str, Any]:
    answer = http.post("/tokenize", json={"model": model, "text": text} | more)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def detokenize(http: httpx.Client, tokens: list[int], model: str = CHAT) -> str:
    answer = http.post("/detokenize", json={"model": model, "tokens": tokens})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["text"])


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("model", [CHAT, BASE])
def test_text_becomes_tokens_and_the_same_text_again(http: httpx.Client, model: str, text: str) -> None:
    for add_special in (True, False):
        tokens = tokenize(http, text, model, add_special=add_special)["tokens"]
        assert detokenize(http, tokens, model) == text


def test_tokens_are_those_of_the_python_api(http: httpx.Client, gemma: Model) -> None:
    assert tokenize(http, "Érase una vez", BASE) == {"tokens": gemma.tokenize("Érase una vez")}


def test_what_stands_at_the_beginning_of_a_sequence_is_left_out_on_request(http: httpx.Client) -> None:
    first, *rest = tokenize(http, "Hello", BASE)["tokens"]
    assert first == 2
    assert tokenize(http, "Hello", BASE, add_special=False)["tokens"] == rest


def test_pieces_tell_what_each_token_stands_for(http: httpx.Client) -> None:
    text = "Ж👩"
    answer = tokenize(http, text, BASE, with_pieces=True)
    pieces = answer["pieces"]
    assert [piece["id"] for piece in pieces] == answer["tokens"]
    assert pieces[0] == {"id": 2, "text": "<bos>", "bytes": []}
    assert bytes(byte for piece in pieces for byte in piece["bytes"]).decode() == text
    # A character that takes several tokens: their bytes are whole only together.
    parts = tokenize(http, "𒀀", CHAT, with_pieces=True)["pieces"]
    assert len(parts) > 1
    assert bytes(byte for piece in parts for byte in piece["bytes"]).decode() == "𒀀"


def test_names_of_control_tokens_in_a_text_are_text(http: httpx.Client) -> None:
    tokens = tokenize(http, "<|im_start|>")["tokens"]
    assert len(tokens) > 1
    assert detokenize(http, tokens) == "<|im_start|>"


def test_part_of_a_character_is_a_replacement_character(http: httpx.Client) -> None:
    assert "\ufffd" in detokenize(http, tokenize(http, "𒀀")["tokens"][:1])


def test_nothing_is_no_tokens_and_no_tokens_are_nothing(http: httpx.Client) -> None:
    assert tokenize(http, "") == {"tokens": []}
    assert tokenize(http, "", with_pieces=True) == {"tokens": [], "pieces": []}
    assert detokenize(http, []) == ""


def test_a_chat_has_as_many_tokens_as_its_answer_counts(http: httpx.Client) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Здравей! <|im_end|>"}]
    for model in (CHAT, BASE):
        body = {"model": model, "messages": messages, "max_tokens": 1, "sparkle": 1}
        count = http.post("/v1/chat/completions/tokens", json=body)
        usage = http.post("/v1/chat/completions", json=body).json()["usage"]
        assert count.json() == {"prompt_tokens": usage["prompt_tokens"], "context_length": 2048}
        assert count.headers["x-demotic-ignored"] == "sparkle"


def test_a_chat_over_the_context_is_counted_too(http: httpx.Client) -> None:
    body = {"model": CHAT, "messages": [{"role": "user", "content": "word " * 4000}]}
    assert http.post("/v1/chat/completions/tokens", json=body).json()["prompt_tokens"] > 4000


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/tokenize", {}, "text"),
        ("/tokenize", {"text": 1}, "text"),
        ("/tokenize", {"text": "x", "prompt": "x"}, "prompt"),
        ("/tokenize", {"text": "x" * (MAX_TEXT + 1)}, str(MAX_TEXT)),
        ("/detokenize", {"tokens": [99_999_999]}, "99999999"),
        ("/detokenize", {"tokens": [-1]}, "-1"),
        ("/detokenize", {"tokens": [2**70]}, ""),
        ("/detokenize", {"tokens": ["x"]}, "tokens"),
        ("/v1/chat/completions/tokens", {"messages": []}, "messages"),
    ],
)
def test_what_cannot_be_honoured_is_a_400_that_names_the_fault(
    http: httpx.Client, path: str, body: dict[str, Any], words: str
) -> None:
    answer = http.post(path, json=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


def test_an_unknown_model_and_a_lone_surrogate_are_refused(http: httpx.Client) -> None:
    assert http.post("/tokenize", json={"model": "missing", "text": "x"}).status_code == 404
    answer = http.post("/tokenize", content=b'{"text": "\\ud800"}')
    assert answer.status_code == 400


def test_the_longest_text_is_taken(http: httpx.Client) -> None:
    assert len(tokenize(http, "𒀀" * MAX_TEXT)["tokens"]) >= MAX_TEXT
    assert len(tokenize(http, "a " * (MAX_TEXT // 2), with_pieces=True)["pieces"]) >= MAX_TEXT // 2


def test_the_answer_is_of_the_documented_shape(http: httpx.Client) -> None:
    for with_pieces in (False, True):
        answer = TokenizeAnswer.model_validate(tokenize(http, "Hello 𒀀", with_pieces=with_pieces), strict=True)
        assert (answer.pieces is not None) is with_pieces


class WideTokenizer(ByteTokenizer):
    """Every character is a token of its own."""

    vocabulary_size = 0x110000

    def encode(self, text: str, *, parse_special: bool, is_beginning: bool = True) -> list[int]:
        return [ord(character) for character in text]

    def token_bytes(self, token: int) -> bytes:
        return chr(token).encode()

    def token_text(self, token: int) -> str:
        return chr(token)


async def test_pieces_of_a_long_text_are_asked_for_a_few_at_a_time_and_only_once() -> None:
    asked: list[tuple[int, ...]] = []

    class Spy(InProcessClient):
        def submit(self, request: Any, sink: Any) -> None:
            if isinstance(request, Describe):
                asked.append(request.tokens)
            super().submit(request, sink)

    client = Spy(
        lambda emit, wake: Engine(
            ScriptedDecoder(lambda tokens: END), WideTokenizer(), max_waiting=4, emit=emit, wake=wake
        ),
        close_backend=lambda: None,
    )
    text = "".join(map(chr, range(0x4E00, 0x9FA6))) * 3
    async with endpoint_over(client) as http:
        answer = (await http.post("/tokenize", json={"text": text, "with_pieces": True})).json()
    assert [piece["text"] for piece in answer["pieces"]] == list(text)
    assert answer["tokens"] == [piece["id"] for piece in answer["pieces"]] == [ord(one) for one in text]
    # The engine goes on with others' answers after each of them.
    assert max(map(len, asked)) <= 2048
    assert sum(map(len, asked)) == len(set(text))
