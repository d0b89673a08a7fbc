"""The HTTP client of the chat."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from tui.events import AnswerFailed, Endpoint
from tui.faults import fault_in, refused
from tui.shapes import Chunk, Model, ModelList
from tui.words import _

_CONNECT_SECONDS = 10.0


class ChatClient:
    """Speaks to one endpoint; use it as an async context manager, or `close` it.

    `model` is who answers: once it is known, if the endpoint names none. `served` is what the endpoint says of it,
    where it does so.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.model = endpoint.model
        self.served: Model | None = None
        self._http = httpx.AsyncClient(
            base_url=endpoint.base_url,
            headers={"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {},
            # Reading may take as long as it takes: a slow machine thinks for minutes about a long prompt.
            timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
            # A proxy from the environment cannot reach this machine's loopback address.
            trust_env=not endpoint.is_here,
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
        """The name of the model that answers: the one that was asked for, or the first that can.

        Raises:
            AnswerFailed: the endpoint does not answer, or not with a list of models.
        """
        if not self.model:
            models = await self.models()
            first = next((model for model in models if model.can_talk), models[0] if models else None)
            if first is None:
                raise AnswerFailed(_("The server has no model."), "server_unreachable")
            self.model, self.served = first.id, first
        return self.model

    @property
    def parts(self) -> tuple[str, str]:
        """The name of the model that answers and of its adapter; the second is empty where there is none."""
        base = self.served.parent if self.served is not None else None
        return (base, self.model.removeprefix(f"{base}:")) if base else (self.model, "")

    async def look(self) -> None:
        """Ask what the endpoint says of the model that answers; not every endpoint says anything."""
        with suppress(AnswerFailed):
            self.served = next((model for model in await self.models() if model.id == self.model), self.served)

    async def models(self) -> list[Model]:
        """The models of the endpoint.

        Raises:
            AnswerFailed: the endpoint does not answer, or not with a list of models.
        """
        try:
            response = await self._http.get("models")
            if not response.is_success:
                raise refused(response.status_code, response.content)
            return msgspec.json.decode(response.content, type=ModelList).data
        except (httpx.TransportError, msgspec.DecodeError) as fault:
            raise _unreachable(fault) from fault

    async def load(self, model: str) -> None:
        """Have demotic's server load a model, or an adapter with its model, and wait until that is there.

        Raises:
            AnswerFailed: the endpoint does not answer, or the model cannot be loaded.
        """
        try:
            response = await self._http.post("models/load", json={"model": model})
        except httpx.TransportError as fault:
            raise _unreachable(fault) from fault
        if not response.is_success:
            raise refused(response.status_code, response.content)

    async def chunks(self, body: Mapping[str, Any]) -> AsyncGenerator[Chunk]:
        """The chunks of a streamed chat completion. Closing the generator takes the request back.

        Raises:
            AnswerFailed: the request was refused, or the answer broke off.
        """
        has_ended = False
        try:
            async with self._http.stream("POST", "chat/completions", json=body) as response:
                if not response.is_success:
                    raise refused(response.status_code, await response.aread())
                async with aclosing(_data_lines(response)) as lines:
                    async for data in lines:
                        if data == b"[DONE]":
                            return
                        chunk = msgspec.json.decode(data, type=Chunk)
                        if chunk.error is not None:
                            fault = fault_in(chunk.error)
                            raise fault if fault.message else _broken_off()
                        has_ended = has_ended or any(choice.finish_reason for choice in chunk.choices)
                        yield chunk
        except (httpx.TransportError, msgspec.DecodeError) as fault:
            raise _unreachable(fault) from fault
        # Some endpoints close without a last word.
        if not has_ended:
            raise _broken_off()


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
            elif line.startswith(b"error:"):  # as older servers of llama.cpp tell a fault in mid-answer
                yield b'{"error":' + line.removeprefix(b"error:").strip() + b"}"


def _broken_off() -> AnswerFailed:
    return AnswerFailed(_("The answer broke off before its end."))


def _unreachable(fault: Exception) -> AnswerFailed:
    sentence = _("The model's server does not answer as it should.")
    return AnswerFailed(f"{sentence} ({fault})" if str(fault) else sentence, "server_unreachable")
