"""An adapter of the tiny Llama, which a test that changes it takes a copy of."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.converters.families import Families
from tests.tiny.adapters import save_adapter


@pytest.fixture(scope="session")
def plain_adapter(families: Families, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "legal"
    save_adapter(folder, families["llama"].model, targets=("q_proj", "v_proj"))
    return folder


@pytest.fixture
def adapter(plain_adapter: Path, tmp_path: Path) -> Path:
    """A folder of its own with an adapter of queries and values."""
    return Path(shutil.copytree(plain_adapter, tmp_path / "legal"))
