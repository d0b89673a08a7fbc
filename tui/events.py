"""What is said to the endpoint, and what comes back: any number of `TextDelta`s and exactly one last event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Endpoint:
    """Where a server answers, the key that it wants, and what it told while it started (such as a licence)."""

    url: str
    api_key: str
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True)
class TextDelta:
    """The next piece of an answer."""

    text: str


@dataclass(frozen=True)
class AnswerFinished:
    """The last event of an answer that came to its end; times in seconds, on this side of the connection."""

    reason: str
    num_tokens: int
    num_characters: int
    first_token_seconds: float
    decode_seconds: float

    @property
    def figures(self) -> str:
        """The answer's length and speed, for people; rates are counted as `demotic run` counts them."""
        tokens_rate = _rate(self.num_tokens - 1, self.decode_seconds)
        characters_rate = _rate(self.num_characters, self.first_token_seconds + self.decode_seconds)
        ending = " (cut at the length limit)" if self.reason == "length" else ""
        return (
            f"{self.num_tokens} tokens{ending}, {tokens_rate:.1f} tokens/s, {characters_rate:.1f} characters/s, "
            f"first token after {self.first_token_seconds:.2f} s"
        )


@dataclass(frozen=True)
class AnswerFailed:
    """The last event of an answer that broke off: a sentence for people, and OpenAI's code where there is one."""

    message: str
    code: str | None = None


AnswerEvent = TextDelta | AnswerFinished | AnswerFailed


def _rate(count: int, seconds: float) -> float:
    return count / seconds if count > 0 and seconds > 0 else 0.0
