"""Shapes of LibreTranslate's API (https://docs.libretranslate.com)."""

from __future__ import annotations

from pydantic import BaseModel, Field, field_validator

from runtime.api.schemas.searching import SearchFields
from runtime.api.schemas.translate import MAX_TEXTS
from runtime.translation.segments import Format


class LibreTranslateRequest(BaseModel):
    """Body of `/translate`."""

    q: str | list[str] = Field(description="What is translated: a text, or several.", examples=["Добър ден."])
    source: str = Field(description="The language of the text; `auto` finds out.", examples=["auto"])
    target: str = Field(description="The language to translate to.", examples=["en"])
    format: Format = Field("text", description="`html`: tags are kept, and texts have entities.")
    alternatives: int = Field(0, ge=0, le=15, description="How many translations besides the best.")
    api_key: str = Field("", description="Not read: a server with keys wants one in a header.")

    @field_validator("q")
    @classmethod
    def _not_too_many(cls, q: str | list[str]) -> str | list[str]:
        if isinstance(q, list) and len(q) > MAX_TEXTS:
            raise ValueError(f"may hold at most {MAX_TEXTS} texts")
        return q

    @property
    def texts(self) -> list[str]:
        """The texts, however they were sent."""
        return [self.q] if isinstance(self.q, str) else self.q

    @property
    def search(self) -> SearchFields:
        """As the checkpoint says: the API has no word for it."""
        return SearchFields.model_validate({})


class DetectRequest(BaseModel):
    """Body of `/detect`."""

    q: str = Field(description="The text.", examples=["Добър ден."])
    api_key: str = Field("", description="Not read.")


class DetectedLanguage(BaseModel):
    """A language, and how sure it is: from 0 to 100."""

    confidence: float
    language: str


class LibreTranslation(BaseModel):
    """Answer of `/translate`; lists where several texts were sent."""

    translatedText: str | list[str]  # noqa: N815  # LibreTranslate's name
    detectedLanguage: DetectedLanguage | list[DetectedLanguage] | None = None  # noqa: N815  # as above
    alternatives: list[str] | list[list[str]] | None = None


class LibreLanguage(BaseModel):
    """A language, and what texts in it are translated to."""

    code: str
    name: str
    targets: list[str]


class LibreErrorBody(BaseModel):
    """LibreTranslate's error: one sentence."""

    error: str
