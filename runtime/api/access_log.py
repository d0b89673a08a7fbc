"""The access log: one JSON line a request, without what was asked unless that is wanted."""

from __future__ import annotations

import json
import logging
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.api.request_id import request_id_of
from runtime.errors import ConfigurationInvalid

_log = logging.getLogger("demotic.api")

STANDARD_ERROR = "-"
_STANDARD_ERROR_FD = 2
# Most of a body that goes into the log, in bytes, and of a path, in characters.
MAX_BODY = 64 * 1024
_MAX_PATH = 1024
# What proxies note for a client that left before it was answered.
_CLIENT_LEFT = 499


class AccessLog:
    """Where the lines go. Use it as a context manager, or `close` it."""

    def __init__(self, target: str, *, log_prompts: bool = False) -> None:
        """Open the file `target` for appending, "-" is standard error; with `log_prompts` the bodies are logged too.

        A new file can be read by its owner only; one that is there keeps its mode.

        Raises:
            ConfigurationInvalid: the file cannot be written.
        """
        self.log_prompts = log_prompts
        self._has_failed = False
        try:
            self._fd = (
                os.dup(_STANDARD_ERROR_FD)
                if target == STANDARD_ERROR
                else os.open(Path(target), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            )
        except OSError as fault:
            raise ConfigurationInvalid(f"The access log {target} cannot be written: {fault.strerror}.") from fault

    def write(self, record: dict[str, Any]) -> None:
        """Append one line, in one write, so that lines of several servers do not mix."""
        try:
            os.write(self._fd, json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
            self._has_failed = False
        except OSError as fault:
            # A full disk must not cost the requests their answers; it is told of once, not with each of them.
            if not self._has_failed:
                _log.warning("the access log cannot be written: %s", fault.strerror)
            self._has_failed = True

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class LogAccess:
    """ASGI middleware that writes a line for each request when its answer has ended."""

    def __init__(self, app: ASGIApp, log: AccessLog) -> None:
        self._app = app
        self._access_log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, and note what became of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        arrived, started = datetime.now(UTC), time.perf_counter()
        status, num_bytes, body = _CLIENT_LEFT, 0, bytearray()

        async def count(message: Message) -> None:
            nonlocal status, num_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
            num_bytes += len(message.get("body", b""))
            await send(message)

        async def read() -> Message:
            message = await receive()
            body.extend(message.get("body", b"")[: MAX_BODY - len(body)])
            return message

        try:
            await self._app(scope, read if self._access_log.log_prompts else receive, count)
        finally:
            record = {
                "time": arrived.isoformat(timespec="milliseconds"),
                "id": request_id_of(scope),
                "client": scope["client"][0] if scope.get("client") else None,
                "method": scope["method"],
                "path": scope["path"][:_MAX_PATH],
                "status": status,
                "seconds": round(time.perf_counter() - started, 6),
                "bytes": num_bytes,
            }
            if self._access_log.log_prompts:
                record["body"] = body.decode("utf-8", "replace")
            self._access_log.write(record)
