"""One server of all encoder-decoders, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.converters.onnx.sources import Sources
from tests.runtime.onnx.serving import serving_here
from tests.runtime.onnx.writers import TRANSLATORS, Writer, make_writer


@pytest.fixture(scope="session")
def writers(sources: Sources) -> dict[str, Writer]:
    return {name: make_writer(sources, name) for name in ("madlad", *TRANSLATORS)}


@pytest.fixture(scope="session")
def http(sources: Sources) -> Iterator[httpx.Client]:
    with serving_here({name: sources.exported(name).path for name in ("mbart50", "madlad", *TRANSLATORS)}) as client:
        yield client
