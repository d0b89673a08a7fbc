"""The file of tools: what it may say, and that everything else is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.chat.tools.settings import FunctionSettings, ServerSettings, ToolSettings
from runtime.errors import ConfigurationInvalid

GOOD = """
approve = ["time_get_current_time"]
approve_read_only = true

[limits]
max_rounds = 3
call_seconds = 2.5

[servers.time]
command = "mcp-server-time"
args = ["--local-timezone", "Europe/Sofia"]
env = { LANG = "bg_BG.UTF-8" }
pass_env = ["TZ"]
cwd = "work"

[servers.notes]
url = "http://127.0.0.1:9000/mcp"
token_env = "NOTES_TOKEN"

[functions.mine]
file = "mine.py"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "tools.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_names_servers_functions_approvals_and_limits(tmp_path: Path) -> None:
    settings = ToolSettings.read(written(tmp_path, GOOD))
    assert settings.servers["time"] == ServerSettings(
        command="mcp-server-time",
        args=("--local-timezone", "Europe/Sofia"),
        env={"LANG": "bg_BG.UTF-8"},
        pass_env=("TZ",),
        cwd=str(tmp_path / "work"),
    )
    assert settings.servers["notes"].url == "http://127.0.0.1:9000/mcp"
    assert settings.functions == {"mine": FunctionSettings(str(tmp_path / "mine.py"))}
    assert (settings.approve, settings.approve_read_only) == (("time_get_current_time",), True)
    assert (settings.limits.max_rounds, settings.limits.call_seconds) == (3, 2.5)
    assert settings.approving(("more",)).approve == ("time_get_current_time", "more")


def test_without_a_name_it_is_that_of_the_configuration_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMOTIC_CONFIG_DIR", str(tmp_path))
    with pytest.raises(ConfigurationInvalid, match=r"There is no .*tools\.toml"):
        ToolSettings.read()
    written(tmp_path, '[servers.a]\ncommand = "a"\n')
    assert ToolSettings.read().servers["a"].cwd == str(tmp_path)
    assert not ToolSettings.read().approve_read_only


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[servers", "cannot be read"),
        ("", "names no tools"),
        ("aprove = []\n[servers.a]\ncommand = 'a'", "unknown field `aprove`"),
        ("[servers.a]\ncomand = 'a'", r"\[servers\.a\].*unknown field `comand`"),
        ("[servers.a]\ncommand = 3", r"\[servers\.a\].*Expected `str"),
        ("[servers.a]\nargs = []", "either 'command' or 'url'"),
        ("[servers.a]\ncommand = 'a'\nurl = 'http://a/'", "either 'command' or 'url'"),
        ("[servers.a]\nurl = 'file:///etc/passwd'", "no address of a web server"),
        ("[servers.a]\nurl = 'http://user:secret@host/mcp'", "no address of a web server"),
        ("[servers.a]\nurl = 'http://host/mcp'\ncwd = 'x'", "'cwd' means nothing"),
        ("[servers.a]\ncommand = 'a'\ntoken_env = 'T'", "'token_env' means nothing"),
        ("[servers.'a b']\ncommand = 'a'", "'a b'.*no name"),
        ("[functions.a]\nfile = '../../mine.py'", "outside of"),
        ("[limits]\nmax_round = 3\n[servers.a]\ncommand = 'a'", "unknown limit 'max_round'"),
        ("[limits]\nmax_rounds = 0\n[servers.a]\ncommand = 'a'", "'max_rounds'.*above 0"),
        ("[limits]\nmax_rounds = 1.5\n[servers.a]\ncommand = 'a'", "'max_rounds'.*above 0"),
    ],
)
def test_what_it_must_not_say_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=words):
        ToolSettings.read(written(tmp_path, text))


def test_a_file_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    path.chmod(0o666)
    with pytest.raises(ConfigurationInvalid, match=r"Everybody may write .*chmod o-w"):
        ToolSettings.read(path)
