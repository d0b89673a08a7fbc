"""What tests of the chat share: an endpoint that answers from a script, and a hub with one model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.hub import FakeHub, running_hub
from tests.tiny.gguf import write_tiny_gguf
from tests.tui.endpoint import FakeEndpoint, running_endpoint


@pytest.fixture
def fake() -> Iterator[FakeEndpoint]:
    with running_endpoint() as running:
        yield running


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub with a tiny model as hf:a/b, for the child processes too, and an empty cache."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("DEMOTIC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("DEMOTIC_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with running_hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        running.add("a/b", m__gguf=write_tiny_gguf(tmp_path / "m.gguf", chat_template="{{ messages }}").read_bytes())
        yield running
