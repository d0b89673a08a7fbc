"""What all tests share: a home of their own, the two starter models, and exported graphs of tiny ones."""

from __future__ import annotations

import os

# Threads that wait by spinning bring each other to a standstill where the tests share their cores with anything else:
# 80 tokens/s alone, 33 beside a second process with this setting, 0.9 without it. It must stand before OpenMP loads.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime.model import Model, load
from runtime.models.store import Store

if TYPE_CHECKING:
    from tests.converters.families import Families
    from tests.converters.onnx.sources import Sources


@pytest.fixture(scope="session", autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep cache, configuration and conversations of whoever runs the tests out of them."""
    home = tmp_path_factory.mktemp("home")
    places = {f"DEMOTIC_{name.upper()}_DIR": str(home / name) for name in ("cache", "config", "data")}
    with pytest.MonkeyPatch.context() as patch:
        for name, place in places.items():
            patch.setenv(name, place)
        patch.setenv("HF_HUB_OFFLINE", "0")
        for name in [name for name in os.environ if name.startswith(("HF_TOKEN", "DEMOTIC_API_KEY"))]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def smollm2_path(_own_home: None) -> Path:
    return Store().resolve("smollm2-135m-instruct").path


@pytest.fixture(scope="session")
def gemma_path(_own_home: None) -> Path:
    return Store().resolve("gemma-3-270m").path


@pytest.fixture(scope="session")
def smollm2(_own_home: None) -> Iterator[Model]:
    with load("smollm2-135m-instruct", context_length=2048) as model:
        yield model


@pytest.fixture(scope="session")
def gemma(_own_home: None) -> Iterator[Model]:
    with load("gemma-3-270m", context_length=2048) as model:
        yield model


@pytest.fixture(scope="session")
def families(tmp_path_factory: pytest.TempPathFactory) -> Families:
    """Tiny decoders, each made and converted when a test first asks for it; who changes one takes a copy."""
    from tests.converters.families import Families

    return Families(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Tiny checkpoints, and the graphs that are made of each when a test first asks for it."""
    from tests.converters.onnx.sources import Sources

    return Sources(tmp_path_factory.mktemp("onnx"))
