"""`demotic history ...`, as a script and a person meet it, and what is exported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import demotic
from runtime.chat.reasoning import Piece
from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.loop import CallAsked, CallEnded
from runtime.errors import ConversationNotFound, DemoticError, HistoryUnusable, InvalidRequest
from tests.tui.history.openai import branched, write
from tui.events import AnswerFinished
from tui.history import conversations, tree
from tui.history.answers import AnswerWriter
from tui.history.opening import open_history
from tui.history.records import NewMessage

ENDED = AnswerFinished("stop", 5, 40, 0.5, 2.0)


@pytest.fixture(autouse=True)
def _own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMOTIC_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def number() -> int:
    """A conversation with a branch, a call, and an answer that failed."""
    with open_history() as store:
        talk = conversations.create(store, model="gemma-3-270m", system_prompt="Кратко.", settings={"seed": 1})
        tree.add(store, talk.id, None, NewMessage("user", "Колко е часът?"))
        said = tree.add(store, talk.id, None, NewMessage("user", "Колко е часът в ```София```?"))
        writer = AnswerWriter(store, said, model="gemma-3-270m")
        writer.take(Piece("reasoning", "Ще питам.\nСега."))
        writer.take(ENDED)
        asked = CallAsked(ToolCall("c1", "get_time", '{"zone": "Europe/Sofia"}'))
        writer.take(asked)
        writer.take(CallEnded(asked, "answered", "12:00 ```` x", 0.25))
        writer.take(Piece("content", "Пладне е."))
        writer.finish("failed", "The server is gone.")
        return talk.id


def run(*words: str) -> Any:
    """What a command prints as JSON."""
    return json.loads(printed(*words))


def printed(*words: str) -> str:
    done = CliRunner().invoke(demotic.make_app(), ["history", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def failing(*words: str) -> BaseException | None:
    return CliRunner().invoke(demotic.make_app(), ["history", *words]).exception


def test_list_shows_what_there_is(number: int) -> None:
    with open_history() as store:
        conversations.pin(store, number, is_pinned=True)
    (row,) = run("list", "--json")["conversations"]
    assert (row["id"], row["title"], row["pinned"], row["num_messages"]) == (number, "Колко е часът?", True, 5)
    assert (row["model"], row["deleted"]) == ("gemma-3-270m", None)
    assert "Колко е часът?" in printed("list")


def test_delete_can_be_undone(number: int) -> None:
    assert run("delete", str(number), "--json") == {"deleted": [number], "kept_days": 30.0}
    assert run("list", "--json") == {"conversations": []}
    assert run("search", "часът", "--json") == {"hits": []}
    (row,) = run("list", "--deleted", "--json")["conversations"]
    assert row["deleted"]
    assert run("restore", str(number), "--json") == {"restored": [number]}
    assert len(run("list", "--json")["conversations"]) == 1
    assert f"demotic history restore {number}" in printed("delete", str(number))
    assert f"Restored {number}." in printed("restore", str(number))


def test_deleting_what_is_not_there_deletes_nothing(number: int) -> None:
    assert isinstance(failing("delete", str(number), "99"), ConversationNotFound)
    assert len(run("list", "--json")["conversations"]) == 1


def test_search_tells_where_with_places(number: int) -> None:
    hits = run("search", "СОФИЯ", "--json")["hits"]
    (hit,) = hits
    assert (hit["conversation"], hit["role"]) == (number, "user")
    assert [hit["snippet"][start:end] for start, end in hit["marks"]] == ["София"]
    assert "```София```" in printed("search", "софия")
    assert len(run("search", "е", "--limit", "1", "--json")["hits"]) == 1


MARKDOWN = """\
# Колко е часът?

- Begun: TIME
- Model: gemma-3-270m

## System prompt

Кратко.

## You

Колко е часът в ```София```?

## Assistant (gemma-3-270m)

> Ще питам.
> Сега.

Calls get_time:

```json
{"zone": "Europe/Sofia"}
```

### Result of get_time

`````
12:00 ```` x
`````

## Assistant (gemma-3-270m), failed

Пладне е.

*The server is gone.*
"""


def test_markdown_has_what_was_on_the_screen(number: int, tmp_path: Path) -> None:
    begun = run("list", "--json")["conversations"][0]["created"]
    assert printed("export", str(number)) == MARKDOWN.replace("TIME", begun)
    assert printed("show", str(number)) == MARKDOWN.replace("TIME", begun)
    printed("export", str(number), "-o", str(tmp_path / "talk.md"))
    assert (tmp_path / "talk.md").read_text(encoding="utf-8") == MARKDOWN.replace("TIME", begun)
    assert printed("export", str(number), str(number)).count("# Колко е часът?\n") == 2


def test_json_has_everything(number: int, tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    printed("export", "-o", str(path))
    whole = json.loads(path.read_text(encoding="utf-8"))
    assert whole == run("export", str(number), "--format", "json")
    assert "Колко" in path.read_text(encoding="utf-8"), "scripts stay as they are"
    assert (whole["format"], whole["version"]) == ("demotic-chats", 1)
    (talk,) = whole["conversations"]
    assert talk == run("show", str(number), "--json")
    assert (talk["system_prompt"], talk["settings"], talk["draft"]) == ("Кратко.", {"seed": 1}, "")
    messages = {message["id"]: message for message in talk["messages"]}
    assert len(messages) == 5
    current = [messages[at] for at in talk["current"]]
    assert [message["role"] for message in current] == ["user", "assistant", "tool", "assistant"]
    assert [message["parent"] for message in current[1:]] == talk["current"][:-1]
    assert current[1]["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "get_time", "arguments": '{"zone": "Europe/Sofia"}'}}
    ]
    assert current[1]["figures"]["tokens_per_second"] == 2.0
    assert current[1]["reasoning"] == "Ще питам.\nСега."
    assert (current[2]["tool_call_id"], current[2]["name"], current[2]["seconds"]) == ("c1", "get_time", 0.25)
    assert (current[3]["state"], current[3]["fault"]) == ("failed", "The server is gone.")


def test_an_export_that_cannot_be_written_leaves_nothing(number: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert isinstance(failing("export", "-o", str(tmp_path / "file" / "x.json")), HistoryUnusable)
    assert isinstance(failing("export", "-o", str(tmp_path / "talk.docx")), InvalidRequest)
    assert isinstance(failing("export", "99", "-o", str(tmp_path / "talk.md")), ConversationNotFound)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_import_tells_what_came(tmp_path: Path) -> None:
    path = write(tmp_path / "export.zip", branched(), {"mapping": 7})
    result = run("import", str(path), "--json")
    assert (len(result["conversations"]), result["num_messages"], len(result["refused"])) == (1, 5, 1)
    assert "1 were there already" in printed("import", str(path))
    assert isinstance(failing("import", str(tmp_path / "none.zip")), DemoticError)


def test_nothing_of_a_stranger_s_text_reaches_a_terminal_as_a_command(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tui.history import commands

    with open_history() as store:
        talk = conversations.create(store)
        tree.add(store, talk.id, None, NewMessage("user", "clear \x1b[2J it"))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    commands.show(talk.id, as_json=False)
    commands.find("clear", limit=5, as_json=False)
    commands.list_conversations(is_deleted=False, as_json=False)
    assert "\x1b[2J" not in capsys.readouterr().out


def test_as_a_process_a_fault_is_one_line(tmp_path: Path) -> None:
    environment = os.environ | {"DEMOTIC_DATA_DIR": str(tmp_path / "data")}
    command = [sys.executable, "-m", "demotic", "history"]
    done = subprocess.run([*command, "show", "7"], capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "demotic: There is no conversation 7. `demotic history list` shows those that there are.\n"
    (tmp_path / "data" / "chats.sqlite3").write_bytes(b"broken " * 1000)
    done = subprocess.run([*command, "list"], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "is damaged" in done.stderr
