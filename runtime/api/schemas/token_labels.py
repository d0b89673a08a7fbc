"""Shapes of `/v1/token-classify` and `/v1/fill-mask`; their words are those of transformers' pipelines."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from runtime.api.schemas.encoding import MAX_INPUTS, EncodingRequest, EncodingUsage, WindowedRequest
from runtime.engine.messages import Aggregation

_Texts = Annotated[list[str], Field(min_length=1, max_length=MAX_INPUTS)]


class TokenClassifyRequest(WindowedRequest):
    """Body of a request for the entities in texts."""

    input: str | _Texts = Field(description="A text, or several.")
    aggregation_strategy: Aggregation = Field(
        "simple",
        description="How tokens become entities: `none` tells of each token, `simple` joins neighbours of one label; "
        "`first`, `average` and `max` let each word have one label before.",
    )
    ignore_labels: list[str] = Field(default=["O"], max_length=100, description="Labels that are not told of.")

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts one by one."""
        return (self.input,) if isinstance(self.input, str) else tuple(self.input)


class EntityBody(BaseModel):
    """A part of the text with a label; `start` and `end` count its characters (code points), `end` is the one after."""

    label: str
    score: float
    start: int
    end: int
    word: str


class TextEntities(BaseModel):
    """The entities of the text at `index`, in their order."""

    index: int
    entities: list[EntityBody]


class EntityList(BaseModel):
    """The entities of all texts, and the labels that the model gives tokens."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    labels: list[str]
    data: list[TextEntities]
    usage: EncodingUsage


class FillMaskRequest(EncodingRequest):
    """Body of a request for hidden words."""

    input: str | _Texts = Field(
        description="A text, or several, each with one or more masks: the model's own mask token, `[MASK]` or `<mask>`."
    )
    top_k: int = Field(5, ge=1, le=1000, description="Answer with so many of the likeliest tokens for each mask.")
    targets: Annotated[list[str], Field(min_length=1, max_length=1000)] | None = Field(
        None, description="Choose among these tokens alone."
    )

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts one by one."""
        return (self.input,) if isinstance(self.input, str) else tuple(self.input)


class FillBody(BaseModel):
    """A token in the place of a mask: its id, its probability, its text, and the text with it there."""

    token: int
    score: float
    token_str: str
    sequence: str


class TextFills(BaseModel):
    """For each mask of the text at `index` its tokens, the likeliest first."""

    index: int
    masks: list[list[FillBody]]


class FillList(BaseModel):
    """The tokens for the masks of all texts."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    data: list[TextFills]
    usage: EncodingUsage
