"""`/v1/models` and `/health`."""

from __future__ import annotations

from fastapi import APIRouter, Request

from runtime.api.schemas.models import ModelBody, ModelList
from runtime.engine.pool import ModelPool
from runtime.errors import ModelNotFound

router = APIRouter(tags=["models"])


@router.get("/v1/models")
async def list_models(http: Request) -> ModelList:
    """The models that this server serves."""
    pool: ModelPool = http.app.state.pool
    return ModelList(data=[_body(name, pool) for name in pool.names])


@router.get("/v1/models/{name:path}")
async def get_model(name: str, http: Request) -> ModelBody:
    """One served model."""
    pool: ModelPool = http.app.state.pool
    if name not in pool.names:
        raise ModelNotFound(name, nearest=pool.nearest(name))
    return _body(name, pool)


@router.get("/health")
async def health() -> dict[str, str]:
    """Whether the server answers; needs no key."""
    return {"status": "ok"}


def _body(name: str, pool: ModelPool) -> ModelBody:
    return ModelBody(id=name, created=pool.started, owned_by="demotic")
