"""The OpenAPI document: every status that an endpoint may answer with, and for each endpoint examples that work."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from runtime.api.errors import LIBRETRANSLATES_PATHS, is_anthropics
from runtime.api.examples import EXAMPLES, PARAMETERS
from runtime.api.schemas.common import ErrorBody
from runtime.api.schemas.libretranslate import DetectRequest, LibreErrorBody, LibreTranslateRequest
from runtime.api.schemas.message_events import AnthropicErrorBody

_SCHEMAS = "#/components/schemas/"
# What every request may get, and what one may get that names a model or anything else that might not be there.
_ALWAYS = {
    400: "The request cannot be honoured as it stands; the error names the field at fault.",
    500: "The server, or the model, failed.",
}
_BEHIND_KEYS = {
    401: "The server has keys, and the request carries none of them.",
    429: "Too many requests wait, or are in flight for this client; `Retry-After` says when to try again.",
}
_OF_THINGS = {404: "There is no model, no adapter or no kept answer of that name."}
_OF_BODIES = {
    413: "The body is over the server's limit.",
    503: "The model cannot be loaded now, or its process died; `Retry-After` says when to try again.",
}
_OPEN_PATH = "/health"


class DocumentedApp(FastAPI):
    """A FastAPI application whose document is complete."""

    def openapi(self) -> dict[str, Any]:
        """The document, made when it is first asked for."""
        if self.openapi_schema is None:
            document = super().openapi()
            _, others = models_json_schema(
                [
                    *((kind, "serialization") for kind in (ErrorBody, AnthropicErrorBody, LibreErrorBody)),
                    *((kind, "validation") for kind in (LibreTranslateRequest, DetectRequest)),
                ],
                ref_template=_SCHEMAS + "{model}",
            )
            schemas = document["components"]["schemas"]
            schemas.update(others["$defs"])
            for path, methods in document["paths"].items():
                for operation in methods.values():
                    _complete(path, operation, schemas)
            # FastAPI's own shape of a fault in a body, which nobody gets here.
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
        return self.openapi_schema or {}


def json_body(kind: type[BaseModel]) -> dict[str, Any]:
    """What the document says of the body of an operation that reads it itself."""
    schema = {"schema": {"$ref": f"{_SCHEMAS}{kind.__name__}"}}
    return {"requestBody": {"required": True, "content": {"application/json": schema}}}


def _complete(path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Add what FastAPI does not know of an operation."""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    responses = operation["responses"]
    responses.pop("422", None)
    told = _ALWAYS | ({} if path == _OPEN_PATH else _BEHIND_KEYS)
    if body is not None or "parameters" in operation:
        told |= _OF_THINGS
    if body is not None:
        told |= _OF_BODIES
    kind = LibreErrorBody if path in LIBRETRANSLATES_PATHS else ErrorBody
    name = (AnthropicErrorBody if is_anthropics(path) else kind).__name__
    for status, description in told.items():
        schema = {"schema": {"$ref": _SCHEMAS + name}}
        responses[str(status)] = {"description": description, "content": {"application/json": schema}}
    for parameter in operation.get("parameters", ()):
        parameter["description"], parameter["example"] = PARAMETERS[parameter["name"]]
    if body is not None:
        body["examples"] = {summary: {"summary": summary, "value": value} for summary, value in EXAMPLES[path].items()}
        fields = schemas[body["schema"]["$ref"].removeprefix(_SCHEMAS)]["properties"]
        if "stream" in fields:
            responses["200"]["content"]["text/event-stream"] = {}
