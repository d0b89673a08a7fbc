"""Plots: whole files, the same each time, with the values in them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import plots
from runtime.errors import ConfigurationInvalid, InvalidRequest

LINES = [plots.Line("gemma", [64, 512], [600, 700], [580, 690], [620, 710]), plots.Line("smol", [64, 512], [900, 950])]


def draw(kind: str, path: Path) -> None:
    match kind:
        case "bars":
            groups = {"bul Bulgarian": {"before": 1.0, "after": 2.0}, "tha Thai": {"before": 3.0, "after": 4.5}}
            plots.bars(path, "Speed", "characters/s", groups, note="Two threads.")
        case "lines":
            plots.lines(path, "Speed", "prompt tokens", "tokens/s", LINES, note="Two threads.")
        case "heat map":
            rows = ["bul Bulgarian", "tha Thai", "eng English"]
            columns = [plots.Column("tokens", is_high_good=None), plots.Column("time")]
            plots.heat_map(path, "Cost", rows, columns, [[1.0, 2.5], [3.75, None], [0.5, 9.0]], blocks=2)


@pytest.mark.parametrize("kind", ["bars", "lines", "heat map"])
def test_the_same_data_make_the_same_svg_and_png(kind: str, tmp_path: Path) -> None:
    for suffix in plots.SUFFIXES:
        paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
        for path in paths:
            draw(kind, path)
        first, second = (path.read_bytes() for path in paths)
        assert first == second
        assert first.startswith(b"<?xml" if suffix == ".svg" else b"\x89PNG")
    assert b"<dc:date>" not in (tmp_path / "a.svg").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.svg", "b.png", "b.svg"]


def test_every_value_of_a_heat_map_is_printed_in_its_cell(tmp_path: Path) -> None:
    draw("heat map", tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text(encoding="utf-8")
    # Text is drawn as outlines; matplotlib says in comments what they say.
    for text in ("bul Bulgarian", "tokens", "1", "2.5", "3.75", "–", "0.5", "9"):
        assert f"<!-- {text} -->" in drawn, text


def test_the_better_a_value_the_lighter_its_cell() -> None:
    assert plots._shades([1.0, 10.0, 100.0, None], is_high_good=False) == [0.0, 0.5, 1.0, None]
    assert plots._shades([0.0, 5.0, 10.0], is_high_good=True) == [1.0, 0.5, 0.0]
    assert plots._shades([3.0, 3.0], is_high_good=False) == [0.0, 0.0]
    assert plots._shades([3.0, 4.0], is_high_good=None) == [None, None]


def test_another_kind_of_file_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"End it in \.svg or \.png\."):
        plots.check_target(tmp_path / "a.pdf")
    plots.check_target(tmp_path / "a.SVG")


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidRequest, match=r"cannot be written"):
        draw("bars", tmp_path / "file" / "a.svg")


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigurationInvalid, match=r"pip install 'demotic\[plot\]'"):
        plots.check_target(tmp_path / "a.svg")
