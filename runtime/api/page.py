"""Pages for people: `/`, which shows what the server does, and the one that asks for a key."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

router = APIRouter()

# Everything a page needs is in it, and it asks nobody but this server.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
# FastAPI's page fetches its scripts from elsewhere, and takes the place of the one that asked for the key.
_DOCS_PATH = "/docs"


@router.get("/", include_in_schema=False)
async def status_page() -> HTMLResponse:
    """The page; it holds no figures, which it asks the server for."""
    return HTMLResponse(_source("status.html"), headers=_HEADERS)


def key_page(path: str) -> HTMLResponse:
    """What a browser gets that asks for `path` without a key: a page that asks for one, and then for the path."""
    return HTMLResponse(_source("key.html"), 401, headers=None if path == _DOCS_PATH else _HEADERS)


@cache
def _source(name: str) -> str:
    return files("runtime.api").joinpath(name).read_text(encoding="utf-8")
