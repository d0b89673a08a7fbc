"""`demotic chat` with tools where there is no terminal: nobody can be asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

import tui.chat
import tui.switching
from runtime.errors import ConfigurationInvalid, InvalidRequest
from tests.tui.endpoint import Call, FakeEndpoint, running_endpoint
from tests.tui.test_tools import SENT, settings, told
from tui.cli import _chat
from tui.events import Endpoint


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEndpoint]:
    with running_endpoint() as running:

        class Running:
            """`tui.switching.SwitchedServer` over a server that runs already."""

            def __init__(self, model: str | None, *, adapter_dir: Path | None) -> None:
                pass

            async def __aenter__(self) -> Self:
                return self

            async def __aexit__(
                self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
            ) -> None:
                pass

            async def endpoint(self) -> Endpoint:
                return await running.connect()

        monkeypatch.setattr(tui.switching, "SwitchedServer", Running)
        yield running


def test_what_nobody_approved_is_denied_with_status_3(fake: FakeEndpoint, capsys: pytest.CaptureFixture[str]) -> None:
    fake.script = [["Ще пратя.", SENT], ["Не стана."]]
    assert tui.chat.chat("m", "Изпрати поздрав на всички приятели, моля.", settings()) == 3
    printed = capsys.readouterr()
    assert printed.out == "Ще пратя.\n\nНе стана.\n"
    assert '[send {"text": "здравей, свят"}]\n[denied]\n[1 call, ' in printed.err
    assert told(fake, 1)[-1]["content"].startswith("Потребителят не разреши функцията send")


def test_what_is_approved_runs(fake: FakeEndpoint, capsys: pytest.CaptureFixture[str]) -> None:
    fake.script = [[SENT, Call("weather", ('{"city": "Варна"}',))], ["Готово."]]
    assert tui.chat.chat("m", "Прати", settings("send", read_only=True)) == 0
    assert "[answered with 24 characters after" in capsys.readouterr().err
    assert [turn["content"] for turn in told(fake, 1)[1:]] == ["изпратено: здравей, свят", "18 °C, Варна"]


def test_a_file_of_tools_that_is_not_there_is_told_before_anything_starts() -> None:
    with pytest.raises(ConfigurationInvalid, match=r"There is no .*nowhere\.toml"):
        _chat("m", "Hi", tools_file=Path("nowhere.toml"))


def test_options_of_tools_without_tools_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="Name them with --tools"):
        _chat("m", "Hi", approve=["send"])
