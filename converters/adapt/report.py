"""What trimming came to: rows, bytes, and what each language loses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from converters.adapt.held_out import HeldOut
from converters.adapt.proof import Proof


@dataclass(frozen=True)
class SourceReport:
    """One language or text.

    origin: where it is known from what it needs: a corpus, a list of words, letters, scripts.
    num_counted: tokens that were counted; missing_share: what Good and Turing estimate of others like these is missing.
    """

    name: str
    origin: str
    num_counted: int
    missing_share: float | None
    held_out: HeldOut
    proof: Proof | None

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        held, proof = self.held_out, self.proof
        found: dict[str, Any] = {
            "name": self.name,
            "from": self.origin,
            "tokens_counted": self.num_counted,
            "missing_share_by_good_turing": self.missing_share,
            "held_out": {
                "lines": held.num_lines,
                "characters": held.num_characters,
                "tokens": list(held.num_tokens),
                "coverage": held.coverage,
                "growth": held.growth,
                "tokens_per_character": [count / (held.num_characters or 1) for count in held.num_tokens],
                "fallbacks": list(held.fallbacks),
                "lines_covered": held.num_covered,
                "lines_read_otherwise": held.num_differing,
            },
        }
        if proof is not None:
            found["proof"] = {
                "positions": proof.num_tokens,
                "positions_unequal": proof.num_unequal,
                "continuations": proof.num_greedy,
                "continuations_equal_to_restricted": proof.equal_restricted,
                "continuations_equal_to_original": proof.equal_original,
                "bits_per_byte": list(proof.bits_per_byte) if proof.bits_per_byte else None,
            }
        return found


@dataclass(frozen=True)
class Report:
    """All of it; `rows` and `sizes` before and after, `num_required` rows always stay."""

    rows: tuple[int, int]
    num_required: int
    sizes: tuple[int, int]
    sources: tuple[SourceReport, ...]

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return {
            "rows": list(self.rows),
            "rows_always_kept": self.num_required,
            "bytes": list(self.sizes),
            "sources": [source.as_dict() for source in self.sources],
        }
