"""A setting that the chat writes into the configuration file: all else there stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.errors import ConfigurationInvalid
from tui.preferences import remember


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEMOTIC_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'theme = "light"\n'),
        ("# mine\nbidi = 'on'\n", "theme = \"light\"\n# mine\nbidi = 'on'\n"),
        ("bidi = 'on'\n  theme='dark' # old\n", "bidi = 'on'\ntheme = \"light\" # old\n"),
        ('theme = "dark"', 'theme = "light"'),
        ("[table]\ntheme = 1\n", 'theme = "light"\n[table]\ntheme = 1\n'),
    ],
)
def test_a_setting_is_changed_or_added_and_all_else_stays(folder: Path, before: str, after: str) -> None:
    if before:
        folder.mkdir()
        (folder / "config.toml").write_text(before)
    remember("theme", "light")
    assert (folder / "config.toml").read_text() == after


@pytest.mark.parametrize("before", ['theme = """\ndark"""\n', '[other]\ntheme = "x"\n', "theme = [\n"])
def test_a_file_that_cannot_be_changed_safely_stays_as_it_is(folder: Path, before: str) -> None:
    folder.mkdir()
    (folder / "config.toml").write_text(before)
    with pytest.raises(ConfigurationInvalid, match="cannot be changed"):
        remember("theme", "light")
    assert (folder / "config.toml").read_text() == before
    assert [path.name for path in folder.iterdir()] == ["config.toml"]


def test_where_the_file_is_a_link_what_it_leads_to_is_written(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    (tmp_path / "dotfiles.toml").write_text('bidi = "on"\n')
    (folder / "config.toml").symlink_to(tmp_path / "dotfiles.toml")
    remember("theme", "light")
    assert (folder / "config.toml").is_symlink()
    assert 'theme = "light"' in (tmp_path / "dotfiles.toml").read_text()
