"""How well pairs of texts fit, by whatever kind of model can tell: a cross-encoder, a judge, or vectors compared.

A judge is asked whether a document fits a query, and its score is the share of "yes": P(yes) / (P(yes) + P(no)). A
reranker that was made a GGUF as such has a head for these two words alone; another decoder is asked for the
probabilities of the two tokens.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from fastapi import Request

from runtime.api.encoding import encode, tokenize, wrong_model
from runtime.api.streaming import generate_all
from runtime.chat.instructions import yes_no_prompt
from runtime.engine.messages import Delta, Finished, Framed, Generate, Overflow, Pair
from runtime.engine.sampling import SamplingParams
from runtime.errors import ContextOverflow, InferenceFailed, InvalidRequest
from runtime.model import Model

# As much as a request may ask for: a judge says "yes" or "no", whatever else it would rather say.
_BIAS = 100.0


@dataclass(frozen=True)
class Relevance:
    """A score for each pair, and how many tokens were read.

    Scores are 0 to 1; those of vectors are cosines, -1 to 1; rewards and regressions are as the head gives them.
    """

    scores: list[float]
    num_tokens: int


async def judge_pairs(
    model: Model,
    pairs: Sequence[tuple[str, str]],
    http: Request,
    *,
    instruction: str | None,
    overflow: Overflow,
    adapter: str | None = None,
    param: str,
) -> Relevance:
    """The relevance of the second text of each pair for the first; errors call the second texts `param`.

    Raises:
        DemoticError: the model cannot tell, or a pair is too long.
    """
    encoding = model.card.encoding
    if encoding is None:
        return await _ask_judge(model, pairs, http, instruction, overflow, adapter, param)
    if encoding.gives_vectors:
        return await _compare(model, pairs, http, instruction, overflow, param)
    if encoding.is_judge:
        prompts = [yes_no_prompt(query, document, instruction) for query, document in pairs]
        rows = await encode(model, prompts, http, param=param, overflow=overflow)
        yes = encoding.labels.index("yes") if "yes" in encoding.labels else 0
        return Relevance(rows.values[:, yes].tolist(), rows.num_tokens)
    if len(encoding.labels) > 1 or not encoding.gives_scores:
        raise wrong_model(model, "it does not judge pairs of texts")
    if encoding.has_segments:
        raise InvalidRequest(
            f"{model.name} was trained to tell the two texts apart by their token types, which llama.cpp leaves out: "
            "its scores would be wrong.",
            remedy="Choose a cross-encoder over XLM-RoBERTa, such as bge-reranker-v2-m3.",
            param="model",
        )
    if instruction is not None:
        raise InvalidRequest(f"{model.name} is a cross-encoder and takes no instruction.", param="instruction")
    rows = await encode(
        model, [Pair(query, document) for query, document in pairs], http, param=param, overflow=overflow
    )
    scores = rows.values[:, 0].tolist()
    is_bounded = encoding.head != "reward" and encoding.problem != "regression"
    return Relevance([_sigmoid(score) for score in scores] if is_bounded else scores, rows.num_tokens)


async def _compare(
    model: Model,
    pairs: Sequence[tuple[str, str]],
    http: Request,
    instruction: str | None,
    overflow: Overflow,
    param: str,
) -> Relevance:
    """Cosines of vectors. Each text is encoded once; an instruction goes before the first ones."""
    queries = list(dict.fromkeys(query for query, _ in pairs))
    asked = queries if instruction is None else [model.card.instruct(instruction, query) for query in queries]
    firsts = await encode(model, asked, http, param="query", overflow=overflow)
    seconds = await encode(model, [document for _, document in pairs], http, param=param, overflow=overflow)
    places = [queries.index(query) for query, _ in pairs]
    cosines = np.einsum("nw,nw->n", firsts.values[places], seconds.values)
    return Relevance(cosines.tolist(), firsts.num_tokens + seconds.num_tokens)


async def _ask_judge(
    model: Model,
    pairs: Sequence[tuple[str, str]],
    http: Request,
    instruction: str | None,
    overflow: Overflow,
    adapter: str | None,
    param: str,
) -> Relevance:
    yes, no = await _answers(model)
    prompts = []
    for index, (query, document) in enumerate(pairs):
        prompts.append(await _prompt(model, yes_no_prompt(query, document, instruction), overflow, f"{param}[{index}]"))
    requests = [
        Generate(
            request_id=f"judge-{uuid.uuid4().hex}",
            prompt=prompt,
            sampling=SamplingParams(temperature=0.0, logit_bias={yes: _BIAS, no: _BIAS}),
            max_tokens=1,
            adapter=adapter,
            logprobs=0,
            logprob_tokens=(yes, no),
        )
        for prompt in prompts
    ]
    scores = [math.nan] * len(pairs)
    num_tokens = 0
    # No more at a time than run at a time: the queue is for others, too.
    for start in range(0, len(requests), model.plan.max_sequences):
        batch = requests[start : start + model.plan.max_sequences]
        async for index, event in generate_all(model.client, batch, http):
            if isinstance(event, Delta) and event.logprobs:
                said_yes, said_no = event.logprobs[0].top
                scores[start + index] = _sigmoid(said_yes.logprob - said_no.logprob)
            elif isinstance(event, Finished):
                num_tokens += event.usage.prompt_tokens
    if any(math.isnan(score) for score in scores):
        raise InferenceFailed("The answer was cut off before its end.")
    return Relevance(scores, num_tokens)


async def _answers(model: Model) -> tuple[int, int]:
    """The tokens of "yes" and "no", of a model that knows the control tokens of the judge's prompt.

    Raises:
        InvalidRequest: it does not know them, or the words are no tokens of it.
    """
    control = [await tokenize(model.client, name, parse_special=True) for name in ("<|im_start|>", "<|im_end|>")]
    words = [await tokenize(model.client, word) for word in ("yes", "no")]
    if any(len(tokens) != 1 for tokens in (*control, *words)):
        raise wrong_model(model, "and it does not know the prompt of rerankers such as Qwen3-Reranker")
    return words[0][0], words[1][0]


async def _prompt(model: Model, framed: Framed, overflow: Overflow, name: str) -> tuple[int, ...]:
    before, after = [await tokenize(model.client, text, parse_special=True) for text in (framed.before, framed.after)]
    text = await tokenize(model.client, framed.text)
    room = model.client.context_length - len(before) - len(after) - 1
    if len(text) > room and (overflow == "error" or room < 1):
        num_tokens = len(before) + len(text) + len(after) + 1
        raise ContextOverflow(num_tokens=num_tokens, context_length=model.client.context_length, param=name)
    return (*before, *text[:room], *after)


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))
