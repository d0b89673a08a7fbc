"""The benchmark card of a lab: prompt, columns, answers, figures and machine, as JSON and as Markdown.

The JSON is documented in docs/language-lab.md and is made of these very records; `read_card` reads it again.
"""

from __future__ import annotations

import importlib.metadata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from runtime.config import RunConfig, data_dir
from runtime.errors import InvalidRequest
from runtime.models.files import write_atomically
from tui.choosing.choices import Lock
from tui.lab.asking import instruction
from tui.lab.figures import Figures, InLanguage
from tui.lab.lab import Lab, Order
from tui.lab.trial import State, Trial
from tui.words import _

_CONFIG = RunConfig()
# What a request says of sampling where nothing was chosen.
_DEFAULTS = {"max_tokens": _CONFIG.max_tokens, "temperature": _CONFIG.temperature, "top_p": _CONFIG.top_p}
# Whose server it was: the chat's own; another one on this machine; one elsewhere.
Place = Literal["own", "here", "elsewhere"]


class Served(msgspec.Struct, frozen=True):
    """What the endpoint tells of a model; what it does not is None."""

    license: str | None = None
    quantization: str | None = None
    size_bytes: int | None = None
    context_length: int | None = None
    device: str | None = None


class ColumnCard(msgspec.Struct, frozen=True):
    """One column: what was asked, what came, and how it is measured.

    `instruction` is the system prompt, empty where no language was asked for. `state` is complete, stopped or failed;
    `reason` is OpenAI's word for the end of a complete one, and `fault` says why one failed.
    """

    model: str
    adapter: str
    language: str
    instruction: str
    lock: Lock | None
    served: Served | None
    state: State
    reason: str
    fault: str
    answer: str
    reasoning: str
    figures: Figures | None
    in_language: InLanguage | None


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A whole lab. `sampling` is what every request said of it.

    `machine` is the fingerprint of this machine, as `demotic doctor --json` has it; None where the server is elsewhere,
    which does not tell of its own.
    """

    kind: Literal["demotic-lab-card"] = "demotic-lab-card"
    version: Literal[1] = 1
    created: str
    demotic: str
    prompt: str
    order: Order
    sampling: dict[str, Any]
    server: Place
    machine: dict[str, Any] | None
    columns: list[ColumnCard]

    @classmethod
    def of(cls, lab: Lab, *, server: Place, machine: dict[str, Any] | None) -> Card:
        """The card of what a lab's columns answered to its prompt.

        Raises:
            InvalidRequest: they have not all answered yet.
        """
        trials = lab.require_answers()
        return cls(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            demotic=importlib.metadata.version("demotic"),
            prompt=lab.prompt,
            order=lab.order,
            sampling=_DEFAULTS | msgspec.to_builtins(trials[0].sampling),
            server=server,
            machine=machine if server != "elsewhere" else None,
            columns=[_column(trial) for trial in trials],
        )

    def to_json(self) -> str:
        """One JSON document, indented, with every script as it is."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode() + "\n"


def read_card(path: Path) -> Card:
    """A card that was written as JSON.

    Raises:
        InvalidRequest: it cannot be read, or is no card of this version.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Card)
    except (OSError, msgspec.DecodeError) as fault:
        raise InvalidRequest(f"{path} is no card of the language lab: {fault}.") from fault


def default_path() -> Path:
    """Where a card is written if nobody says where: a file of its own in the data folder."""
    return data_dir() / "lab" / f"{datetime.now().astimezone():%Y-%m-%d-%H%M%S}.md"


def files_of(path: Path) -> tuple[Path, Path]:
    """Both files of a card that is called so, Markdown and JSON, whichever of the two endings it has or not."""
    stem = path.with_suffix("") if path.suffix.lower() in {".md", ".json"} else path
    return stem.with_name(f"{stem.name}.md"), stem.with_name(f"{stem.name}.json")


def write(path: Path, markdown: str, json: str, *, overwrite: bool = False) -> tuple[Path, Path]:
    """Write both files, and give their paths.

    Raises:
        CardExists: one is there already, and `overwrite` does not say that it may go.
        InvalidRequest: it cannot be written.
    """
    files = files_of(path)
    if not overwrite:
        refuse_existing(path)
    try:
        for file, text in zip(files, (markdown, json), strict=True):
            write_atomically(file, text)
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise InvalidRequest(_("{path} cannot be written: {reason}.").format(path=path, reason=reason)) from fault
    return files


def refuse_existing(path: Path) -> None:
    """Raise `CardExists` where a file of this card's name is there."""
    for file in files_of(path):
        if file.exists():
            raise CardExists(_("{path} is there already.").format(path=file))


class CardExists(InvalidRequest):
    """There is a card of this name, and nobody has said that it may be written over."""


def _column(trial: Trial) -> ColumnCard:
    column, model = trial.column, trial.served
    served = None
    if model is not None:
        told = model.demotic
        served = Served(
            license=told.license if told else None,
            quantization=told.quantization if told else None,
            size_bytes=told.size_bytes if told else None,
            context_length=model.context_length,
            device=told.device if told else None,
        )
    return ColumnCard(
        model=column.model,
        adapter=column.adapter,
        language=column.language,
        instruction=instruction(column.language) if column.language else "",
        lock=column.lock,
        served=served,
        state=trial.state,
        reason=trial.reason,
        fault=trial.fault,
        answer=trial.text,
        reasoning=trial.reasoning,
        figures=trial.figures,
        in_language=trial.language,
    )
