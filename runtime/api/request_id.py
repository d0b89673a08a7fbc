"""A name for every request, the client's own or a new one, by which it is found again in logs."""

from __future__ import annotations

import re
import uuid

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADER = b"x-request-id"
# Visible ASCII: what can be put into a header and a line of a log as it is.
_SANE = re.compile(rb"[!-~]{1,128}")


class IdentifyRequests:
    """ASGI middleware that puts an id into each request's state, and as `x-request-id` into its answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through with its id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = dict(scope["headers"]).get(_HEADER, b"")
        request_id = sent if _SANE.fullmatch(sent) else uuid.uuid4().hex.encode()
        scope.setdefault("state", {})["request_id"] = request_id.decode()

        async def mark(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (_HEADER, request_id)]
            await send(message)

        await self._app(scope, receive, mark)


def request_id_of(scope: Scope) -> str:
    """The id of a request that came through `IdentifyRequests`."""
    return str(scope["state"]["request_id"])
