"""Pictures of the chat, in two sizes and four scripts, held against those that somebody has looked at.

`pytest tests/tui/test_pictures.py --snapshot-update` takes them anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.tui.endpoint import FakeEndpoint, running_endpoint
from tests.tui.scenes import answers_of_lab, chat, commanded, conversation, figures_of_lab, lab, listed_output
from tui.choosing import offers
from tui.lab import trial
from tui.words import use

SMALL, LARGE = (80, 24), (140, 45)
SCENES: dict[str, Callable[[str], Callable[[Pilot[Any]], Awaitable[None]]]] = {
    "conversation": conversation,
    "conversations": lambda _code: commanded("open"),
    "models": lambda _code: commanded("model"),
    "sampling": lambda _code: commanded("sampling"),
    "keys": lambda _code: commanded("keys"),
    "lab": lab,
}
# All four languages in the small terminal; in the large one those where more than the width differs.
TAKEN = [
    *((scene, code, SMALL) for scene in SCENES for code in ("en", "ar", "hi", "ja")),
    *(("conversation", code, LARGE) for code in ("en", "ar", "hi", "ja")),
    *(
        (scene, code, LARGE)
        for scene, code in (("conversations", "ar"), ("models", "ja"), ("keys", "hi"), ("lab", "ar"))
    ),
]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEndpoint]:
    monkeypatch.setattr(offers, "output_of", listed_output)
    monkeypatch.setattr(trial, "figures_of", figures_of_lab)
    with running_endpoint() as running:
        yield running
    use("en")


@pytest.mark.parametrize(
    ("scene", "code", "size"), [pytest.param(*taken, id=f"{taken[0]}-{taken[1]}-{taken[2][0]}") for taken in TAKEN]
)
def test_it_looks_as_it_did(
    fake: FakeEndpoint, snap_compare: Callable[..., bool], scene: str, code: str, size: tuple[int, int]
) -> None:
    use(code)
    fake.script = [[text] for text in answers_of_lab(code)]
    assert snap_compare(chat(fake), terminal_size=size, run_before=SCENES[scene](code))
