"""Shapes of `/v1/models`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class ModelBody(BaseModel):
    """A served model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(BaseModel):
    """All served models."""

    object: Literal["list"] = "list"
    data: list[ModelBody]
