"""Who may ask: holders of a key, where the server has any; else programs on this machine, and no web page."""

from __future__ import annotations

import hmac
import ipaddress

from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.api.errors import error_response
from runtime.api.page import key_page
from runtime.errors import InvalidRequest, Unauthorized

PUBLIC_PATHS = frozenset({"/health"})


class RequireApiKey:
    """ASGI middleware that lets a request through when it carries a known key.

    It may come as `Authorization: Bearer KEY` or, as Anthropic's clients send it, as `x-api-key: KEY`. A browser cannot
    send either by itself, and gets a page that asks for the key.
    """

    def __init__(self, app: ASGIApp, keys: tuple[str, ...]) -> None:
        self._app = app
        self._keys = tuple(key.encode() for key in keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, or let the request through."""
        headers = dict(scope["headers"]) if scope["type"] == "http" else {}
        if scope["type"] != "http" or scope["path"] in PUBLIC_PATHS or self._is_known(headers):
            await self._app(scope, receive, send)
            return
        if scope["method"] == "GET" and b"text/html" in headers.get(b"accept", b"") and not sent_key(headers):
            await key_page()(scope, receive, send)
            return
        error = Unauthorized(
            "The request carries no valid API key.", remedy="Send the header 'Authorization: Bearer KEY'."
        )
        await error_response(error)(scope, receive, send)

    def _is_known(self, headers: dict[bytes, bytes]) -> bool:
        sent = sent_key(headers)
        # Every key is compared, each in constant time, so that timing tells nothing about any of them.
        matches = [hmac.compare_digest(sent, known) for known in self._keys]
        return any(matches)


def sent_key(headers: dict[bytes, bytes]) -> bytes:
    """The key of an `Authorization: Bearer KEY`, else of an `x-api-key`; empty where there is neither."""
    scheme, _, key = headers.get(b"authorization", b"").strip().partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"").strip()


class RefuseForeignHosts:
    """ASGI middleware that lets a request through when it was sent to `localhost` or to a bare IP address.

    A web page can point a name of its own at 127.0.0.1 and then talk to a server here as if it were the page's own
    (DNS rebinding). It cannot do so without its name in the `Host` header.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 400, or let the request through."""
        host = dict(scope["headers"]).get(b"host", b"localhost").decode("latin-1") if scope["type"] == "http" else ""
        if scope["type"] == "http" and not _is_local(host):
            message = f"The request was sent to the host '{host}', which is no name of this server."
            error = InvalidRequest(message, remedy="Use localhost or an IP address, or start the server with a key.")
            await error_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_local(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    name = name.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
