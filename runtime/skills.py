"""What models of this machine can do for other programs, as tools: generate, translate, embed, tell languages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from runtime.answers import ModelAnswers
from runtime.card import ModelCard, Options
from runtime.chat.prompt import NO_TOOLS
from runtime.chat.reasoning import Piece
from runtime.chat.template import Message
from runtime.chat.tools.sources.base import ToolFault
from runtime.chat.tools.sources.functions import FunctionTools, tool
from runtime.config import EngineConfig
from runtime.engine.messages import Finished
from runtime.language.codes import Language, parse
from runtime.language.detect import detect
from runtime.model import Model, start

_MAX_TEXTS = 64
_DECIMALS = 6


class LazyModel:
    """A model that is loaded when it is first used."""

    def __init__(self, card: ModelCard, limits: EngineConfig) -> None:
        self.card = card
        self._limits = limits
        self._model: Model | None = None
        self._loading = asyncio.Lock()

    async def get(self) -> Model:
        """The model. Raises as `runtime.model.start` does."""
        async with self._loading:
            if self._model is None:
                self._model = await asyncio.to_thread(start, self.card, self._limits)
        return self._model

    def close(self) -> None:
        """Unload it."""
        if self._model is not None:
            self._model.close()


@dataclass(frozen=True)
class Skills:
    """What `model`, which generates text, and `embedder` can do."""

    model: LazyModel
    embedder: LazyModel | None = None

    def tools(self) -> FunctionTools:
        """Only those that the models are for: a base model does not translate."""
        functions: list[Callable[..., Any]] = [self._generate(), self._detect_language()]
        if self.model.card.is_chat:
            functions.append(self._translate())
        if self.embedder is not None:
            functions.append(self._embed(self.embedder))
        return FunctionTools(functions, "demotic")

    def _generate(self) -> Callable[..., Any]:
        card, is_chat = self.model.card, self.model.card.is_chat

        async def generate(
            prompt: Annotated[str, "The question or task."],
            system: Annotated[str, "What the assistant is to keep to."] = "",
            max_tokens: Annotated[int, "Longest answer, in tokens."] = 512,
            temperature: Annotated[float, "0 always takes the likeliest token."] = 0.7,
        ) -> str:
            options: Options = {"max_tokens": max_tokens, "temperature": temperature}
            if is_chat:
                turns = [Message("system", system)] if system else []
                return await self._answer([*turns, Message("user", prompt)], options)
            if system:
                raise ToolFault(f"{card.name} is no chat model: it knows no system message")
            return await self._continue(prompt, options)

        does = "Answer a prompt" if is_chat or card.has_encoder else "Continue a text"
        generate.__doc__ = f"{does} with {card.name}, a small language model on this machine. Check what it says."
        return tool(read_only=True)(generate)

    def _translate(self) -> Callable[..., Any]:
        card = self.model.card

        async def translate(
            text: str,
            target: Annotated[str, "Language to translate into: bg, bul_Cyrl, Bulgarian."],
            source: Annotated[str, "Language of the text; without it, it is detected."] = "",
        ) -> str:
            known = card.file.entry.languages if card.file.entry else ()
            if len(known) == 1:
                raise ToolFault(f"{card.name} knows {known[0]} only, and cannot translate")
            into = parse(target)
            origin = parse(source) if source else (await asyncio.to_thread(detect, text)).language
            told = f" from {_name(origin)}" if origin is not None else ""
            task = f"Translate this text{told} into {_name(into)}. Answer with the translation only.\n\n{text}"
            return await self._answer([Message("user", task)], {"temperature": 0.0})

        translate.__doc__ = (
            f"Translate a text by asking {card.name}, a chat model that is not made for it. Check what it says."
        )
        return tool(read_only=True)(translate)

    def _detect_language(self) -> Callable[..., Any]:
        def detect_language(text: str) -> dict[str, Any]:
            found = detect(text)
            parts = [
                {"language": str(part.language), "share": part.share, "confidence": part.confidence}
                for part in found.parts
            ]
            main = None if found.language is None else str(found.language)
            return {"language": main, "is_confident": found.is_confident, "is_mixed": found.is_mixed, "parts": parts}

        detect_language.__doc__ = "Tell which language a text is in, as ISO 639-3 and ISO 15924, such as bul_Cyrl."
        return tool(read_only=True)(detect_language)

    def _embed(self, embedder: LazyModel) -> Callable[..., Any]:
        async def embed(
            texts: list[str],
            instruction: Annotated[str, "For queries: what they are for, where the model wants to know."] = "",
        ) -> list[list[float]]:
            if len(texts) > _MAX_TEXTS:
                raise ToolFault(f"there are {len(texts)} texts, and at most {_MAX_TEXTS} are taken")
            model = await embedder.get()
            vectors = await asyncio.to_thread(model.embed, texts, instruction=instruction or None)
            return [[round(float(value), _DECIMALS) for value in vector] for vector in vectors]

        embed.__doc__ = f"Vectors of up to {_MAX_TEXTS} texts by {embedder.card.name}, each of length 1."
        return tool(read_only=True)(embed)

    async def _answer(self, messages: Sequence[Message], options: Options) -> str:
        said: list[str] = []
        async for event in ModelAnswers(await self.model.get(), **options).answer(messages, NO_TOOLS):
            if isinstance(event, Piece) and event.kind == "content":
                said.append(event.text)
            elif isinstance(event, Finished) and event.reason == "length":
                said.append("\n[cut at the length limit]")
        return "".join(said)

    async def _continue(self, prompt: str, options: Options) -> str:
        model = await self.model.get()
        answer = await asyncio.to_thread(model.complete, prompt, **options)
        return answer.text


def _name(language: Language) -> str:
    import langcodes

    return f"{langcodes.Language.get(str(language)).display_name()}"
