"""`demotic chat` as a person or a script meets it, in a process of its own."""

from __future__ import annotations

import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path

import psutil

CHAT = "smollm2-135m-instruct"
QUESTION = "What is the capital of France? Answer in one sentence."
ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "demotic", "chat"]


def chat(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], input=stdin, check=False, capture_output=True, text=True, timeout=240)


def sentence_of(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a command that failed as it should."""
    assert done.returncode == 2, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_without_a_terminal_the_message_is_answered_once() -> None:
    done = chat(CHAT, QUESTION)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert done.stdout.endswith("\n")
    assert "tokens/s" in done.stderr.splitlines()[-1]


def test_what_is_piped_in_is_the_message_and_the_default_model_answers_it() -> None:
    done = chat(stdin=f"{QUESTION}\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_without_terminal_and_prompt_there_is_one_line_and_status_2() -> None:
    for stdin in ("", " \n"):
        assert sentence_of(chat(CHAT, stdin=stdin)).startswith("demotic: There is no prompt")


def test_bytes_that_are_no_text_are_refused() -> None:
    done = subprocess.run([*COMMAND, CHAT], input=b"caf\xe9", check=False, capture_output=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith(b"demotic: The message is not UTF-8 text.")


def test_an_unknown_model_is_one_line_with_the_nearest_name() -> None:
    line = sentence_of(chat("smolm2-135m-instruct", "Hi"))
    assert line == f"demotic: There is no model named 'smolm2-135m-instruct'. Did you mean {CHAT}?"
    assert sentence_of(chat("smolm2-135m-instruct", stdin="Hi")) == line


def test_a_sentence_in_any_script_is_the_message_and_not_the_model() -> None:
    from tui.chat import _looks_like_model

    for model in (CHAT, "./m.gguf", "hf:org/repo@main:Q4_K_M", "models/имя модели.gguf", "~/m.gguf"):
        assert _looks_like_model(model)
    for message in ("Tell me a story", "你好", "Здравствуй!", "Hello?", "¿Qué?"):
        assert not _looks_like_model(message)


def test_ctrl_c_without_a_terminal_stops_the_answer_and_the_server() -> None:
    process = subprocess.Popen(
        [*COMMAND, CHAT, "Write a very long story about a ship."],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (servers := psutil.Process(process.pid).children()):
        time.sleep(0.05)
    (server,) = servers
    assert process.stdout is not None
    assert process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert not server.is_running()


class Terminal:
    """`demotic chat` on a pseudo-terminal, from its outer side."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.outer, self.inner = pty.openpty()
        ioctl(self.inner, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.before = termios.tcgetattr(self.inner)
        self.output = b""
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=self.inner,
            stdout=self.inner,
            stderr=self.inner,
            start_new_session=True,
            env=os.environ | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"} | environment,
        )

    def read_until(self, text: str, seconds: float = 90) -> None:
        end = time.monotonic() + seconds
        while text.encode() not in self.output:
            assert time.monotonic() < end, self.output[-2000:]
            if select.select([self.outer], [], [], 0.1)[0]:
                self.output += os.read(self.outer, 65536)

    def press(self, keys: bytes) -> None:
        os.write(self.outer, keys)

    def ended(self) -> int:
        """The exit status, when all output has been read."""
        while self.process.poll() is None:
            if select.select([self.outer], [], [], 0.1)[0]:
                self.output += os.read(self.outer, 65536)
        while select.select([self.outer], [], [], 0.1)[0]:
            self.output += os.read(self.outer, 65536)
        return self.process.returncode


@contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    opened = Terminal(*arguments)
    try:
        yield opened
    finally:
        opened.process.kill()
        opened.process.wait()
        os.close(opened.outer)
        os.close(opened.inner)


def test_on_a_terminal_the_chat_opens_and_quits_leaving_the_terminal_in_order() -> None:
    with terminal(CHAT) as opened:
        opened.read_until("loading")
        opened.read_until("ready")
        opened.press(b"\x11")
        assert opened.ended() == 0
        assert termios.tcgetattr(opened.inner) == opened.before
        assert b"\x1b[?1049h" in opened.output
        left = opened.output.rsplit(b"\x1b[?1049l", 1)
        assert len(left) == 2, "the alternate screen was left"
        assert b"\x1b[?25h" in opened.output
        assert b"Traceback" not in opened.output


def test_the_interface_is_in_the_language_that_is_asked_for_and_the_terminal_is_asked_who_reorders() -> None:
    with terminal("smolm2-135m-instruct", "--interface-language", "sw") as opened:
        opened.read_until("haijaanza")
        assert b"\x1b[8l\x1b[8$p" in opened.output
        opened.press(b"\x11")
        assert opened.ended() == 2
    with terminal("smolm2-135m-instruct", "--bidi", "off") as opened:
        opened.read_until("not started")
        assert b"\x1b[8l" not in opened.output
        assert b"\x1b[8$p" not in opened.output
        opened.press(b"\x11")
        assert opened.ended() == 2


def test_a_language_or_setting_that_there_is_not_is_one_line() -> None:
    line = sentence_of(chat(CHAT, "Hi", "--interface-language", "tlh"))
    assert line == (
        "demotic: The interface has no texts in 'tlh'. It has them in en, nl, es, fr, bg, ar, hi, zh, ja, sw."
    )
    line = sentence_of(chat(CHAT, "Hi", "--bidi", "maybe"))
    assert line == "demotic: 'maybe' is no setting of bidi. It is one of auto, on, off."


def test_tools_are_there_with_the_chat_and_end_with_it(tmp_path: Path) -> None:
    tools = tmp_path / "tools.toml"
    tools.write_text(
        f'[servers.faulty]\ncommand = "{sys.executable}"\nargs = ["-m", "tests.fakes.mcp_server"]\ncwd = "{ROOT}"\n'
    )
    with terminal(CHAT, "--tools-file", str(tools), "--approve", "faulty_echo") as opened:
        opened.read_until("faulty_echo")
        opened.read_until("ready")
        children = psutil.Process(opened.process.pid).children(recursive=True)
        assert any("tests.fakes.mcp_server" in child.cmdline() for child in children)
        opened.press(b"\x11")
        assert opened.ended() == 0
        _, alive = psutil.wait_procs(children, timeout=20)
        assert not alive


def test_the_sentence_of_a_model_that_did_not_start_is_still_there_after_quitting() -> None:
    with terminal("smolm2-135m-instruct") as opened:
        opened.read_until("not started")
        opened.press(b"\x03")
        assert opened.ended() == 2
        after = opened.output.rsplit(b"\x1b[?1049l", 1)[1].decode()
        assert f"Did you mean {CHAT}?" in after


def test_the_server_ends_with_a_chat_that_is_killed() -> None:
    with terminal(CHAT) as opened:
        opened.read_until("loading")
        (server,) = psutil.Process(opened.process.pid).children()
        opened.read_until("ready")
        opened.process.kill()
        _, alive = psutil.wait_procs([server], timeout=20)
        for process in alive:
            process.kill()
        assert not alive
