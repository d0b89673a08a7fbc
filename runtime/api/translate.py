"""`/v1/translate`: texts from one language to another."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from runtime.api.schemas.translate import (
    DetectedBody,
    TranslateRequest,
    TranslationBody,
    TranslationChunk,
    Translations,
    TranslationText,
    TranslationUsage,
)
from runtime.api.streaming import sse_response
from runtime.api.translating import Asked, Document, Told, documents_of, translate, translator_name, translator_of
from runtime.engine.pool import ModelPool

router = APIRouter(tags=["translation"])


@router.post("/v1/translate", response_model=Translations)
async def create_translation(body: TranslateRequest, http: Request) -> Response:
    """Translate texts, sentence by sentence."""
    pool: ModelPool = http.app.state.pool
    async with pool.hold(await translator_name(pool, body.model)) as (model, _):
        asked = Asked(
            source=body.source,
            target=body.target,
            search=body,
            sampling=body.sampling(dict(translator_of(model).settings.generation)),
            num_answers=body.n,
            max_tokens=body.max_tokens,
            form=body.format,
            is_split=body.split,
            prefix=body.prefix,
            words=body.prompt,
            constraint=body.constraint(),
        )
        documents = await documents_of(model, body.texts, asked)
        told = translate(model, documents, asked, http)
        answer = Folded(body.model or model.name, documents)
        if body.stream:
            return await sse_response(_chunks(answer, told), wants_usage=True, headers=body.response_headers)
        async with aclosing(told):
            async for each in told:
                answer.take(each)
    return JSONResponse(answer.whole(body.n).model_dump(mode="json"), headers=body.response_headers)


@dataclass
class Folded:
    """The pieces of all documents, put together as they come."""

    model: str
    documents: Sequence[Document]
    id: str = field(default_factory=lambda: f"mt-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))
    told: dict[int, list[Told]] = field(default_factory=dict)

    def take(self, told: Told) -> None:
        """Note what became of the next piece."""
        self.told.setdefault(told.document, []).append(told)

    @property
    def usage(self) -> TranslationUsage:
        """Token counts so far."""
        told = [each for pieces in self.told.values() for each in pieces]
        read, written = sum(each.prompt_tokens for each in told), sum(each.completion_tokens for each in told)
        return TranslationUsage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)

    def texts(self, document: int, num_answers: int) -> list[TranslationText]:
        """Whole translations of a document, the best first: the n-th of each piece, or the last of one with fewer."""
        pieces = self.told.get(document, [])
        most = max((len(each.texts) for each in pieces if not each.is_kept), default=1)
        found = []
        for rank in range(min(num_answers, most)):
            chosen = [each.texts[min(rank, len(each.texts) - 1)] for each in pieces]
            scores = [score for _, score in chosen if score is not None]
            text = "".join(part for part, _ in chosen)
            found.append(TranslationText(text=text, score=sum(scores) / len(scores) if scores else None))
        return found

    def whole(self, num_answers: int) -> Translations:
        """The answer in one object."""
        bodies = []
        for index, document in enumerate(self.documents):
            first, *others = self.texts(index, num_answers)
            bodies.append(
                TranslationBody(
                    index=index,
                    text=first.text,
                    score=first.score,
                    source=None if document.source is None else str(document.source),
                    target=str(document.target),
                    detected=detected_of(document),
                    alternatives=others,
                )
            )
        return Translations(id=self.id, created=self.created, model=self.model, translations=bodies, usage=self.usage)


def detected_of(document: Document) -> DetectedBody | None:
    """What was found out of a document's language, where that was asked for."""
    detection = document.detection
    if detection is None or detection.language is None:
        return None
    return DetectedBody(language=str(detection.language), confidence=round(detection.confidence, 3))


async def _chunks(answer: Folded, told: AsyncGenerator[Told]) -> AsyncGenerator[TranslationChunk]:
    """Each sentence as it comes, with what is kept before it."""

    def chunk(index: int, text: str) -> TranslationChunk:
        document = answer.documents[index]
        return TranslationChunk(
            id=answer.id,
            created=answer.created,
            model=answer.model,
            index=index,
            text=text,
            source=None if document.source is None else str(document.source),
            target=str(document.target),
        )

    kept, last = "", 0
    async with aclosing(told):
        async for each in told:
            answer.take(each)
            if each.document != last:
                if kept:
                    yield chunk(last, kept)
                kept, last = "", each.document
            kept += each.texts[0][0]
            if not each.is_kept:
                yield chunk(last, kept)
                kept = ""
    if kept:
        yield chunk(last, kept)
    yield TranslationChunk(id=answer.id, created=answer.created, model=answer.model, usage=answer.usage)
