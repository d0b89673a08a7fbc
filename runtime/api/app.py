"""The HTTP application: routes, limits, keys and errors put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from runtime.api import chat, completions, errors, messages, models, responses
from runtime.api.auth import RefuseForeignHosts, RequireApiKey
from runtime.api.limits import LimitBody
from runtime.api.stored import ResponseStore
from runtime.config import ServerConfig, cache_dir
from runtime.engine.pool import ModelPool


def create_app(pool: ModelPool, config: ServerConfig, api_keys: tuple[str, ...] = ()) -> FastAPI:
    """The endpoint over `pool`'s models; with `api_keys`, only for requests that carry one of them."""

    store = None
    if config.max_stored_bytes:
        store = ResponseStore(cache_dir() / "responses.sqlite3", config.max_stored_bytes)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await pool.close()
        if store is not None:
            store.close()

    app = FastAPI(
        title="demotic", summary="Small language models in every language, on this machine.", lifespan=lifespan
    )
    app.state.pool = pool
    app.state.store = store
    app.state.has_keys = bool(api_keys)
    app.include_router(chat.router)
    app.include_router(completions.router)
    app.include_router(messages.router)
    app.include_router(models.router)
    app.include_router(responses.router)
    errors.install(app)
    app.add_middleware(LimitBody, max_bytes=config.max_body_bytes)
    if api_keys:
        # Outermost, so that nobody without a key makes the server read a body.
        app.add_middleware(RequireApiKey, keys=api_keys)
    else:
        app.add_middleware(RefuseForeignHosts)
    return app
