"""Every error as OpenAI's error object, or Anthropic's: one table, and the handlers that use it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.api.request_id import request_id_of
from runtime.errors import (
    AdapterNotFound,
    Cancelled,
    CardFailed,
    ContextOverflow,
    DemoticError,
    DownloadFailed,
    InferenceFailed,
    InvalidRequest,
    ModelBusy,
    ModelFileInvalid,
    ModelLoadFailed,
    ModelNotFound,
    NoRoomForModel,
    PreviousResponseNotFound,
    QueueFull,
    RequestTooLarge,
    ResponseNotFound,
    ToolServerFailed,
    TooManyRequests,
    Unauthorized,
    UnknownLanguage,
    UnsupportedArchitecture,
    UnsupportedLanguages,
    WorkerDied,
)

_log = logging.getLogger("demotic.api")

# class -> HTTP status, OpenAI's `type`, OpenAI's `code`; the first base class found in it counts.
TABLE: dict[type[DemoticError], tuple[int, str, str | None]] = {
    ContextOverflow: (400, "invalid_request_error", "context_length_exceeded"),
    PreviousResponseNotFound: (400, "invalid_request_error", "previous_response_not_found"),
    RequestTooLarge: (413, "invalid_request_error", "request_too_large"),
    UnknownLanguage: (400, "invalid_request_error", "unknown_language"),
    UnsupportedLanguages: (400, "invalid_request_error", "unsupported_language"),
    InvalidRequest: (400, "invalid_request_error", None),
    Unauthorized: (401, "authentication_error", "invalid_api_key"),
    ModelNotFound: (404, "invalid_request_error", "model_not_found"),
    AdapterNotFound: (404, "invalid_request_error", "adapter_not_found"),
    ResponseNotFound: (404, "invalid_request_error", "response_not_found"),
    QueueFull: (429, "rate_limit_error", "queue_full"),
    TooManyRequests: (429, "rate_limit_error", "too_many_requests"),
    ModelBusy: (409, "invalid_request_error", "model_busy"),
    NoRoomForModel: (503, "server_error", "no_room_for_model"),
    WorkerDied: (503, "server_error", "worker_died"),
    Cancelled: (499, "invalid_request_error", "cancelled"),
    ModelFileInvalid: (500, "server_error", "model_file_invalid"),
    CardFailed: (503, "server_error", "card_failed"),
    ModelLoadFailed: (500, "server_error", "model_load_failed"),
    UnsupportedArchitecture: (500, "server_error", "unsupported_architecture"),
    ToolServerFailed: (502, "server_error", "tool_server_failed"),
    DownloadFailed: (502, "server_error", "download_failed"),
    InferenceFailed: (500, "server_error", "inference_failed"),
    DemoticError: (500, "server_error", None),
}

_ANTHROPICS_PATH = "/v1/messages/"
# Those of LibreTranslate's API, whose errors are one sentence.
LIBRETRANSLATES_PATHS = frozenset({"/translate", "/detect", "/languages"})
# HTTP status -> Anthropic's `type`; others below 500 are invalid_request_error, and from 500 on api_error.
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def error_body(error: DemoticError) -> dict[str, Any]:
    """OpenAI's error object for `error`."""
    _, kind, code = _row(error)
    return {
        "error": {"message": str(error), "type": kind, "param": getattr(error, "param", None), "code": code},
    }


def anthropic_error(error: DemoticError) -> dict[str, Any]:
    """Anthropic's error object for `error`."""
    return _in_anthropics_shape(str(error), _row(error)[0])


class ErrorResponse(JSONResponse):
    """HTTP answer with OpenAI's error object, or in the shape of another API whose path was asked."""

    def __init__(self, body: dict[str, Any], status: int, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(body, status, headers)
        self._message = body["error"]["message"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer in the shape of the path."""
        if is_anthropics(scope["path"]):
            self.body = self.render(_in_anthropics_shape(self._message, self.status_code))
            self.headers["content-length"] = str(len(self.body))
        elif scope["path"] in LIBRETRANSLATES_PATHS:
            self.body = self.render({"error": self._message})
            self.headers["content-length"] = str(len(self.body))
        await super().__call__(scope, receive, send)


def is_anthropics(path: str) -> bool:
    """Whether a path is of Anthropic's API."""
    return f"{path}/".startswith(_ANTHROPICS_PATH)


def error_response(error: DemoticError) -> ErrorResponse:
    """HTTP answer for `error`."""
    retry_after = getattr(error, "retry_after", None)
    headers = None if retry_after is None else {"Retry-After": str(retry_after)}
    return ErrorResponse(error_body(error), _row(error)[0], headers)


def install(app: FastAPI) -> None:
    """Let every fault of a request leave `app` as an error object."""

    async def on_known(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, DemoticError)  # noqa: S101  # what this handler is registered for
        return error_response(error)

    async def on_invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101  # what this handler is registered for
        kind = request.headers.get("content-type", "")
        if "json" not in kind:
            # Not only tidiness: a page in a browser may send any other type here without being asked for permission.
            message = f"The body's type is '{kind}'."
            return error_response(InvalidRequest(message, remedy="Send 'Content-Type: application/json'."))
        return error_response(from_validation(error))

    async def on_http(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101  # what this handler is registered for
        body = {"message": f"{error.detail}.", "type": "invalid_request_error", "param": None, "code": None}
        return ErrorResponse({"error": body}, error.status_code, error.headers)

    app.add_exception_handler(DemoticError, on_known)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)


class AnswerFaults:
    """ASGI middleware that answers a fault of our own with a 500, inside those that add headers to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, and answer it if nothing else does."""
        has_begun = False

        async def watch(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception:
            if scope["type"] != "http" or has_begun:
                raise
            _log.exception("the request %s failed", request_id_of(scope))
            await error_response(DemoticError("The server failed; its log says more."))(scope, receive, send)


def from_validation(fault: RequestValidationError) -> InvalidRequest:
    """The first thing pydantic found wrong, as one sentence that names the field."""
    faults = fault.errors()
    # A union tells why each of its members failed; the one that got furthest is the one that was meant.
    first = max((one for one in faults if one["loc"][:2] == faults[0]["loc"][:2]), key=lambda one: len(one["loc"]))
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", "it does not parse")
        return InvalidRequest(f"The body is not JSON: {reason}.")
    place = [part for part in first["loc"] if part != "body"]
    if first["type"] == "missing" and not place:
        return InvalidRequest("The body is empty.", remedy="Send a JSON object.")
    # A union names its members in the path ("stop", "list[str]", 0); only the field's own name helps the caller.
    steps = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in place if _is_name(part)]
    param = "".join(steps).lstrip(".")
    param = param or first.get("ctx", {}).get("param", "")
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    return InvalidRequest(f"{param or 'The body'}: {message}.", param=param or None)


def _is_name(part: int | str) -> bool:
    return isinstance(part, int) or (part.isidentifier() and part not in {"str", "int", "float", "bool"})


def _in_anthropics_shape(message: str, status: int) -> dict[str, Any]:
    kind = _ANTHROPIC_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": message}}


def _row(error: DemoticError) -> tuple[int, str, str | None]:
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    return TABLE[DemoticError]
