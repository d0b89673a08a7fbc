"""Pages for people: `/`, which shows what the server does, `/docs`, and the one that asks for a key."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

router = APIRouter()

# Everything a page needs is in it, and it asks nobody but this server.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; connect-src 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@router.get("/", include_in_schema=False)
async def status_page() -> HTMLResponse:
    """The page; it holds no figures, which it asks the server for."""
    return HTMLResponse(_source("status.html"), headers=_HEADERS)


@router.get("/docs", include_in_schema=False)
async def docs_page() -> HTMLResponse:
    """The API's document, to read and to try: Swagger UI, which asks this server for `/openapi.json`."""
    return HTMLResponse(_docs(), headers=_HEADERS)


def key_page() -> HTMLResponse:
    """What a browser gets that asks for a path without a key: a page that asks for one, and then for the path."""
    return HTMLResponse(_source("key.html"), 401, headers=_HEADERS)


@cache
def _docs() -> str:
    page = _source("docs.html")
    for slot, name in (("{{ style }}", "swagger-ui.css"), ("{{ script }}", "swagger-ui-bundle.js")):
        page = page.replace(slot, files("fastapi_swagger.resources").joinpath(name).read_text(encoding="utf-8"))
    return page


@cache
def _source(name: str) -> str:
    return files("runtime.api").joinpath(name).read_text(encoding="utf-8")
