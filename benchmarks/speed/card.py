"""A card of a result: the figures and what they were taken on, and nothing that tells who took them.

Only what is named here goes on a card; nothing is copied as a whole.
"""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.output import check_free, deliver
from benchmarks.report import Spread, shown, table, to_json
from benchmarks.speed.compare import work_name
from benchmarks.speed.saved import jobs_of, read_result, work_of
from runtime.errors import InvalidRequest

_MACHINE = ("cpu", "usable_cpus", "memory_bytes", "cpu_flags", "build_features", "nvidia_cards", "devices", "python")
_SETTINGS = ("device", "kv_type", "threads", "gpu_layers", "flash_attention", "batch_size", "context", "sequences")
_JOB = ("tokens_per_second", "characters_per_second", "ttft_seconds", "itl_seconds", "shares", "joules_per_token")
_LEAST_NAME = 3  # shorter names of users and hosts stand in too many words


def submit_card(result: Path, output: Path, *, force: bool) -> int:
    """Write the card of a result.

    Raises:
        InvalidRequest: the result cannot be read, or the card not be written, or not be made without private names.
    """
    check_free(output, force=force)
    card = card_of(read_result(result))
    _refuse_private(card, private_names())
    deliver(to_json(card) if output.suffix.casefold() == ".json" else to_page(card), output)
    return 0


def card_of(result: dict[str, Any]) -> dict[str, Any]:
    """The card as JSON values."""
    machine = result["machine"]
    return {
        "card": "demotic bench",
        "measured": result["measured"],
        "repetitions": result["plan"]["repetitions"],
        "warnings": result.get("warnings", []),
        "machine": {
            **{name: machine[name] for name in _MACHINE if name in machine},
            # Of the system its kind alone: its release may carry a name that somebody gave it.
            "system": str(machine.get("system", "")).split("-")[0],
            "versions": {name: str(version).split("+")[0] for name, version in machine["versions"].items()},
        },
        "models": [_model(model) for model in result["models"]],
    }


def _model(model: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": _short_name(model["model"]),
        **{name: model[name] for name in ("quantization", "sha256", "file_bytes")},
        "settings": {name: model["settings"][name] for name in _SETTINGS if name in model["settings"]},
        "load_seconds": model["load_seconds"],
        **{name: model[name] for name in ("memory_peak_bytes", "card_memory_peak_bytes")},
        "jobs": [
            {
                **dict(zip(("kind", "batch", "prompt_tokens", "output_tokens"), work_of(job), strict=True)),
                **{name: job[name] for name in _JOB if name in job},
            }
            for job in jobs_of(model)
        ],
    }


def _short_name(name: str) -> str:
    """The last part of a path; a reference to the hub stays whole."""
    return name if name.startswith("hf:") else re.split(r"[/\\]", name)[-1]


def private_names() -> list[str]:
    """What must not be on a card: this machine's name, its user's, and the home folder."""
    names = [socket.gethostname(), str(Path.home())]
    with suppress(OSError, KeyError):  # a user without a name
        names.append(getpass.getuser())
    return [name for name in names if len(name) >= _LEAST_NAME]


def _refuse_private(card: dict[str, Any], names: Sequence[str]) -> None:
    """Look through what files and versions brought along; the rest of a card is this program's own words."""
    given = [*card["warnings"], *card["machine"]["versions"].values(), *(model["model"] for model in card["models"])]
    for name in names:
        if any(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) for text in given):
            raise InvalidRequest(
                f"The card would hold '{name}', which names this machine, its user or a folder.",
                remedy="Rename the model's file, and measure again.",
            )


def _spread(figure: dict[str, Any]) -> Spread:
    return Spread(figure["median"], figure["low"], figure["high"])


def to_page(card: dict[str, Any]) -> str:
    """The card as Markdown, with itself as JSON at the end."""
    machine = card["machine"]
    gpus = [one["name"] for one in (*machine.get("nvidia_cards", ()), *machine.get("devices", ()))]
    rows = [
        (
            f"{model['model']} ({model['quantization']})",
            ", ".join(str(model["settings"][name]) for name in ("device", "kv_type") if name in model["settings"]),
            str(model["settings"].get("threads", "–")),
            work_name(work_of(job)),
            shown(_spread(job["tokens_per_second"]), ".1f"),
            shown(_spread(job["ttft_seconds"]), ".3f"),
        )
        for model in card["models"]
        for job in jobs_of(model)
    ]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    parts = f"{machine['usable_cpus']} usable CPUs, {machine['memory_bytes'] / 2**30:.1f} GiB"
    return "\n\n".join(
        [
            f"# demotic bench: {machine['cpu']}",
            f"{', '.join([parts, *dict.fromkeys(gpus)])}; {machine['system']}; {versions}.",
            table(("model", "runs on", "threads", "work", "tokens/s", "TTFT, s"), rows),
            *(f"Warning: {line}" for line in card["warnings"]),
            f"Medians of {card['repetitions']} (least to most). {card['measured']}",
            f"<details><summary>The same as JSON</summary>\n\n```json\n{to_json(card)}\n```\n\n</details>",
        ]
    )
