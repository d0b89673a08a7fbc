"""A tiny checkpoint that tests of the converters may change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.converters.families import Families


@pytest.fixture
def llama(families: Families, tmp_path: Path) -> Path:
    """A folder of its own with a tiny Llama in one safetensors file."""
    return Path(shutil.copytree(families["llama"].folder, tmp_path / "tiny-llama"))
