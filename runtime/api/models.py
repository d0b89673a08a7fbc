"""`/v1/models` and `/health`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from runtime.api.schemas.models import Health, HealthStatus, ModelBody, ModelList
from runtime.engine.pool import ModelPool
from runtime.errors import AdapterNotFound, ModelNotFound

router = APIRouter(tags=["models"])


@router.get("/v1/models")
async def list_models(http: Request) -> ModelList:
    """The models that this server serves, each followed by its adapters."""
    pool: ModelPool = http.app.state.pool
    return ModelList(data=[body for name in pool.names for body in _bodies(name, pool)])


@router.get("/v1/models/{name:path}")
async def get_model(name: str, http: Request) -> ModelBody:
    """One served model, or one of its adapters."""
    pool: ModelPool = http.app.state.pool
    model, _ = pool.split(name)
    if model not in pool.names:
        raise ModelNotFound(name, nearest=pool.nearest(name))
    for body in _bodies(model, pool):
        if body.id == name:
            return body
    raise AdapterNotFound(name.removeprefix(f"{model}:"), known=pool.adapters(model))


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


def _bodies(name: str, pool: ModelPool) -> list[ModelBody]:
    model = ModelBody(id=name, created=pool.started, owned_by="demotic")
    return [
        model,
        *(model.model_copy(update={"id": f"{name}:{adapter}", "parent": name}) for adapter in pool.adapters(name)),
    ]
