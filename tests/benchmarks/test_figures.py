"""What the documentation says of speed: it is made from the results files, and is up to date."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest

from benchmarks.figures import pictures, results, rows, sections
from benchmarks.figures.results import FOLDER, between, number, result

MEND = "run `python -m benchmarks.figures.pictures`"


def texts_in(svg: Path) -> list[str]:
    """What a picture says; matplotlib writes it in comments beside the outlines of the letters."""
    return re.findall(r"<!-- (.*?) -->", svg.read_text(encoding="utf-8"))


def test_the_pictures_of_the_documentation_show_what_the_results_files_have(tmp_path: Path) -> None:
    pictures.draw_all(tmp_path)
    drawn = sorted(path.name for path in tmp_path.iterdir())
    assert drawn == sorted(path.name for path in pictures.FOLDER.iterdir()), MEND
    for name in drawn:
        assert texts_in(tmp_path / name) == texts_in(pictures.FOLDER / name), f"{name} is stale: {MEND}"
        assert len(texts_in(tmp_path / name)) > 20


def test_every_figure_names_its_results_file_and_how_to_repeat_it() -> None:
    found: list[rows.Beside | rows.Alone] = [*rows.beside_others(), *rows.alone()]
    assert len(found) > 20
    for row in found:
        assert (FOLDER / f"{row.result}.json").exists()
        assert row.repeat.startswith(("`scripts/bench", "`python -m benchmarks.", "`demotic bench", "[how]"))
        assert row.repeat in row.cells()[-1]


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("startup", lambda found: found.update(ratio=7.654), "| 7.65 |"),
        ("masks", lambda found: found["again"].update(median=0.5555), "0.56 ms"),
        ("languages-gemma-3-270m", lambda found: found["models"][0]["languages"][0].update(tokens=77), "| 77 |"),
        ("trim", lambda found: found["rows"][0]["report"].update(rows=[262144, 1234]), "| 1,234 of 262,144 |"),
    ],
)
def test_another_result_makes_another_page(
    name: str, change: object, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = copy.deepcopy(result(name))
    assert callable(change)
    change(changed)
    before = sections.readme()
    real = results.result
    for module in (rows, sections):
        monkeypatch.setattr(module, "result", lambda asked: changed if asked == name else real(asked))
    after = sections.readme()
    assert said in after
    assert said not in before


def test_numbers_have_three_digits_that_count() -> None:
    assert [number(value) for value in (0.1234, 12.345, 999.4, 12345.6)] == ["0.123", "12.3", "999", "12,346"]
    assert between([2.4, 2.104, 2.2]) == "2.10 to 2.40"
    assert between([0.5, 0.5], "{:.0%}") == "50%"
