"""API keys: everything but `/health` needs one, where the server has any."""

from __future__ import annotations

import hmac

from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.api.errors import error_response
from runtime.errors import Unauthorized

_PUBLIC_PATHS = frozenset({"/health"})


class RequireApiKey:
    """ASGI middleware that lets a request through when it carries `Authorization: Bearer KEY` with a known key."""

    def __init__(self, app: ASGIApp, keys: tuple[str, ...]) -> None:
        self._app = app
        self._keys = tuple(key.encode() for key in keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, or let the request through."""
        if scope["type"] != "http" or scope["path"] in _PUBLIC_PATHS or self._is_known(dict(scope["headers"])):
            await self._app(scope, receive, send)
            return
        error = Unauthorized(
            "The request carries no valid API key.", remedy="Send the header 'Authorization: Bearer KEY'."
        )
        await error_response(error)(scope, receive, send)

    def _is_known(self, headers: dict[bytes, bytes]) -> bool:
        scheme, _, sent = headers.get(b"authorization", b"").strip().partition(b" ")
        # Every key is compared, each in constant time, so that timing tells nothing about any of them.
        matches = [hmac.compare_digest(sent.strip(), known) for known in self._keys]
        return scheme.lower() == b"bearer" and any(matches)
