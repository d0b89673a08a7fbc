"""Shapes of `/v1/models` and `/health`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from runtime.engine.pool import ModelState

HealthStatus = Literal["ok", "loading", "failed"]


class ModelBody(BaseModel):
    """A served model, or one of its adapters, whose `parent` is that model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    parent: str | None = None


class ModelList(BaseModel):
    """All served models."""

    object: Literal["list"] = "list"
    data: list[ModelBody]


class Health(BaseModel):
    """What has become of each model.

    "ok": one is ready, or would be loaded for a request. "loading": none is ready yet. "failed": all of them died or
    could not be loaded; the next request tries again.
    """

    status: HealthStatus
    models: dict[str, ModelState]
