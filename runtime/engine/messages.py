"""The closed vocabulary between an engine and its clients, in this process or another.

A client sends `Generate` and `Abort`. It gets back any number of `Delta`s and then exactly one `Finished` or `Failed`
for every `Generate`, whatever happens.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from runtime.engine.sampling import SamplingParams
from runtime.errors import DemoticError

FinishReason = Literal["stop", "length", "cancelled"]


class Generate(msgspec.Struct, frozen=True, tag=True):
    """Continue `prompt`: text, or token ids as they are.

    `parse_special` reads names of control tokens in a text prompt as those tokens (a rendered chat template needs
    it). `max_tokens` None means as far as the context reaches.
    """

    request_id: str
    prompt: str | tuple[int, ...]
    sampling: SamplingParams
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    parse_special: bool = False


class Abort(msgspec.Struct, frozen=True, tag=True):
    """Take a request back; it still gets its `Finished`, with the reason "cancelled"."""

    request_id: str


class Delta(msgspec.Struct, frozen=True, tag=True):
    """The next piece of the answer: whole grapheme clusters."""

    request_id: str
    text: str


class Usage(msgspec.Struct, frozen=True):
    """Tokens read and tokens given out; the token that ends an answer counts as neither."""

    prompt_tokens: int
    completion_tokens: int


class Timings(msgspec.Struct, frozen=True):
    """Seconds: waiting in the queue, arrival to first token, first token to last."""

    queued: float
    first_token: float
    decode: float


class Finished(msgspec.Struct, frozen=True, tag=True):
    """The answer is complete. "length": cut by `max_tokens` or by the end of the context."""

    request_id: str
    reason: FinishReason
    usage: Usage
    timings: Timings


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The request cannot be answered, and why."""

    request_id: str
    error: DemoticError


Event = Delta | Finished | Failed
