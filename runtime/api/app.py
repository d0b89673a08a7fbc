"""The HTTP application: routes, limits, keys and errors put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from runtime.api import chat, completions, errors, metrics, models, page
from runtime.api.auth import RefuseForeignHosts, RequireApiKey
from runtime.api.limits import LimitBody
from runtime.api.metrics import CountRequests, Metrics
from runtime.config import ServerConfig
from runtime.engine.pool import ModelPool


def create_app(pool: ModelPool, config: ServerConfig, api_keys: tuple[str, ...] = ()) -> FastAPI:
    """The endpoint over `pool`'s models; with `api_keys`, only for requests that carry one of them."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await pool.close()

    app = FastAPI(
        title="demotic", summary="Small language models in every language, on this machine.", lifespan=lifespan
    )
    app.state.pool = pool
    app.state.metrics = Metrics(pool)
    app.include_router(chat.router)
    app.include_router(completions.router)
    app.include_router(models.router)
    app.include_router(page.router)
    app.include_router(metrics.router)
    errors.install(app)
    app.add_middleware(LimitBody, max_bytes=config.max_body_bytes)
    if api_keys:
        # Outside of it, so that nobody without a key makes the server read a body.
        app.add_middleware(RequireApiKey, keys=api_keys)
    else:
        app.add_middleware(RefuseForeignHosts)
    # Outermost, so that what the others refuse is counted as well.
    app.add_middleware(CountRequests, metrics=app.state.metrics)
    return app
