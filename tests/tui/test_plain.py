"""`demotic chat --plain`: the chat line by line, on a pipe and on a terminal."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tui.endpoint import CUT, KEY, WAIT, FakeEndpoint
from tests.tui.test_chat_command import Terminal
from tests.tui.test_tools import SENT
from tui.history import conversations, tree
from tui.history.opening import open_history

FUNCTIONS = Path(__file__).with_name("functions.py")


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where conversations are remembered."""
    monkeypatch.setenv("DEMOTIC_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def arguments(fake: FakeEndpoint) -> list[str]:
    return ["--url", fake.url, "--api-key", KEY]


def file_of_tools(folder: Path) -> Path:
    shutil.copy(FUNCTIONS, folder)
    file = folder / "tools.toml"
    file.write_text('[functions.mine]\nfile = "functions.py"\n')
    return file


def piped(fake: FakeEndpoint, lines: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "demotic", "chat", "--plain", *arguments(fake), *more]
    return subprocess.run(command, input=lines, check=False, capture_output=True, text=True, timeout=60)


def test_each_line_is_said_and_its_answer_is_plain_text(fake: FakeEndpoint) -> None:
    fake.script = [["**Да**, ", "\x1b[31mfine\x07\n- и така"], ["Втора."]]
    done = piped(fake, "Един\\\nдва\n\n//три\n")
    assert (done.returncode, done.stdout) == (0, "**Да**, [31mfine\n- и така\nВтора.\n")
    assert done.stderr == ""
    assert fake.messages(1) == ["Един\nдва", "**Да**, \x1b[31mfine\x07\n- и така", "/три"]


def test_the_message_of_the_command_line_comes_first_and_commands_are_those_of_the_screen(fake: FakeEndpoint) -> None:
    fake.script = [["Eins."], ["Zwei."]]
    done = piped(fake, "/new\n/help\n/language sw\n/hilfe\nUnd\n/quit\nnever said\n", "fake-model", "Zuerst dies")
    assert done.stdout.startswith("Eins.\n/")
    assert "/language CODE: show the chat in this language\n" in done.stdout
    assert done.stdout.endswith("Zwei.\n")
    assert "/hilfe" in done.stderr
    assert fake.messages(1) == ["Und"]
    assert done.returncode == 1


def test_a_line_without_an_answer_is_told_and_shows_in_the_status(fake: FakeEndpoint) -> None:
    overflow = {"message": "Too long.", "code": "context_length_exceeded"}
    fake.script = [["Half an answ", CUT], overflow, ["Better."]]
    done = piped(fake, "One\nTwo\nThree\n")
    assert done.returncode == 1
    assert done.stdout == "Half an answBetter.\n"
    assert "broke off" in done.stderr
    assert "Too long. /new begins a new conversation." in done.stderr
    assert fake.messages(2) == ["One", "Half an answ", "Three"]


def test_bytes_that_are_no_text_are_told_and_the_next_line_is_said(fake: FakeEndpoint) -> None:
    fake.script = [["Yes."]]
    command = [sys.executable, "-m", "demotic", "chat", "--plain", *arguments(fake)]
    done = subprocess.run(command, input=b"caf\xe9\nHello\n", check=False, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, b"Yes.\n")
    assert b"That is not UTF-8 text." in done.stderr


def test_a_server_that_is_not_there_is_one_line_and_status_2() -> None:
    command = [sys.executable, "-m", "demotic", "chat", "--plain", "--url", "http://127.0.0.1:9"]
    done = subprocess.run(command, input="Hi\n", check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("demotic: The model's server does not answer as it should.")


def test_on_a_pipe_nobody_is_asked_about_a_tool(fake: FakeEndpoint, tmp_path: Path) -> None:
    fake.script = [[SENT], ["Не стана."]]
    done = piped(fake, "Прати\n", "--tools-file", str(file_of_tools(tmp_path)))
    assert done.returncode == 3
    assert "[denied]" in done.stderr
    assert done.stdout.endswith("Не стана.\n")


def test_ctrl_c_on_a_pipe_ends_it_with_130(fake: FakeEndpoint) -> None:
    fake.script = [["Once", WAIT]]
    command = [sys.executable, "-m", "demotic", "chat", "--plain", *arguments(fake)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"Tell a story\n")
        process.stdin.flush()
        assert process.stdout.read(4) == b"Once"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in errors


@pytest.fixture
def dumb(fake: FakeEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """The chat on a terminal that says TERM=dumb, with tools."""
    opened = Terminal(*arguments(fake), "--tools-file", str(file_of_tools(tmp_path)), TERM="dumb")
    try:
        yield opened
    finally:
        opened.process.kill()
        opened.process.wait()
        os.close(opened.outer)
        os.close(opened.inner)


def test_a_dumb_terminal_is_talked_with_line_by_line(fake: FakeEndpoint, dumb: Terminal) -> None:
    fake.script = [["Once upon", WAIT, " a time"], ["There was a king."]]
    dumb.read_until("fake-model is ready. /help tells all commands; Ctrl-D quits.", 20)
    dumb.read_until("You: ", 20)
    dumb.press(b"Tell a story\n")
    dumb.read_until("Once upon", 20)
    dumb.process.send_signal(signal.SIGINT)
    dumb.read_until("stopped", 20)
    time.sleep(0.2)
    dumb.process.send_signal(signal.SIGINT)
    dumb.read_until("Ctrl-D quits.\r\nYou: ", 20)
    dumb.press(b"Go on\n")
    dumb.read_until("There was a king.", 20)
    time.sleep(0.2)
    dumb.press(b"\x04")
    assert dumb.ended() == 0
    assert b"\x1b" not in dumb.output
    assert fake.messages(1) == ["Tell a story", "Once upon", "Go on"]


def test_what_is_said_is_remembered_up_to_a_stop_and_gone_on_with(fake: FakeEndpoint, data: Path) -> None:
    fake.script = [["Eins ", "zwei"], ["Drei", CUT], ["Vier."]]
    assert piped(fake, "Zähle\nWeiter\n").returncode == 1
    with open_history(data / "chats.sqlite3") as store:
        (talk,) = conversations.listed(store)
        entries = tree.branch(store, talk.id)
    assert [(entry.role, entry.text, entry.state) for entry in entries] == [
        ("user", "Zähle", "complete"),
        ("assistant", "Eins zwei", "complete"),
        ("user", "Weiter", "complete"),
        ("assistant", "Drei", "failed"),
    ]
    done = piped(fake, "Und\n/stats\n", "--continue")
    assert "Going on with: Zähle" in done.stderr
    assert fake.messages(2) == ["Zähle", "Eins zwei", "Weiter", "Drei", "Und"]
    assert re.search(r"^1\. tokens 2, characters 9, tokens/s [\d.]+, .*\n2\. tokens 1, ", done.stdout, re.MULTILINE)


def test_nothing_is_remembered_where_that_is_not_wanted(fake: FakeEndpoint, data: Path) -> None:
    fake.script = [["Eins."]]
    assert piped(fake, "Zähle\n", "--no-history").stdout == "Eins.\n"
    assert not data.exists()


def test_a_tool_is_asked_about_in_a_line(fake: FakeEndpoint, dumb: Terminal) -> None:
    fake.script = [[SENT], ["Готово."]]
    dumb.read_until("You: ", 20)
    dumb.press("Прати\n".encode())
    dumb.read_until("may it run?", 20)
    dumb.press(b"what?\n")
    dumb.read_until("o/1 once · a/2 always for this tool · d/3 deny\r\nwhat?\r\no/1", 20)
    dumb.press(b"1\n")
    dumb.read_until("Готово.", 20)
    dumb.press(b"/quit\n")
    assert dumb.ended() == 0
    assert fake.requests[1]["messages"][-1]["content"] == "изпратено: здравей, свят"
