"""Shapes of `/v1/rerank`, which are Jina's and Cohere's, and of `/v1/score` and `/v1/classify`, which are vLLM's."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from runtime.api.schemas.common import refusal
from runtime.api.schemas.encoding import MAX_INPUTS, EncodingRequest, EncodingUsage, WindowedRequest

_Texts = Annotated[list[str], Field(min_length=1, max_length=MAX_INPUTS)]


class DocumentBody(BaseModel):
    """A document as an object."""

    model_config = ConfigDict(strict=True)

    text: str = Field(description="The document's text.")


class RerankRequest(EncodingRequest):
    """Body of a request to rank documents."""

    query: str = Field(min_length=1, description="What is searched.", examples=["Where does the cat sit?"])
    documents: list[str | DocumentBody] = Field(
        min_length=1, max_length=MAX_INPUTS, description="What is ordered: texts, or objects with a text."
    )
    top_n: int | None = Field(None, ge=1, description="Answer with so many of the most relevant.")
    return_documents: bool = Field(False, description="Let each result have its document.")
    instruction: str | None = Field(None, description="What the search is for, to models that want to know.")

    @property
    def texts(self) -> list[str]:
        """The documents' texts."""
        return [document if isinstance(document, str) else document.text for document in self.documents]


class RerankResult(BaseModel):
    """A document's place in the request, and how relevant it is, 0 to 1 (-1 to 1 where vectors are compared)."""

    index: int
    relevance_score: float
    document: DocumentBody | None = None


class Ranking(BaseModel):
    """The documents, the most relevant first."""

    id: str
    model: str
    results: list[RerankResult]
    usage: EncodingUsage


class ScoreRequest(EncodingRequest):
    """Body of a request to score pairs: one text against several, or each against the one in its place."""

    text_1: str | _Texts = Field(description="A text, such as a query, or as many as in `text_2`.")
    text_2: str | _Texts = Field(description="What is scored against it.")
    instruction: str | None = Field(None, description="What the search is for, to models that want to know.")

    @model_validator(mode="after")
    def _pairs_are_whole(self) -> ScoreRequest:
        if isinstance(self.text_1, list) and (isinstance(self.text_2, str) or len(self.text_1) != len(self.text_2)):
            raise refusal("text_2", f"must be a list of {len(self.text_1)} texts, as 'text_1' is")
        return self

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """What is scored against what."""
        seconds = [self.text_2] if isinstance(self.text_2, str) else self.text_2
        firsts = [self.text_1] * len(seconds) if isinstance(self.text_1, str) else self.text_1
        return list(zip(firsts, seconds, strict=True))


class Score(BaseModel):
    """How well the pair at `index` fits."""

    object: Literal["score"] = "score"
    index: int
    score: float


class ScoreList(BaseModel):
    """The scores of all pairs, in their order."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    data: list[Score]
    usage: EncodingUsage


class ClassifyRequest(WindowedRequest):
    """Body of a request to classify texts."""

    input: str | _Texts = Field(description="A text, or several.")

    @property
    def texts(self) -> list[str]:
        """The texts one by one."""
        return [self.input] if isinstance(self.input, str) else self.input


class Classification(BaseModel):
    """The likeliest label of the text at `index`, and the probabilities of all, in the order of the model's labels.

    Of a regression or a reward model the numbers are its values, and no probabilities.
    """

    index: int
    label: str
    probs: list[float]
    num_classes: int


class ClassificationList(BaseModel):
    """The classes of all texts, in their order, and the model's labels."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    labels: list[str]
    data: list[Classification]
    usage: EncodingUsage
