"""How far work in steps has come, told on standard error."""

from __future__ import annotations

import itertools
import time

import pytest

from converters.progress import StepBar, StepLines, steps_for


def test_lines_come_now_and_then_with_the_time_that_is_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(100, 4)  # each time it is asked, four seconds later
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    lines = StepLines()
    lines.start("Calibrating", 4)
    for _ in range(4):
        lines.advance()
    lines.finish()
    out, err = capsys.readouterr()
    assert out == ""
    told = err.splitlines()
    assert told[0] == "Calibrating: 0 of 4"
    assert told[-1] == "Calibrating: 4 of 4"
    # Three steps took 20 seconds by that clock.
    assert told[1:-1] == ["Calibrating: 3 of 4, about 7 s left"]


def test_a_bar_shows_steps_and_is_gone_from_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    bar = StepBar()
    bar.start("Calibrating", 2)
    bar.advance()
    bar.advance()
    bar.finish()
    out, err = capsys.readouterr()
    assert out == ""
    assert "Calibrating" in err
    assert "2/2" in err


def test_a_program_that_reads_along_gets_lines() -> None:
    assert isinstance(steps_for(as_json=True), StepLines)
