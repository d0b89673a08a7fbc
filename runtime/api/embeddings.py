"""`/v1/embeddings`: the vectors of texts."""

from __future__ import annotations

import base64

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from runtime.api.encoding import encode, wrong_model
from runtime.api.schemas.embeddings import Embedding, EmbeddingList, EmbeddingRequest
from runtime.api.schemas.encoding import EncodingUsage
from runtime.engine.pool import ModelPool

router = APIRouter(tags=["vectors and scores"])


@router.post("/v1/embeddings", response_model=EmbeddingList)
async def create_embeddings(body: EmbeddingRequest, http: Request) -> Response:
    """Give the vectors of texts, each of length 1."""
    pool: ModelPool = http.app.state.pool
    async with pool.hold(body.model) as (model, _):
        encoding = model.card.encoding
        if encoding is None or not encoding.gives_vectors:
            raise wrong_model(model, "/v1/embeddings needs an embedding model")
        inputs = body.inputs
        if body.instruction is not None:
            inputs = [model.card.instruct(body.instruction, text) for text in inputs if isinstance(text, str)]
        rows = await encode(model, inputs, http, param="input", overflow=body.overflow, dimensions=body.dimensions)
    is_text = body.encoding_format == "base64"
    answer = EmbeddingList(
        data=[
            Embedding(index=index, embedding=base64.b64encode(row.tobytes()).decode() if is_text else row.tolist())
            for index, row in enumerate(rows.values)
        ],
        model=body.model or model.name,
        usage=EncodingUsage.of(rows.num_tokens),
    )
    return JSONResponse(answer.model_dump(mode="json"), headers=body.response_headers)
