"""What a result was measured on, for the benchmarks: the same as `demotic doctor --json` tells, with the cards."""

from __future__ import annotations

from runtime.hardware.fingerprint import fingerprint as fingerprint_of
from runtime.hardware.probe import Machine, probe, with_cards


def fingerprint(machine: Machine | None = None) -> dict[str, object]:
    """This machine, or one that was probed, and the versions that decide its figures; JSON values only."""
    return fingerprint_of(with_cards(machine or probe()))
