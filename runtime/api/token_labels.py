"""`/v1/token-classify`: the entities in texts; `/v1/fill-mask`: the words that are hidden in them."""

from __future__ import annotations

import time
import uuid

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from runtime.api.encoding import fill_masks, find_entities, wrong_model
from runtime.api.schemas.encoding import EncodingUsage
from runtime.api.schemas.token_labels import (
    EntityBody,
    EntityList,
    FillBody,
    FillList,
    FillMaskRequest,
    TextEntities,
    TextFills,
    TokenClassifyRequest,
)
from runtime.engine.messages import FillMask, LabelTokens
from runtime.engine.pool import ModelPool

router = APIRouter(tags=["vectors and scores"])


@router.post("/v1/token-classify", response_model=EntityList)
async def classify_tokens(body: TokenClassifyRequest, http: Request) -> Response:
    """Find names, parts of speech, or whatever the model labels, in texts."""
    pool: ModelPool = http.app.state.pool
    async with pool.hold(body.model) as (model, _):
        encoding = model.card.encoding
        if encoding is None or encoding.head != "token-classify":
            raise wrong_model(model, "/v1/token-classify needs a model that labels tokens")
        request = LabelTokens(
            f"tags-{uuid.uuid4().hex}",
            body.texts,
            body.aggregation_strategy,
            tuple(body.ignore_labels),
            body.overflow,
        )
        found = await find_entities(model, request, http)
    answer = EntityList(
        id=request.request_id,
        created=int(time.time()),
        model=body.model or model.name,
        labels=list(encoding.labels),
        data=[
            TextEntities(
                index=part.index,
                entities=[
                    EntityBody(label=one.label, score=one.score, start=one.start, end=one.end, word=one.text)
                    for one in part.entities
                ],
            )
            for part in found.parts
        ],
        usage=EncodingUsage.of(found.num_tokens),
    )
    return JSONResponse(answer.model_dump(mode="json"), headers=body.response_headers)


@router.post("/v1/fill-mask", response_model=FillList)
async def fill_mask(body: FillMaskRequest, http: Request) -> Response:
    """Guess the words that are hidden in texts."""
    pool: ModelPool = http.app.state.pool
    async with pool.hold(body.model) as (model, _):
        encoding = model.card.encoding
        if encoding is None or encoding.head != "fill-mask":
            raise wrong_model(model, "/v1/fill-mask needs a model that guesses hidden words")
        targets = None if body.targets is None else tuple(body.targets)
        request = FillMask(f"fill-{uuid.uuid4().hex}", body.texts, body.top_k, targets, body.truncate)
        found = await fill_masks(model, request, http)
    answer = FillList(
        id=request.request_id,
        created=int(time.time()),
        model=body.model or model.name,
        data=[
            TextFills(
                index=part.index,
                masks=[
                    [
                        FillBody(token=one.token, score=one.score, token_str=one.text, sequence=one.sequence)
                        for one in mask
                    ]
                    for mask in part.masks
                ],
            )
            for part in found.parts
        ],
        usage=EncodingUsage.of(found.num_tokens),
    )
    return JSONResponse(answer.model_dump(mode="json"), headers=body.response_headers)
