"""`/v1/models`, loading and unloading, and `/health`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from runtime.api.schemas.common import ErrorBody
from runtime.api.schemas.models import (
    Health,
    HealthStatus,
    LoadRequest,
    ModelBody,
    ModelDetails,
    ModelList,
    UnloadRequest,
)
from runtime.engine.pool import ModelPool
from runtime.errors import AdapterNotFound, ModelNotFound
from runtime.hardware.choice import device_of

router = APIRouter(tags=["models"])


@router.get("/v1/models")
async def list_models(http: Request) -> ModelList:
    """The models that this server serves, each followed by its adapters."""
    pool: ModelPool = http.app.state.pool
    return ModelList(data=[body for name in pool.names for body in await _bodies(name, pool)])


@router.get("/v1/models/{name:path}")
async def get_model(name: str, http: Request) -> ModelBody:
    """One served model, or one of its adapters."""
    return await _body(name, http.app.state.pool)


@router.post("/v1/models/load")
async def load_model(body: LoadRequest, http: Request) -> ModelBody:
    """Load a model, or an adapter with its model, and answer when it is ready."""
    pool: ModelPool = http.app.state.pool
    await pool.get(*pool.split(body.model))
    return await _body(body.model, pool)


@router.post("/v1/models/unload", responses={409: {"model": ErrorBody}})
async def unload_model(body: UnloadRequest, http: Request) -> ModelBody:
    """Give a model's memory back; the next request for it loads it again."""
    pool: ModelPool = http.app.state.pool
    await pool.unload(body.model, is_forced=body.force)
    return await _body(body.model, pool)


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


async def _body(name: str, pool: ModelPool) -> ModelBody:
    model, _ = pool.split(name)
    if model not in pool.names:
        raise ModelNotFound(name, nearest=pool.nearest(name))
    for body in await _bodies(model, pool):
        if body.id == name:
            return body
    raise AdapterNotFound(name.removeprefix(f"{model}:"), known=pool.adapters(model))


async def _bodies(name: str, pool: ModelPool) -> list[ModelBody]:
    card, loaded, adapters = await pool.card(name), pool.loaded(name), pool.adapters(name)
    details = ModelDetails(
        status=pool.states()[name],
        progress=pool.progress(name),
        device=device_of(loaded.plan) if loaded else None,
        capabilities=list(card.capabilities),
        languages=list(card.file.languages),
        license=card.file.license or card.header.license,
        context_length=loaded.client.context_length if loaded else None,
        trained_context_length=card.header.trained_context_length,
        quantization=card.header.quantization,
        size_bytes=card.header.file_size,
        adapters=list(adapters),
        base=card.bundle.recipe.base.reference if card.bundle is not None else None,
        shares=pool.shares(name),
    )
    model = ModelBody(id=name, created=pool.started, owned_by="demotic", demotic=details)
    return [
        model,
        *(model.model_copy(update={"id": f"{name}:{adapter}", "parent": name}) for adapter in adapters),
    ]
