"""Results of `demotic bench` read back from their JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runtime.errors import InvalidRequest

_KEYS = ("plan", "models", "machine", "measured")


def read_result(path: Path) -> dict[str, Any]:
    """The document of one run.

    Raises:
        InvalidRequest: the file is not one, or of another command.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise InvalidRequest(
            f"{path} cannot be read: {fault}.", remedy="Give a file that `demotic bench --format json` wrote."
        ) from fault
    kind = document.get("benchmark") if isinstance(document, dict) else None
    if kind != "speed" or any(key not in document for key in _KEYS) or not isinstance(document["models"], list):
        raise InvalidRequest(
            f"{path} is {f'a result of another benchmark ({kind})' if kind else 'no result of a benchmark'}.",
            remedy="Give a file that `demotic bench --format json` wrote.",
        )
    result: dict[str, Any] = document
    if not all(job.get("tokens_per_second", {}).get("samples") for model in result["models"] for job in jobs_of(model)):
        raise InvalidRequest(f"{path} has figures without samples.", remedy="Measure again with this version.")
    return result


def jobs_of(model: dict[str, Any]) -> list[dict[str, Any]]:
    """The jobs of one way to run a model."""
    jobs: list[dict[str, Any]] = model.get("jobs", [])
    return jobs


def work_of(job: dict[str, Any]) -> tuple[str, int, int, int]:
    """What makes two jobs the same work."""
    return job["kind"], job["batch"], job["prompt_tokens"], job["output_tokens"]
