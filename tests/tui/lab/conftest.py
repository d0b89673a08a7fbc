"""What tests of the lab share: a server with two models, folders of their own, and English afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tui.endpoint import FakeEndpoint, running_endpoint
from tui.words import use

MODELS: list[dict[str, Any]] = [{"id": "small"}, {"id": "large"}]


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DEMOTIC_DATA_DIR", str(tmp_path / "data"))
    yield
    use("en")


@pytest.fixture
def fake() -> Iterator[FakeEndpoint]:
    with running_endpoint() as running:
        running.models = MODELS
        yield running
