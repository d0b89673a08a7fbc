"""Shapes of `/v1/translate`."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from runtime.api.schemas.common import STREAM, Number, ignored_header, refusal
from runtime.api.schemas.searching import SearchFields
from runtime.engine.constraints import Constraint
from runtime.engine.sampling import SamplingParams
from runtime.language.lock import AUTO
from runtime.translation.segments import Format

MAX_TEXTS = 256
MAX_CHARS = 1_000_000


class TranslateRequest(SearchFields):
    """Body of a translation. Languages are named in any usual way: bg, bg_BG, bul_Cyrl, Bulgarian, български."""

    model_config = ConfigDict(strict=True, extra="allow")

    model: str | None = Field(None, description="A served model's name; without it, the first one that translates.")
    text: str | list[str] = Field(description="What is translated: a text, or several.", examples=["Добър ден."])
    source: str = Field(AUTO, description="The language of the texts; `auto` finds out.", examples=["bg"])
    target: str | None = Field(
        None, description="The language to translate to; a model that knows one only needs none.", examples=["en"]
    )
    format: Format = Field("text", description="`html`: tags are kept, and texts have entities.")
    n: int = Field(1, ge=1, le=16, description="How many translations of each text, the best first.")
    split: bool = Field(True, description="Translate sentence by sentence; line breaks and marks of lists are kept.")
    prefix: str = Field("", description="What the translation of each text begins with.")
    prompt: str | None = Field(None, description="Words before the text, for models that are told in words.")
    allowed_strings: list[str] | None = Field(None, description="The texts of which a translation must be one.")
    max_tokens: int | None = Field(None, ge=1, description="Longest translation of a sentence, in tokens.")
    temperature: Number | None = Field(None, ge=0, le=2, description="Above 0: draw translations by chance.")
    top_k: int = Field(0, ge=0, description="Draw among the k likeliest tokens; 0: all.")
    top_p: Number = Field(1.0, ge=0, le=1, description="Draw among the tokens that have this share together.")
    repetition_penalty: Number | None = Field(
        None, gt=0, le=1000, description="Above 1: make tokens that the translation has less likely."
    )
    seed: int | None = Field(None, ge=0, le=2**63, description="The same seed draws the same translation again.")
    stream: bool = Field(False, description=STREAM)

    @model_validator(mode="after")
    def _check_texts(self) -> TranslateRequest:
        if len(self.texts) > MAX_TEXTS:
            raise refusal("text", f"may hold at most {MAX_TEXTS} texts")
        if sum(map(len, self.texts)) > MAX_CHARS:
            raise refusal("text", f"may have at most {MAX_CHARS} characters in all")
        if self.temperature and (self.num_beams or 1) > 1:
            raise refusal("temperature", "goes without 'num_beams': beams are not drawn by chance")
        if self.n > max(self.num_beams or self.n, 1):
            raise refusal("n", "may be at most 'num_beams'")
        return self

    @property
    def texts(self) -> list[str]:
        """The texts, however they were sent."""
        return [self.text] if isinstance(self.text, str) else self.text

    @property
    def response_headers(self) -> dict[str, str]:
        """Headers of the answer: the names of the fields that this server does not know."""
        return ignored_header(self.model_extra or {})

    def sampling(self, told: dict[str, Any]) -> SamplingParams:
        """How tokens are chosen; `told` is what the checkpoint says."""
        penalty = self.repetition_penalty or told.get("repetition_penalty") or 1.0
        return SamplingParams(
            temperature=self.temperature or 0.0,
            top_k=self.top_k,
            top_p=self.top_p,
            repetition_penalty=penalty,
            seed=self.seed,
        )

    def constraint(self) -> Constraint | None:
        """What a translation must be, if anything."""
        if not self.allowed_strings:
            return None
        texts = json.dumps(self.allowed_strings, ensure_ascii=False)
        return Constraint("choice", texts, param="allowed_strings")


class DetectedBody(BaseModel):
    """The language that a text was found to be in, and how sure that is, from 0 to 1."""

    language: str
    confidence: float


class TranslationText(BaseModel):
    """One translation of a text; `score` is the mean of its sentences' where they were searched for."""

    text: str
    score: float | None = None


class TranslationBody(BaseModel):
    """The translation of one text; `alternatives` are the next best ones."""

    index: int
    text: str
    score: float | None = None
    source: str | None
    target: str
    detected: DetectedBody | None = None
    alternatives: list[TranslationText] = []


class TranslationUsage(BaseModel):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Translations(BaseModel):
    """Answer of `/v1/translate`."""

    id: str
    object: Literal["translation"] = "translation"
    created: int
    model: str
    translations: list[TranslationBody]
    usage: TranslationUsage


class TranslationChunk(BaseModel):
    """A server-sent event: the next sentence of a text, with what stands before it; the last has the token counts."""

    id: str
    object: Literal["translation.chunk"] = "translation.chunk"
    created: int
    model: str
    index: int = 0
    text: str = ""
    source: str | None = None
    target: str | None = None
    usage: TranslationUsage | None = None
