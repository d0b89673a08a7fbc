"""What a trim's report says on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Column, Table

from converters.adapt.report import Report, SourceReport

_ORIGINS = {"corpus": "text", "words": "words", "letters": "letters", "scripts": "scripts"}


def print_report(report: Report) -> None:
    """Print rows, bytes and a line for each language on standard output."""
    before, after = report.rows
    print(  # noqa: T201
        f"{after:,} of {before:,} rows are kept ({report.num_required:,} of them whatever the language), "
        f"{report.sizes[0] / 1e6:,.1f} MB -> {report.sizes[1] / 1e6:,.1f} MB."
    )
    names = ("counted", "unseen", "held out", "kept", "more", "bytes", "tok/char", "bits/byte")
    columns = (Column("from", no_wrap=True), *(Column(name, justify="right", no_wrap=True) for name in names))
    table = Table(Column("language", no_wrap=True), *columns, box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for source in report.sources:
        table.add_row(source.name, _ORIGINS[source.origin], *_cells(source))
    Console(highlight=False).print(table)
    proofs = [source.proof for source in report.sources if source.proof is not None]
    if not proofs:
        print("Not proved: --no-verify was given.")  # noqa: T201
        return
    positions = sum(proof.num_tokens for proof in proofs)
    prompts = sum(proof.num_greedy for proof in proofs)
    lines = sum(source.held_out.num_covered for source in report.sources)
    text = f"Proved: {lines:,} lines read alike; logits equal to the bit at {positions:,} positions"
    if prompts:
        equal = sum(proof.equal_original for proof in proofs)
        text += (
            f"; {prompts} continuations equal to the original's among kept rows, {equal} of them to the original's "
            "among all"
        )
    print(f"{text}.")  # noqa: T201


def _cells(source: SourceReport) -> list[str]:
    held = source.held_out
    per_character = [count / (held.num_characters or 1) for count in held.num_tokens]
    bits = source.proof.bits_per_byte if source.proof is not None else None
    counts = [
        _short(source.num_counted) if source.num_counted else "–",
        f"{source.missing_share:.2%}" if source.missing_share is not None else "–",
    ]
    if not held.num_lines:
        return [*counts, *["–"] * 6]
    return [
        *counts,
        _short(held.num_tokens[0]),
        f"{held.coverage:.2%}",
        f"{held.growth:+.2%}",
        f"{held.fallbacks[1] - held.fallbacks[0]:+}",
        "{:.2f}>{:.2f}".format(*per_character),
        "{:.2f}>{:.2f}".format(*bits) if bits else "–",
    ]


def _short(count: int) -> str:
    return f"{count / 1e6:.1f}M" if count >= 1e6 else f"{count / 1e3:.0f}k" if count >= 1e4 else str(count)
