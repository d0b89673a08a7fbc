"""What the chat's server is, and how an answer of it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from runtime.errors import DemoticError
from tui.shapes import TextUsage
from tui.words import _, plural


@dataclass(frozen=True)
class Endpoint:
    """Where a server answers, the key that it wants, and what it told while it started (such as a licence).

    `api_key` is empty where it wants none, and `model` where its first one is to answer. `is_here`: on this machine.
    """

    url: str
    api_key: str
    notices: tuple[str, ...] = ()
    model: str = ""
    is_here: bool = True

    @property
    def base_url(self) -> str:
        """What OpenAI's paths are put after: `url` itself where it has a path, else its `/v1`."""
        return self.url if urlsplit(self.url).path.strip("/") else f"{self.url}/v1"


@dataclass(frozen=True)
class AnswerFinished:
    """`runtime.chat.tools.loop.TurnEnd` of an answer that was not broken off; times in seconds, on this side.

    Where the endpoint counts no tokens, `num_tokens` is how many pieces came, and `num_prompt_tokens` is 0;
    `num_cached_tokens` are those of the prompt that had been computed before, if it tells. `gaps` are the times between
    the pieces, and `text` is what demotic's server says beside OpenAI's fields.
    """

    reason: str
    num_tokens: int
    num_characters: int
    first_token_seconds: float
    decode_seconds: float
    num_prompt_tokens: int = 0
    num_cached_tokens: int | None = None
    gaps: tuple[float, ...] = ()
    text: TextUsage | None = None

    @property
    def seconds(self) -> float:
        """From the request to the end."""
        return self.first_token_seconds + self.decode_seconds

    @property
    def ending(self) -> str:
        """What people are told where it is not the model's own end."""
        return " " + _("(cut at the length limit)") if self.reason == "length" else ""


class AnswerFailed(DemoticError):
    """An answer broke off: a sentence for people, and OpenAI's code where there is one."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


def figure_forms(turns: Sequence[AnswerFinished], num_calls: int) -> tuple[str, ...]:
    """`figures` and shorter forms of it, for where there is less room."""
    whole = figures(turns, num_calls)
    if num_calls:
        return (whole,)
    rates = _rates(turns[-1])
    both = _("{token_rate:.1f} tokens/s, {character_rate:.1f} characters/s").format(**rates)
    first = _("first after {seconds:.2f} s").format(seconds=turns[-1].first_token_seconds)
    return whole, f"{both}, {first}", both, _("{token_rate:.1f} tokens/s").format(**rates)


def figures(turns: Sequence[AnswerFinished], num_calls: int) -> str:
    """How long an answer is and what it took, for people; rates are counted as `demotic run` counts them.

    Where there were calls, `turns` are the model's, and the time is that of these: neither the person's nor the tools'.
    """
    last = turns[-1]
    tokens = plural("{count} token", "{count} tokens", sum(turn.num_tokens for turn in turns)) + last.ending
    if num_calls:
        return _("{calls}, {tokens} in {turns}, {seconds:.1f} s").format(
            calls=plural("{count} call", "{count} calls", num_calls),
            tokens=tokens,
            turns=plural("{count} turn", "{count} turns", len(turns)),
            seconds=sum(turn.seconds for turn in turns),
        )
    return _(
        "{tokens}, {token_rate:.1f} tokens/s, {character_rate:.1f} characters/s, first token after {seconds:.2f} s"
    ).format(
        tokens=tokens,
        seconds=last.first_token_seconds,
        **_rates(last),
    )


def _rates(turn: AnswerFinished) -> dict[str, float]:
    return {
        "token_rate": rate(turn.num_tokens - 1, turn.decode_seconds),
        "character_rate": rate(turn.num_characters, turn.seconds),
    }


def rate(count: int, seconds: float) -> float:
    """How many a second; 0 where there is nothing to count or no time."""
    return count / seconds if count > 0 and seconds > 0 else 0.0
