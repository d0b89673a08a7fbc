"""The HTTP client of the chat: OpenAI's shapes in, small typed events out."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Self

import httpx
import msgspec

from runtime.config import RunConfig
from runtime.errors import DemoticError
from tui.events import AnswerEvent, AnswerFailed, AnswerFinished, Endpoint, TextDelta, Turn

_CONNECT_SECONDS = 10.0


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    completion_tokens: int


class _Error(msgspec.Struct):
    message: str
    code: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: _Error | None = None


class _Model(msgspec.Struct):
    id: str


class _ModelList(msgspec.Struct):
    data: list[_Model]


class ChatClient:
    """Speaks to one endpoint; use it as an async context manager, or `close` it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._http = httpx.AsyncClient(
            base_url=f"{endpoint.url}/v1/",
            headers={"Authorization": f"Bearer {endpoint.api_key}"},
            # Reading may take as long as it takes: a slow machine thinks for minutes about a long prompt.
            timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
            # A proxy from the environment cannot reach this machine's loopback address.
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def model_name(self) -> str:
        """The name of the model that answers.

        Raises:
            DemoticError: the endpoint does not answer, or not with a list of models.
        """
        try:
            response = await self._http.get("models")
            if response.is_error:
                raise DemoticError(_failure(response).message)
            return msgspec.json.decode(response.content, type=_ModelList).data[0].id
        except (httpx.TransportError, msgspec.DecodeError, IndexError) as fault:
            raise DemoticError(_unreachable(fault).message) from fault

    async def answer(self, turns: Sequence[Turn], config: RunConfig) -> AsyncGenerator[AnswerEvent, None]:
        """The answer to `turns`, as it comes. Closing the generator takes the request back."""
        body = {
            "messages": [{"role": turn.role, "content": turn.text} for turn in turns],
            "max_tokens": config.max_tokens,
            "temperature": config.temperature,
            "top_p": config.top_p,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        started = time.perf_counter()
        try:
            async with self._http.stream("POST", "chat/completions", json=body) as response:
                if response.is_error:
                    await response.aread()
                    yield _failure(response)
                    return
                async with aclosing(_events(response, started)) as events:
                    async for event in events:
                        yield event
        except (httpx.TransportError, msgspec.DecodeError) as fault:
            yield _unreachable(fault)


async def _events(response: httpx.Response, started: float) -> AsyncGenerator[AnswerEvent, None]:
    num_characters, num_tokens, reason = 0, 0, ""
    first: float | None = None
    async for data in _data_lines(response):
        if data == b"[DONE]":
            ended = time.perf_counter()
            first = first if first is not None else ended
            yield AnswerFinished(reason, num_tokens, num_characters, first - started, ended - first)
            return
        chunk = msgspec.json.decode(data, type=_Chunk)
        if chunk.error is not None:
            yield AnswerFailed(chunk.error.message, chunk.error.code)
            return
        for choice in chunk.choices:
            if choice.delta.content:
                first = first if first is not None else time.perf_counter()
                num_characters += len(choice.delta.content)
                yield TextDelta(choice.delta.content)
            reason = choice.finish_reason or reason
        if chunk.usage is not None:
            num_tokens = chunk.usage.completion_tokens
    yield AnswerFailed("The answer broke off before its end.")


async def _data_lines(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The payloads of server-sent events.

    httpx's own lines also end at U+2028, U+0085 and others, which JSON may hold as they are.
    """
    rest = b""
    async for piece in response.aiter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line.removeprefix(b"data:").strip()


def _failure(response: httpx.Response) -> AnswerFailed:
    """An answer with an error status, as a sentence; its body has been read."""
    try:
        error = msgspec.json.decode(response.content, type=_Chunk).error
    except msgspec.DecodeError:
        error = None
    if error is None:
        return AnswerFailed(f"The model's server answered with status {response.status_code}.")
    return AnswerFailed(error.message, error.code)


def _unreachable(fault: Exception) -> AnswerFailed:
    what = f" ({fault})" if str(fault) else ""
    return AnswerFailed(f"The model's server does not answer as it should{what}.", "server_unreachable")
