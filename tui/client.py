"""The HTTP client of the chat."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from tui.events import AnswerFailed, Endpoint
from tui.shapes import Chunk, ModelList
from tui.words import _

_CONNECT_SECONDS = 10.0


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
            AnswerFailed: the endpoint does not answer, or not with a list of models.
        """
        try:
            response = await self._http.get("models")
            if response.is_error:
                raise _failure(response)
            return msgspec.json.decode(response.content, type=ModelList).data[0].id
        except (httpx.TransportError, msgspec.DecodeError, IndexError) as fault:
            raise _unreachable(fault) from fault

    async def chunks(self, body: Mapping[str, Any]) -> AsyncGenerator[Chunk]:
        """The chunks of a streamed chat completion. Closing the generator takes the request back.

        Raises:
            AnswerFailed: the request was refused, or the answer broke off.
        """
        try:
            async with self._http.stream("POST", "chat/completions", json=body) as response:
                if response.is_error:
                    await response.aread()
                    raise _failure(response)
                async with aclosing(_data_lines(response)) as lines:
                    async for data in lines:
                        if data == b"[DONE]":
                            return
                        chunk = msgspec.json.decode(data, type=Chunk)
                        if chunk.error is not None:
                            raise AnswerFailed(chunk.error.message, chunk.error.code)
                        yield chunk
        except (httpx.TransportError, msgspec.DecodeError) as fault:
            raise _unreachable(fault) from fault
        raise AnswerFailed(_("The answer broke off before its end."))


async def _data_lines(response: httpx.Response) -> AsyncGenerator[bytes]:
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
        error = msgspec.json.decode(response.content, type=Chunk).error
    except msgspec.DecodeError:
        error = None
    if error is None:
        return AnswerFailed(_("The model's server answered with status {status}.").format(status=response.status_code))
    return AnswerFailed(error.message, error.code)


def _unreachable(fault: Exception) -> AnswerFailed:
    sentence = _("The model's server does not answer as it should.")
    return AnswerFailed(f"{sentence} ({fault})" if str(fault) else sentence, "server_unreachable")
