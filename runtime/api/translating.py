"""Texts translated by a model: in pieces, several at a time, and put together again.

No more pieces of one request are in the engine than it computes together: its queue is for others, too. They come back
in any order, and are given out in that of the text.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import msgspec
from fastapi import Request

from runtime.api.encoding import wrong_model
from runtime.api.schemas.searching import SearchFields
from runtime.api.streaming import generate_all
from runtime.engine.constraints import Constraint
from runtime.engine.messages import Delta, Finished, Generate
from runtime.engine.pool import ModelPool
from runtime.engine.sampling import SamplingParams
from runtime.errors import Cancelled, InvalidRequest, QueueFull, UnsupportedLanguages
from runtime.language.codes import Language
from runtime.language.detect import Detection, detect
from runtime.language.lock import AUTO
from runtime.model import Model
from runtime.translation.segments import Format, Piece, pieces_of
from runtime.translation.translator import Framing, Translator, most_tokens, rules_of

# Characters of a piece. A token is a character at least, but for bytes.
_MOST_CHARS = 1000
_MOST_PIECES = 32
_RETRY_SECONDS = 0.2


@dataclass(frozen=True)
class Asked:
    """What all texts of a request have in common: languages as it names them, and how translations are written."""

    source: str
    target: str | None
    search: SearchFields
    sampling: SamplingParams
    num_answers: int = 1
    max_tokens: int | None = None
    form: Format = "text"
    is_split: bool = True
    prefix: str = ""
    words: str | None = None
    constraint: Constraint | None = None


@dataclass(frozen=True)
class Document:
    """One text in pieces, its languages, and how the model is told of them."""

    pieces: list[Piece]
    framing: Framing
    source: Language | None
    target: Language
    detection: Detection | None = None


@dataclass
class Told:
    """The translations of one piece, the best first, each with its score where it was searched for; or what is kept."""

    document: int
    texts: list[tuple[str, float | None]]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    is_kept: bool = False


@dataclass
class _Work:
    document: int
    piece: Piece
    request: Generate
    told: list[tuple[str, float | None]] = field(default_factory=list)
    finished: Finished | None = None

    def begin(self) -> Generate:
        """The request, under a new id, and with nothing told."""
        self.told.clear()
        return msgspec.structs.replace(self.request, request_id=f"mt-{uuid.uuid4().hex}")


async def translator_name(pool: ModelPool, name: str | None) -> str:
    """The served model to translate with: the one asked for, or the first that does nothing but translate.

    Raises:
        InvalidRequest: none is served.
    """
    if name is not None:
        return name
    translators: dict[str, Translator] = {}
    for each in pool.names:
        found = (await pool.card(each)).translator
        if found is not None:
            translators[each] = found
    first = next((each for each, one in translators.items() if one.only_translates), None)
    if not translators:
        raise InvalidRequest(
            "No model that is served here translates.",
            remedy="Serve one, such as NLLB, M2M100, mBART-50, Marian or T5 as ONNX graphs (docs/translation.md).",
            param="model",
        )
    return first or next(iter(translators))


def translator_of(model: Model) -> Translator:
    """How a model is told of languages.

    Raises:
        InvalidRequest: it does not translate.
    """
    translator = model.card.translator
    if translator is None:
        raise wrong_model(model, "/v1/translate needs a translator or a T5 as ONNX graphs")
    return translator


async def documents_of(model: Model, texts: Sequence[str], asked: Asked) -> list[Document]:
    """The texts of a request as documents.

    Raises:
        InvalidRequest: the languages cannot be had, or are not named.
    """
    translator = translator_of(model)
    target = _target(translator, asked.target)
    each = 4 if translator.settings.tokenizer.kind == "bytes" else 2
    most = max(16, min(_MOST_CHARS, model.client.context_length // each))
    documents = []
    for text in texts:
        detection: Detection | None = None
        source: Language | None
        if asked.source.casefold() != AUTO:
            source = translator.source(asked.source)
        else:
            detection = await asyncio.to_thread(detect, text)
            source = _detected(translator, detection)
        if asked.is_split or asked.form == "html":
            pieces = await asyncio.to_thread(pieces_of, text, most=most, form=asked.form)
        else:
            pieces = [Piece(text, is_kept=not text.strip())]
        if source is None and translator.needs_source and any(not piece.is_kept for piece in pieces):
            raise _unknown_source(translator, detection)
        is_told = source is not None or not translator.needs_source
        framing = translator.framing(source, target, asked.words) if is_told else Framing()
        documents.append(Document(pieces, framing, source, target, detection))
    return documents


async def translate(model: Model, documents: Sequence[Document], asked: Asked, http: Request) -> AsyncGenerator[Told]:
    """What becomes of every piece of all documents, in their order.

    Raises:
        DemoticError: a piece cannot be translated.
    """
    settings = translator_of(model).settings
    told = {"num_beams": 1, **settings.generation}
    beams = asked.search.beams_of(asked.num_answers, told) if asked.sampling.temperature == 0 else None
    order: list[_Work | Told] = []
    for index, document in enumerate(documents):
        prefix, framing = asked.prefix, document.framing
        rules = rules_of(settings, len(framing.begin), **asked.search.asked_rules)
        for piece in document.pieces:
            if piece.is_kept:
                order.append(Told(index, [(piece.text, None)], is_kept=True))
                continue
            most = most_tokens(settings, piece.text)
            request = Generate(
                "", framing.prompt(piece.text), asked.sampling,
                max_tokens=asked.max_tokens or min(most, model.client.context_length + 1 - len(framing.begin)),
                begin=framing.begin, prefix=prefix, rules=rules, beams=beams, constraint=asked.constraint,
                param="text",
            )  # fmt: skip
            order.append(_Work(index, piece, request))
            prefix = ""
    works = [each for each in order if isinstance(each, _Work)]
    at = 0
    for start in range(0, len(works), _MOST_PIECES):
        batch = works[start : start + _MOST_PIECES]
        while open_works := [work for work in batch if work.finished is None]:
            requests = [work.begin() for work in open_works]
            try:
                async with aclosing(generate_all(model.client, requests, http)) as events:
                    async for index, event in events:
                        _take(open_works[index], event)
                        while at < len(order) and (done := _done(order[at])) is not None:
                            yield done
                            at += 1
            except QueueFull:
                # Who has begun a document gets all of it; others may have filled the queue meanwhile.
                if start == 0:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)
    for rest in order[at:]:
        if isinstance(rest, Told):
            yield rest


def _take(work: _Work, event: Delta | Finished) -> None:
    if isinstance(event, Finished):
        if event.reason == "cancelled":
            raise Cancelled("The client has gone.")
        work.finished = event
    elif event.found is not None:
        work.told.append((event.text, event.found.score))
    elif work.told:
        work.told[0] = (work.told[0][0] + event.text, None)
    else:
        work.told.append((event.text, None))


def _done(each: _Work | Told) -> Told | None:
    if isinstance(each, Told):
        return each
    if each.finished is None:
        return None
    usage = each.finished.usage
    texts = [(each.piece.written(text), score) for text, score in each.told] or [("", None)]
    return Told(each.document, texts, usage.prompt_tokens, usage.completion_tokens)


def _target(translator: Translator, name: str | None) -> Language:
    if name is not None:
        return translator.target(name)
    if len(translator.targets) == 1:
        return translator.targets[0]
    known = f" It is one of {', '.join(map(str, translator.targets))}." if translator.targets else ""
    raise InvalidRequest(
        f"The request names no language to translate to.{known}", remedy="Send 'target'.", param="target"
    )


def _detected(translator: Translator, detection: Detection) -> Language | None:
    """The language that most of a text is in, of those that the model knows; all of the text is told to be in it."""
    if translator.needs_source and translator.sources:
        found = (translator.nearest_source(part.language) for part in detection.parts)
        return next((language for language in found if language is not None), None)
    return translator.sources[0] if translator.sources else detection.language


def _unknown_source(translator: Translator, detection: Detection | None) -> InvalidRequest:
    if detection is not None and detection.language is not None and translator.sources:
        known = tuple(map(str, translator.sources))
        return UnsupportedLanguages(translator.name, str(detection.language), known=known, param="source")
    return InvalidRequest(
        "Which language the text is in cannot be told from it.", remedy="Name it in 'source'.", param="source"
    )
