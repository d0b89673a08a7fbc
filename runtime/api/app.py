"""The HTTP application: routes, limits, keys and errors put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from runtime.api import (
    chat,
    completions,
    embeddings,
    errors,
    kept,
    libretranslate,
    messages,
    metrics,
    models,
    page,
    rerank,
    responses,
    token_labels,
    tokens,
    translate,
)
from runtime.api.access_log import AccessLog, LogAccess
from runtime.api.auth import RefuseForeignHosts, RequireApiKey
from runtime.api.document import DocumentedApp
from runtime.api.limits import LimitBody, LimitClients
from runtime.api.metrics import CountRequests, Metrics
from runtime.api.request_id import IdentifyRequests
from runtime.api.stored import ResponseStore
from runtime.api.tool_runs import ServerTools
from runtime.config import ServerConfig, cache_dir
from runtime.engine.pool import ModelPool
from runtime.language.route import Routes

# What a web page may read of an answer beside its body.
_EXPOSED_HEADERS = ("retry-after", "x-demotic-ignored", "x-demotic-language", "x-demotic-model", "x-request-id")


def create_app(
    pool: ModelPool,
    config: ServerConfig,
    api_keys: tuple[str, ...] = (),
    access_log: AccessLog | None = None,
    routes: Routes | None = None,
    tools: ServerTools | None = None,
) -> FastAPI:
    """The endpoint over `pool`'s models; with `api_keys`, only for requests that carry one of them.

    What became of each request goes into `access_log`. `routes` choose a model by the language, and `tools` are run for
    requests that ask for that.
    """

    store = None
    if config.max_stored_bytes:
        store = ResponseStore(cache_dir() / "responses.sqlite3", config.max_stored_bytes)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await pool.close()
        if store is not None:
            store.close()

    app = DocumentedApp(
        title="demotic",
        summary="Small language models in every language, on this machine.",
        # FastAPI's own pages fetch their scripts from elsewhere; `page` has one that does not.
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.pool = pool
    app.state.routes = routes
    app.state.metrics = Metrics(pool)
    app.state.store = store
    app.state.tools = tools
    app.state.has_keys = bool(api_keys)
    texts = (chat, completions, responses, kept, messages, translate, libretranslate)
    for part in (*texts, embeddings, rerank, token_labels, tokens, models, metrics, page):
        app.include_router(part.router)
    errors.install(app)
    app.add_middleware(LimitBody, max_bytes=config.max_body_bytes)
    # From here on each stands outside those before it: nobody without a key, or with too much in flight already, makes
    # the server read a body.
    if config.max_requests_per_client is not None:
        app.add_middleware(LimitClients, limit=config.max_requests_per_client, has_keys=bool(api_keys))
    if api_keys:
        app.add_middleware(RequireApiKey, keys=api_keys)
    elif not config.is_open:
        app.add_middleware(RefuseForeignHosts)
    # Outside of these, so that what they refuse is counted as well.
    app.add_middleware(CountRequests, metrics=app.state.metrics)
    app.add_middleware(errors.AnswerFaults)
    if config.cors_origins:
        # Outside of the keys: a browser asks for permission without one, and reads an error only with these headers.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=config.cors_origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("*",),
            expose_headers=_EXPOSED_HEADERS,
        )
    if access_log is not None:
        app.add_middleware(LogAccess, log=access_log)
    app.add_middleware(IdentifyRequests)
    return app
