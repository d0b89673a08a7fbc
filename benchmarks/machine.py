"""What a result was measured on, for the benchmarks: the same as `demotic doctor --json` tells."""

from runtime.hardware.fingerprint import fingerprint

__all__ = ["fingerprint"]
