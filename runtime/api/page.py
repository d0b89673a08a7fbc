"""`/`: a page for people, which shows what the server does and how to connect a client."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

router = APIRouter()

# Everything the page needs is in it, and it asks nobody but this server.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"


@router.get("/", include_in_schema=False)
async def status_page() -> HTMLResponse:
    """The page; it holds no figures, which it asks for with the reader's key."""
    headers = {
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return HTMLResponse(_source(), headers=headers)


@cache
def _source() -> str:
    return files("runtime.api").joinpath("status.html").read_text(encoding="utf-8")
