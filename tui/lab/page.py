"""A lab's card as Markdown, for people."""

from __future__ import annotations

from collections.abc import Sequence

from tui.history.markdown import fenced, in_line
from tui.lab.card import Card, ColumnCard

_UNKNOWN = "–"
_ORDERS = {"in_turn": "one after the other", "at_once": "all at once"}
_SERVERS = {"own": "the chat's own", "here": "another one on this machine", "elsewhere": "on another machine"}


def to_markdown(card: Card) -> str:
    """A page: what it was measured on, the prompt, a table of figures, and each answer."""
    parts = [
        f"# Language lab, {card.created}",
        _about(card),
        "## Prompt",
        fenced(card.prompt),
        "## Figures",
        _table(card.columns),
    ]
    for number, column in enumerate(card.columns, 1):
        parts += [f"## Column {number}: {in_line(_model(column))}", *_answer(column)]
    return "\n\n".join(parts) + "\n"


def _about(card: Card) -> str:
    facts = {
        "demotic": card.demotic,
        "Server": _SERVERS[card.server],
        "Order": _ORDERS[card.order],
        "Sampling": ", ".join(f"{name} {value}" for name, value in card.sampling.items()),
    }
    if card.machine is not None:
        machine = card.machine
        memory = machine.get("memory_bytes")
        facts["Processor"] = f"{machine.get('cpu')}, {machine.get('usable_cpus')} CPUs"
        facts["Memory"] = f"{memory / 1e9:.1f} GB" if isinstance(memory, int) else ""
        facts["System"] = f"{machine.get('system')}"
        versions = machine.get("versions")
        if isinstance(versions, dict):
            facts["Versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    return "\n".join(f"- {name}: {in_line(fact)}" for name, fact in facts.items() if fact)


def _table(columns: Sequence[ColumnCard]) -> str:
    rows: list[list[str]] = [
        ["", *(str(number) for number in range(1, len(columns) + 1))],
        ["---"] * (len(columns) + 1),
    ]
    rows.append(["model", *(_model(column) for column in columns)])
    rows.append(["quantization", *((column.served and column.served.quantization) or _UNKNOWN for column in columns)])
    rows.append(["device", *((column.served and column.served.device) or _UNKNOWN for column in columns)])
    rows.append(["language asked for", *(column.language or _UNKNOWN for column in columns)])
    rows.append(["lock", *(_lock(column) for column in columns)])
    rows.append(["ended", *(f"{column.state} {column.reason}".strip() for column in columns)])
    rows += [[name, *(_figure(column, field, form) for column in columns)] for name, field, form in _FIGURES]
    rows.append(["language fidelity", *(_fidelity(column) for column in columns)])
    rows.append(["foreign characters", *(_foreign(column) for column in columns)])
    return "\n".join(f"| {' | '.join(in_line(cell).replace('|', '&#124;') for cell in row)} |" for row in rows)


_FIGURES = (
    ("tokens", "num_tokens", "{}"),
    ("characters", "num_characters", "{}"),
    ("graphemes", "num_graphemes", "{}"),
    ("tokens/s", "tokens_per_second", "{:.1f}"),
    ("characters/s", "characters_per_second", "{:.1f}"),
    ("first token, s", "first_token_seconds", "{:.2f}"),
    ("whole answer, s", "seconds", "{:.2f}"),
    ("prompt tokens", "num_prompt_tokens", "{}"),
    ("of these computed before", "num_cached_tokens", "{}"),
    ("steps at which the lock kept a token out", "blocked_tokens", "{}"),
)


def _figure(column: ColumnCard, field: str, form: str) -> str:
    value = getattr(column.figures, field) if column.figures is not None else None
    return _UNKNOWN if value is None else form.format(value)


def _fidelity(column: ColumnCard) -> str:
    told = column.in_language
    if told is None or told.fidelity is None:
        return _UNKNOWN
    return f"{told.fidelity:.0%} {told.asked}"


def _foreign(column: ColumnCard) -> str:
    told = column.in_language
    return _UNKNOWN if told is None or told.num_foreign_characters is None else str(told.num_foreign_characters)


def _lock(column: ColumnCard) -> str:
    return f"{column.lock.language} {column.lock.mode}" if column.lock is not None else "none"


def _model(column: ColumnCard) -> str:
    return f"{column.model}:{column.adapter}" if column.adapter else column.model


def _answer(column: ColumnCard) -> list[str]:
    parts = []
    if column.instruction:
        parts.append(f"Asked for by: {in_line(column.instruction)}")
    if column.reasoning:
        parts += ["Reasoning:", fenced(column.reasoning)]
    if column.answer:
        parts.append(fenced(column.answer, "markdown"))
    if column.fault:
        parts.append(f"*{in_line(column.fault)}*")
    return parts or ["Nothing came."]
