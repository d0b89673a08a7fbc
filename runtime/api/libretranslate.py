"""`/translate`, `/detect` and `/languages` in the shape of LibreTranslate's API, so that its clients work as they are.

Bodies are JSON or forms, and languages are called by two letters where they have them. `api_key` in a body says nothing
here: a server with keys wants one in a header, as everywhere (docs/api.md). Source: https://docs.libretranslate.com.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError

from runtime.api.document import json_body
from runtime.api.schemas.libretranslate import (
    DetectedLanguage,
    DetectRequest,
    LibreLanguage,
    LibreTranslateRequest,
    LibreTranslation,
)
from runtime.api.translate import Folded
from runtime.api.translating import Asked, documents_of, translate, translator_name, translator_of
from runtime.engine.pool import ModelPool
from runtime.engine.sampling import SamplingParams
from runtime.errors import InvalidRequest
from runtime.language.codes import all_languages, english_name, short_code
from runtime.language.detect import Detection, detect
from runtime.language.lock import AUTO

router = APIRouter(tags=["LibreTranslate"])

_FORM = "application/x-www-form-urlencoded"


@router.post("/translate", response_model=LibreTranslation, openapi_extra=json_body(LibreTranslateRequest))
async def libre_translate(http: Request) -> Response:
    """Translate a text, or several."""
    body = LibreTranslateRequest.model_validate(_checked(LibreTranslateRequest, await _sent(http)))
    pool: ModelPool = http.app.state.pool
    async with pool.hold(await translator_name(pool, None)) as (model, _):
        told = dict(translator_of(model).settings.generation)
        asked = Asked(
            source=body.source,
            target=body.target,
            search=body.search,
            sampling=SamplingParams(temperature=0.0, repetition_penalty=told.get("repetition_penalty") or 1.0),
            num_answers=1 + body.alternatives,
            form=body.format,
        )
        documents = await documents_of(model, body.texts, asked)
        answer = Folded(model.name, documents)
        async for each in translate(model, documents, asked, http):
            answer.take(each)
    texts = [answer.texts(index, asked.num_answers) for index in range(len(documents))]
    found = [_detected(document.detection) for document in documents if document.detection is not None]
    many = isinstance(body.q, list)
    others = [[each.text for each in ranked[1:]] for ranked in texts]
    sent: dict[str, Any] = {"translatedText": [ranked[0].text for ranked in texts] if many else texts[0][0].text}
    if body.source.casefold() == AUTO:
        sent["detectedLanguage"] = found if many else found[0]
    if body.alternatives:
        sent["alternatives"] = others if many else others[0]
    return JSONResponse(LibreTranslation(**sent).model_dump(mode="json", exclude_none=True))


@router.post("/detect", openapi_extra=json_body(DetectRequest))
async def libre_detect(http: Request) -> list[DetectedLanguage]:
    """Tell which languages a text is in, the likeliest first."""
    body = DetectRequest.model_validate(_checked(DetectRequest, await _sent(http)))
    found = await asyncio.to_thread(detect, body.q)
    return [
        DetectedLanguage(language=short_code(part.language), confidence=_percent(part.confidence))
        for part in found.parts
    ]


@router.get("/languages")
@router.post("/languages", include_in_schema=False)
async def libre_languages(http: Request) -> list[LibreLanguage]:
    """The languages that the first served translator knows, and what each is translated to."""
    pool: ModelPool = http.app.state.pool
    card = await pool.card(await translator_name(pool, None))
    if card.translator is None:
        raise InvalidRequest("No model that is served here translates.", param="model")
    every = tuple(all_languages()) if card.translator.is_told_in_words else ()
    targets = card.translator.targets or every
    sources = card.translator.sources or targets
    names = [short_code(target) for target in targets]
    return [LibreLanguage(code=short_code(one), name=english_name(one), targets=names) for one in sources]


def _detected(detection: Detection) -> DetectedLanguage:
    if detection.language is None:
        return DetectedLanguage(language="en", confidence=0)
    return DetectedLanguage(language=short_code(detection.language), confidence=_percent(detection.confidence))


def _percent(confidence: float) -> float:
    return round(100 * confidence, 1)


async def _sent(http: Request) -> dict[str, Any]:
    """The fields of a body, which is JSON or a form.

    Raises:
        InvalidRequest: it is neither, or a form that a page of another site sent.
    """
    kind = http.headers.get("content-type", "").partition(";")[0].strip().lower()
    data = await http.body()
    if kind == _FORM or not data:
        if "origin" in http.headers and data:
            # A page may send a form anywhere without being asked for permission; JSON it may not.
            raise InvalidRequest("A page in a browser sent a form.", remedy="Send 'Content-Type: application/json'.")
        return _of_form(parse_qsl(data.decode("utf-8", "replace"), keep_blank_values=True))
    if kind != "application/json":
        raise InvalidRequest(f"The body's type is '{kind}'.", remedy="Send 'Content-Type: application/json'.")
    try:
        found = json.loads(data)
    except ValueError as fault:
        raise InvalidRequest(f"The body is not JSON: {fault}.") from fault
    if not isinstance(found, dict):
        raise InvalidRequest("The body is no JSON object.")
    return found


def _of_form(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    sent: dict[str, Any] = dict(pairs)
    if sum(name == "q" for name, _ in pairs) > 1:
        sent["q"] = [value for name, value in pairs if name == "q"]
    return sent


def _checked(kind: type[LibreTranslateRequest | DetectRequest], sent: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        kind.model_validate(sent)
    except ValidationError as fault:
        raise RequestValidationError(fault.errors()) from fault
    return sent
