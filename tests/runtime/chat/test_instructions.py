"""The prompts of embedding models and rerankers, character for character as their cards have them."""

from __future__ import annotations

import pytest

from runtime.chat.instructions import embedding_prompt, yes_no_prompt
from runtime.errors import InvalidRequest
from runtime.models.encoding import Encoding

TASK = "Given a web search query, retrieve relevant passages that answer the query"
LAST = Encoding("last", is_causal=True)


# https://huggingface.co/Qwen/Qwen3-Embedding-0.6B, "Usage": no space after "Query:".
@pytest.mark.parametrize("query", ["What is the capital of China?", "Explain gravity", "Каква е столицата на Китай?"])
def test_qwen3_embedding_gets_its_queries_as_its_card_writes_them(query: str) -> None:
    assert embedding_prompt("qwen3", LAST, TASK, query) == (
        f"Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:{query}"
    )


# https://huggingface.co/intfloat/e5-mistral-7b-instruct has one.
def test_other_decoders_get_a_space_before_the_query() -> None:
    assert embedding_prompt("llama", LAST, TASK, "a b") == f"Instruct: {TASK}\nQuery: a b"


@pytest.mark.parametrize("encoding", [None, Encoding("mean", is_causal=False), Encoding("cls", is_causal=False)])
def test_models_that_were_not_trained_so_refuse_an_instruction(encoding: Encoding | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        embedding_prompt("bert", encoding, TASK, "a")
    assert caught.value.param == "instruction"


# https://huggingface.co/Qwen/Qwen3-Reranker-0.6B, "Transformers Usage".
def test_qwen3_reranker_is_asked_as_its_card_writes_it() -> None:
    framed = yes_no_prompt("What is the capital of China?", "The capital of China is Beijing.")
    assert framed.before + framed.text + framed.after == (
        "<|im_start|>system\n"
        "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
        'Note that the answer can only be "yes" or "no".<|im_end|>\n'
        "<|im_start|>user\n"
        "<Instruct>: Given a web search query, retrieve relevant passages that answer the query\n"
        "<Query>: What is the capital of China?\n"
        "<Document>: The capital of China is Beijing.<|im_end|>\n"
        "<|im_start|>assistant\n"
        "<think>\n\n</think>\n\n"
    )
    assert yes_no_prompt("a", "b", "Find cats").text == "<Instruct>: Find cats\n<Query>: a\n<Document>: b"
