"""`/v1/models` and `/health`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from runtime.api.schemas.models import Health, HealthStatus, ModelBody, ModelList
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


@router.get("/health", responses={503: {"model": Health}})
async def health(http: Request, response: Response) -> Health:
    """Whether a request would be answered, and what has become of each model; needs no key."""
    pool: ModelPool = http.app.state.pool
    states = pool.states()
    there = set(states.values())
    if "ready" in there:
        status: HealthStatus = "ok"
    elif "loading" in there:
        status = "loading"
    else:
        status = "ok" if "unloaded" in there else "failed"
    if status == "failed":
        response.status_code = 503
    return Health(status=status, models=states)


def _body(name: str, pool: ModelPool) -> ModelBody:
    return ModelBody(id=name, created=pool.started, owned_by="demotic")
