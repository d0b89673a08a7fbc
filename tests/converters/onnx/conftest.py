"""Checkpoints and exports that all tests of this folder share."""

from __future__ import annotations

import pytest

from tests.converters.onnx.sources import Sources


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return Sources(tmp_path_factory.mktemp("onnx"))
