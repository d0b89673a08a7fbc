"""`/v1/rerank` and `/v1/score`: how well texts fit a query; `/v1/classify`: which label fits a text."""

from __future__ import annotations

import time
import uuid

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from runtime.api.encoding import encode, wrong_model
from runtime.api.relevance import judge_pairs
from runtime.api.schemas.encoding import EncodingUsage
from runtime.api.schemas.rerank import (
    Classification,
    ClassificationList,
    ClassifyRequest,
    DocumentBody,
    Ranking,
    RerankRequest,
    RerankResult,
    Score,
    ScoreList,
    ScoreRequest,
)
from runtime.backends.base import Vectors
from runtime.engine.pool import ModelPool
from runtime.models.encoding import Encoding

router = APIRouter(tags=["vectors and scores"])


@router.post("/v1/rerank", response_model=Ranking)
async def rerank(body: RerankRequest, http: Request) -> Response:
    """Order documents by how well they answer a query."""
    pool: ModelPool = http.app.state.pool
    texts = body.texts
    async with pool.hold(body.model) as (model, adapter):
        relevance = await judge_pairs(
            model,
            [(body.query, text) for text in texts],
            http,
            instruction=body.instruction,
            overflow=body.overflow,
            adapter=adapter,
            param="documents",
        )
    order = sorted(range(len(texts)), key=lambda index: -relevance.scores[index])
    answer = Ranking(
        id=f"rerank-{uuid.uuid4().hex}",
        model=body.model or model.name,
        results=[
            RerankResult(
                index=index,
                relevance_score=relevance.scores[index],
                document=DocumentBody(text=texts[index]) if body.return_documents else None,
            )
            for index in order[: body.top_n]
        ],
        usage=EncodingUsage.of(relevance.num_tokens),
    )
    return JSONResponse(answer.model_dump(mode="json", exclude_none=True), headers=body.response_headers)


@router.post("/v1/score", response_model=ScoreList)
async def score(body: ScoreRequest, http: Request) -> Response:
    """Tell how well each pair of texts fits."""
    pool: ModelPool = http.app.state.pool
    async with pool.hold(body.model) as (model, adapter):
        relevance = await judge_pairs(
            model,
            body.pairs,
            http,
            instruction=body.instruction,
            overflow=body.overflow,
            adapter=adapter,
            param="text_2",
        )
    answer = ScoreList(
        id=f"score-{uuid.uuid4().hex}",
        created=int(time.time()),
        model=body.model or model.name,
        data=[Score(index=index, score=value) for index, value in enumerate(relevance.scores)],
        usage=EncodingUsage.of(relevance.num_tokens),
    )
    return JSONResponse(answer.model_dump(mode="json"), headers=body.response_headers)


@router.post("/v1/classify", response_model=ClassificationList)
async def classify(body: ClassifyRequest, http: Request) -> Response:
    """Tell which of the model's labels fits each text."""
    pool: ModelPool = http.app.state.pool
    async with pool.hold(body.model) as (model, _):
        encoding = model.card.encoding
        if encoding is None or not encoding.is_classifier:
            raise wrong_model(model, "/v1/classify needs a classifier")
        rows = await encode(model, body.texts, http, param="input", overflow=body.overflow)
    answer = ClassificationList(
        id=f"classify-{uuid.uuid4().hex}",
        created=int(time.time()),
        model=body.model or model.name,
        labels=list(encoding.labels),
        data=[
            Classification(
                index=index,
                label=encoding.labels[int(probabilities.argmax())],
                probs=probabilities.tolist(),
                num_classes=len(probabilities),
            )
            for index, probabilities in enumerate(_probabilities(rows.values, encoding))
        ],
        usage=EncodingUsage.of(rows.num_tokens),
    )
    return JSONResponse(answer.model_dump(mode="json"), headers=body.response_headers)


def _probabilities(scores: Vectors, encoding: Encoding) -> npt.NDArray[np.float64]:
    """What the scores of a head mean, shape (texts, labels), as transformers' text-classification pipeline has it.

    Labels that exclude each other add up to 1; of several that may all hold, and of a single one, each has its own
    probability; a regression and a reward are no probabilities, and stay as they are.
    """
    values = scores.astype(np.float64)
    if encoding.head == "reward" or encoding.problem == "regression":
        return values
    if encoding.problem == "multi_label_classification" or values.shape[1] == 1:
        return np.asarray(np.exp(-np.logaddexp(0, -values)))
    weights = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
