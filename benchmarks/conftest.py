"""What all suites of pytest-benchmark here have in common."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.reference import calibrate


@pytest.fixture(autouse=True)
def _calibrated() -> None:
    """Each measurement has its own reference."""
    calibrate()


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Keep the names of machines out of saved results."""
    machine_info["node"] = ""


def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    """A baseline is of the sources beside it: what commit they were at is git's to say."""
    output_json["commit_info"] = {}
