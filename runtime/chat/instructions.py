"""The prompts of embedding models and rerankers that are told what a search is for."""

from __future__ import annotations

from runtime.engine.messages import Framed
from runtime.errors import InvalidRequest
from runtime.models.encoding import Encoding

# https://huggingface.co/Qwen/Qwen3-Reranker-0.6B, "Transformers Usage".
DEFAULT_INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
_JUDGE = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
_ANSWER = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


def embedding_prompt(architecture: str, encoding: Encoding | None, instruction: str, text: str) -> str:
    """A query with its instruction, as the decoders that became embedding models were trained with.

    Qwen3-Embedding has no space after "Query:" (https://huggingface.co/Qwen/Qwen3-Embedding-0.6B, "Usage"); E5-Mistral
    and GTE-Qwen2 have one (https://huggingface.co/intfloat/e5-mistral-7b-instruct).

    Raises:
        InvalidRequest: the model knows no such instructions.
    """
    if encoding is None or encoding.pooling != "last":
        raise InvalidRequest(
            "This model was not trained with instructions of this form.",
            remedy="Leave 'instruction' out, and put what its card tells to before the text itself, such as 'query: '.",
            param="instruction",
        )
    space = "" if architecture == "qwen3" else " "
    return f"Instruct: {instruction}\nQuery:{space}{text}"


def yes_no_prompt(query: str, document: str, instruction: str | None = None) -> Framed:
    """The question of Qwen3-Reranker, to be answered with "yes" or "no"."""
    text = f"<Instruct>: {instruction or DEFAULT_INSTRUCTION}\n<Query>: {query}\n<Document>: {document}"
    return Framed(_JUDGE, text, _ANSWER)
