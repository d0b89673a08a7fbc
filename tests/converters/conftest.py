"""Tiny checkpoints that all tests of the converters share; a test that changes one takes a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.converters.families import Families


@pytest.fixture(scope="session")
def families(tmp_path_factory: pytest.TempPathFactory) -> Families:
    return Families(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture
def llama(families: Families, tmp_path: Path) -> Path:
    """A folder of its own with a tiny Llama in one safetensors file."""
    return Path(shutil.copytree(families["llama"].folder, tmp_path / "tiny-llama"))
