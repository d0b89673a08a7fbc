"""What each answer of a conversation took, as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

from tui.history.records import Figures
from tui.words import _, mark

HEADS = (
    mark("No."),
    mark("tokens"),
    mark("characters"),
    mark("tokens/s"),
    mark("characters/s"),
    mark("first"),
    mark("ITL p50"),
    mark("ITL p95"),
    mark("language"),
    mark("blocked"),
)
_UNKNOWN = "–"


def rows(answers: Sequence[Figures]) -> list[tuple[str, ...]]:
    """A row for each answer, under `HEADS`; times are in milliseconds, but for the first token's, in seconds."""
    return [
        (
            str(number),
            str(took.num_tokens),
            str(took.num_characters),
            f"{took.tokens_per_second:.1f}",
            f"{took.characters_per_second:.1f}",
            f"{took.first_token_seconds:.2f} s",
            _milliseconds(took.itl_median),
            _milliseconds(took.itl_p95),
            took.language or _UNKNOWN,
            _UNKNOWN if took.blocked_tokens is None else str(took.blocked_tokens),
        )
        for number, took in enumerate(answers, 1)
    ]


def told(answers: Sequence[Figures]) -> str:
    """The same without a screen: a line for each answer, which names each figure."""
    if not answers:
        return _("There is no answer yet.")
    return "\n".join(
        f"{row[0]}. " + ", ".join(f"{_(head)} {value}" for head, value in zip(HEADS[1:], row[1:], strict=True))
        for row in rows(answers)
    )


def _milliseconds(seconds: float | None) -> str:
    return _UNKNOWN if seconds is None else f"{seconds * 1e3:.0f} ms"
