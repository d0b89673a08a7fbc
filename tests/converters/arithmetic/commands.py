"""The commands as a person gives them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

import demotic


def run(*arguments: object) -> dict[str, Any]:
    """What a command that must succeed prints with --json."""
    done = _invoke(*arguments, "--json")
    assert done.exit_code == 0, done.exception
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refusal(*arguments: object, left: Path) -> str:
    """The sentence of a command that must fail, and leave nothing but what was in the folder `left`."""
    before = sorted(left.iterdir())
    done = _invoke(*arguments)
    assert done.exit_code != 0
    assert sorted(left.iterdir()) == before
    return str(done.exception)


def _invoke(*arguments: object) -> Any:
    return CliRunner().invoke(demotic.make_app(), list(map(str, arguments)))
