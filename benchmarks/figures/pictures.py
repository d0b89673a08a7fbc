"""The pictures of the documentation, drawn from the results files.

    python -m benchmarks.figures.pictures

They go to docs/pictures/. Needs the extra `plot`.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import plots
from benchmarks.figures.results import result, told
from benchmarks.figures.sections import SHOWN_LANGUAGES, trim_speeds
from benchmarks.languages.picture import draw
from benchmarks.script import leave_with
from runtime.language.codes import Language, english_name

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"


def draw_all(folder: Path) -> None:
    """Draw every picture into `folder`."""
    _trim(folder / "trim.svg")
    languages = result("languages-gemma-3-270m")
    draw(languages, folder / "languages.svg")
    draw(languages, folder / "languages-some.svg", SHOWN_LANGUAGES)


def _trim(path: Path) -> None:
    rows = [row for row in result("trim")["rows"] if row["model"] == "gemma-3-270m"]
    groups = {
        english_name(Language(*row["report"]["sources"][0]["name"].split("_"))): {
            side: characters for side, (_, characters) in trim_speeds(row).items()
        }
        for row in rows
    }
    note = f"Decoding, in characters of held-out text of the language. {told(rows[0]['machine'])}."
    title = "Gemma 3 270M, trimmed for a language and English"
    plots.bars(path, title, "characters/s", groups, note=note, form="{:.0f}")


def main() -> int:
    """Draw them where the pages look for them."""
    draw_all(FOLDER)
    return 0


if __name__ == "__main__":
    leave_with(main)
