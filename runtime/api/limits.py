"""Bounds on what one request and one client may take: the size of a body, and requests at the same time."""

from __future__ import annotations

from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.api.auth import PUBLIC_PATHS, sent_key
from runtime.api.errors import error_response
from runtime.errors import RequestTooLarge, TooManyRequests

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


class LimitClients:
    """ASGI middleware that answers 429 itself where a client has `limit` requests in flight already.

    With `has_keys` a client is whoever sends the same key, which `RequireApiKey` outside of this one has checked; else
    whoever has the same address.
    """

    def __init__(self, app: ASGIApp, limit: int, *, has_keys: bool) -> None:
        self._app = app
        self._limit = limit
        self._has_keys = has_keys
        self._in_flight: Counter[bytes | str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 429, or let the request through and count it until its answer has ended."""
        if scope["type"] != "http" or scope["path"] in PUBLIC_PATHS:
            await self._app(scope, receive, send)
            return
        client = self._client_of(scope)
        if self._in_flight[client] >= self._limit:
            await error_response(TooManyRequests(limit=self._limit))(scope, receive, send)
            return
        self._in_flight[client] += 1
        is_open = True

        def leave() -> None:
            nonlocal is_open
            self._in_flight[client] -= is_open
            is_open = False
            if not self._in_flight[client]:
                del self._in_flight[client]

        async def watch(message: Message) -> None:
            # Before the last piece goes out: who has it may ask again at once.
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                leave()
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            leave()

    def _client_of(self, scope: Scope) -> bytes | str:
        if self._has_keys:
            return sent_key(dict(scope["headers"]))
        return str(scope["client"][0]) if scope.get("client") else ""
