"""A bound on the size of a request's body."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.api.errors import error_response
from runtime.errors import RequestTooLarge

# A refused body is read to its end and thrown away, so that the client gets the answer and not a broken connection;
# past this many times the limit it is cut off.
_DRAIN_FACTOR = 8


class LimitBody:
    """ASGI middleware that reads the body first, and answers 413 itself when it is over `max_bytes`."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413, or let the request through with its body read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        parts: list[bytes] = []
        size, is_complete = 0, False
        while not is_complete and size <= self._max_bytes * _DRAIN_FACTOR:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message.get("body", b""))
            if size <= self._max_bytes:
                parts.append(message.get("body", b""))
            is_complete = not message.get("more_body", False)
        if size > self._max_bytes:
            error = RequestTooLarge(f"The body is larger than the limit of {self._max_bytes} bytes.")
            response = error_response(error)
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        await self._app(scope, _replay(b"".join(parts), receive), send)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `body` first, then whatever comes after it: the client's leaving."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay
