"""What tests of the pickers share: English afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tui.words import use


@pytest.fixture(autouse=True)
def _in_english() -> Iterator[None]:
    yield
    use("en")
