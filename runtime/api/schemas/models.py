"""Shapes of `/v1/models`, of loading and unloading, and of `/health`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from runtime.engine.served import ModelState

HealthStatus = Literal["ok", "loading", "failed"]


class ModelDetails(BaseModel):
    """What OpenAI's shape has no place for. Languages are ISO 639-3 with the script's ISO 15924 code."""

    status: ModelState
    progress: float | None = Field(description="While it is loading, how much is loaded, from 0 to 1; else null.")
    device: str | None = Field(description="What computes it, such as `cpu` or `cuda`; null while it is not loaded.")
    capabilities: list[str] = Field(
        description="What it was made for: chat, completion; embedding, rerank, score, classify, token-classify, "
        "fill-mask."
    )
    languages: list[str] = Field(description="Those that bundle or catalogue name; empty where nothing is known.")
    license: str | None
    context_length: int | None = Field(description="Tokens a request may hold; null while it is not loaded.")
    trained_context_length: int | None = Field(description="Null where the model sets no limit.")
    quantization: str
    size_bytes: int
    adapters: list[str]
    base: str | None = Field(description="The model that a bundle changes; null where it is no bundle.")
    shares: str | None = Field(
        description="The served model in whose process it is, so that it takes no memory but its adapter's; else null."
    )


class ModelBody(BaseModel):
    """A served model, or one of its adapters, whose `parent` is that model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    parent: str | None = None
    demotic: ModelDetails


class ModelList(BaseModel):
    """All served models."""

    object: Literal["list"] = "list"
    data: list[ModelBody]


class LoadRequest(BaseModel):
    """Which model to load."""

    model_config = ConfigDict(strict=True, extra="forbid")

    model: str = Field(description="A served model's name, or MODEL:ADAPTER.")


class UnloadRequest(LoadRequest):
    """Which model to unload; `force` ends the requests that it has."""

    force: bool = Field(False, description="End the requests that it has with an error.")


class Health(BaseModel):
    """What has become of each model.

    "ok": one is ready, or would be loaded for a request. "loading": none is ready yet. "failed": all of them died or
    could not be loaded; the next request tries again.
    """

    status: HealthStatus
    models: dict[str, ModelState]
