"""A whole answer of a model of this process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.chat.reasoning import Piece
from runtime.chat.template import Message
from runtime.chat.tools.call import ToolCall
from runtime.engine.messages import Delta, Finished, FinishReason
from runtime.errors import InferenceFailed

if TYPE_CHECKING:
    from runtime.chat.answer import AnswerReader
    from runtime.chat.tools.loop import CallEnded
    from runtime.language.detect import Detection


@dataclass(frozen=True)
class Answer:
    """A whole answer, why it ended, and what it took. Times are in seconds.

    `tool_calls` are those that the model wants run, `tool_runs` those that were, and `turns` what the answer adds to
    its conversation: append these to go on with it. `reasoning` is what the model thought first; it is told apart from
    the text where there were tools. Figures are those of all the model's turns together.

    `drafted_tokens` were guessed ahead, and `accepted_tokens` of them are in the answer. `blocked_tokens`: steps at
    which the likeliest token was foreign to the language that the answer was kept in, and did not come.
    """

    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    first_token_seconds: float
    decode_seconds: float
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    blocked_tokens: int = 0
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_runs: tuple[CallEnded, ...] = ()
    turns: tuple[Message, ...] = ()

    @property
    def detected(self) -> Detection:
        """The languages of the text. The first time this takes up to a second."""
        from runtime.language.detect import detect

        return detect(self.text)

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens a second, after the first; 0 where there is no second token."""
        return _rate(self.completion_tokens - 1, self.decode_seconds)

    @property
    def characters_per_second(self) -> float:
        """Code points of the answer a second, from the request's arrival to its end."""
        return _rate(len(self.text), self.first_token_seconds + self.decode_seconds)

    @classmethod
    def from_events(cls, events: Iterable[Delta | Finished], reader: AnswerReader | None = None) -> Answer:
        """Fold the events of one request; `reader` takes reasoning and calls out of the text."""
        found: list[Piece | ToolCall] = []
        for event in events:
            match event:
                case Delta(text=text):
                    found += [Piece("content", text)] if reader is None else reader.push(text)
                case Finished():
                    found += [] if reader is None else reader.finish()
                    calls = tuple(one for one in found if isinstance(one, ToolCall))
                    turn = Message("assistant", _joined(found, "content"), calls)
                    return cls.of_turns(found, [event], (turn,), tool_calls=calls)
        raise InferenceFailed("The answer was cut off before its end.")

    @classmethod
    def of_turns(
        cls,
        found: Sequence[Piece | ToolCall],
        ends: Sequence[Finished],
        turns: tuple[Message, ...],
        *,
        tool_calls: tuple[ToolCall, ...] = (),
        tool_runs: tuple[CallEnded, ...] = (),
    ) -> Answer:
        """Put together what was said in turns of the model's, which ended with `ends`."""
        usages, timings = [end.usage for end in ends], [end.timings for end in ends]
        return cls(
            text=_joined(found, "content"),
            finish_reason=ends[-1].reason,
            prompt_tokens=sum(usage.prompt_tokens for usage in usages),
            completion_tokens=sum(usage.completion_tokens for usage in usages),
            first_token_seconds=sum(timing.first_token for timing in timings),
            decode_seconds=sum(timing.decode for timing in timings),
            drafted_tokens=sum(usage.drafted_tokens for usage in usages),
            accepted_tokens=sum(usage.accepted_tokens for usage in usages),
            blocked_tokens=sum(usage.blocked_tokens for usage in usages),
            reasoning=_joined(found, "reasoning"),
            tool_calls=tool_calls,
            tool_runs=tool_runs,
            turns=turns,
        )


def _joined(found: Sequence[Piece | ToolCall], kind: str) -> str:
    return "".join(piece.text for piece in found if isinstance(piece, Piece) and piece.kind == kind)


def _rate(count: int, seconds: float) -> float:
    return count / seconds if count > 0 and seconds > 0 else 0.0
