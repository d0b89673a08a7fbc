"""`demotic run --tools` as a person or a script meets it: a real MCP server, and a model that calls its tools."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.fakes.run import command, scripted_model

ROOT = Path(__file__).parents[1]
TIME = f"""
[servers.time]
command = "{sys.executable}"
args = ["-m", "mcp_server_time", "--local-timezone", "Europe/Sofia"]
"""
FAULTY = f"""
[servers.faulty]
command = "{sys.executable}"
args = ["-m", "tests.fakes.mcp_server"]
cwd = "{ROOT}"
"""
CONVERT = '{"source_timezone": "Europe/Sofia", "time": "16:30", "target_timezone": "Asia/Tokyo"}'
ASK = f'Ще проверя.\n<tool_call>\n{{"name": "time_convert_time", "arguments": {CONVERT}}}\n</tool_call>'
QUESTION = "Колко е часът в Токио, когато в София е 16:30?"


def tools_file(folder: Path, text: str) -> str:
    path = folder / "tools.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def run(folder: Path, answers: list[str], tools: str, *more: str) -> subprocess.CompletedProcess[str]:
    arguments = ["run", str(scripted_model(folder)), QUESTION, "--tools-file", tools_file(folder, tools), *more]
    return subprocess.run(
        command(answers, *arguments), check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60
    )


def test_a_model_s_call_reaches_a_real_server_and_the_answer_follows(tmp_path: Path) -> None:
    done = run(tmp_path, [ASK, "В Токио е 23:30."], TIME, "--approve", "time_convert_time")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Ще проверя.\n\nВ Токио е 23:30.\n"
    assert f"[time_convert_time {CONVERT}]" in done.stderr
    assert re.search(r"\[answered with \d+ characters after", done.stderr)
    assert "[turns: 2, calls: 1;" in done.stderr


def test_as_json_the_calls_and_results_are_listed(tmp_path: Path) -> None:
    done = run(tmp_path, [ASK, "В Токио е 23:30."], f'approve = ["time_convert_time"]\n{TIME}', "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    (call,) = answer["tool_calls"]
    assert (call["name"], call["arguments"], call["outcome"]) == ("time_convert_time", json.loads(CONVERT), "answered")
    assert "T23:30:00" in call["result"]
    assert (answer["turns"], answer["finish_reason"]) == (2, "stop")
    assert answer["text"].endswith("В Токио е 23:30.")


def test_without_a_terminal_what_nobody_approved_is_denied_with_status_3(tmp_path: Path) -> None:
    done = run(tmp_path, [ASK, "Не мога."], TIME, "--json")
    assert done.returncode == 3, done.stderr
    answer = json.loads(done.stdout)
    assert [call["outcome"] for call in answer["tool_calls"]] == ["denied"]
    assert answer["text"].endswith("Не мога.")


def test_read_only_tools_are_free_where_the_file_says_so(tmp_path: Path) -> None:
    done = run(tmp_path, [ASK, "В Токио е 23:30."], f"approve_read_only = true\n{TIME}")
    assert done.returncode == 0, done.stderr


def test_a_server_that_crashes_in_a_call_costs_the_call_only(tmp_path: Path) -> None:
    crash = '<tool_call>\n{"name": "faulty_crash", "arguments": {}}\n</tool_call>'
    done = run(tmp_path, [crash, "Не стана."], f'approve = ["faulty_crash"]\n{FAULTY}', "--json")
    assert done.returncode == 0, done.stderr
    (call,) = json.loads(done.stdout)["tool_calls"]
    assert call["outcome"] == "failed"
    assert "its server has ended" in call["error"]
    assert "out of luck" in call["error"]


def test_a_python_function_is_called(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import demotic\n\n@demotic.tool\ndef double(number: int) -> int:\n    return 2 * number\n"
    )
    ask = '<tool_call>\n{"name": "double", "arguments": {"number": 21}}\n</tool_call>'
    done = run(tmp_path, [ask, "42."], 'approve = ["double"]\n[functions.mine]\nfile = "mine.py"\n', "--json")
    assert done.returncode == 0, done.stderr
    assert [call["result"] for call in json.loads(done.stdout)["tool_calls"]] == ["42"]


def wait_for(terminal: int, words: str, output: list[str]) -> None:
    deadline = time.monotonic() + 40
    while words not in "".join(output):
        assert time.monotonic() < deadline, "".join(output)
        try:
            output.append(os.read(terminal, 1000).decode(errors="replace"))
        except OSError:
            break


@pytest.mark.parametrize(("key", "outcome", "status"), [("y", "answered with", 0), ("n", "[denied]", 0)])
def test_at_a_terminal_the_person_is_asked(tmp_path: Path, key: str, outcome: str, status: int) -> None:
    arguments = ["run", str(scripted_model(tmp_path)), QUESTION, "--tools-file", tools_file(tmp_path, TIME)]
    pid, terminal = pty.fork()
    if pid == 0:
        words = command([ASK, "Край."], *arguments)
        os.execv(words[0], words)  # noqa: S606
    output: list[str] = []
    wait_for(terminal, "[n] no: ", output)
    assert "the model wants to run time_convert_time" in "".join(output)
    assert "it says that it only reads" in "".join(output)
    os.write(terminal, f"{key}\n".encode())
    wait_for(terminal, "turns: 2", output)
    assert outcome in "".join(output)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status
    os.close(terminal)


def test_ctrl_c_stops_a_running_tool_and_leaves_no_process(tmp_path: Path) -> None:
    wait = 'Ще почакам.\n<tool_call>\n{"name": "faulty_wait", "arguments": {"seconds": 600}}\n</tool_call>'
    tools = tools_file(tmp_path, f'approve = ["faulty_wait"]\n[limits]\ncall_seconds = 600\n{FAULTY}')
    arguments = ["run", str(scripted_model(tmp_path)), QUESTION, "--tools-file", tools]
    process = subprocess.Popen(
        command([wait, "?"], *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("[faulty_wait"):
            break
    time.sleep(0.5)
    servers = psutil.Process(process.pid).children(recursive=True)
    assert servers
    process.send_signal(signal.SIGINT)
    text, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert text == "Ще почакам.\n"
    assert "stopped" in errors
    assert "Traceback" not in errors
    assert not any(server.is_running() and server.status() != psutil.STATUS_ZOMBIE for server in servers)


def test_smollm2_that_must_call_calls_a_real_server(tmp_path: Path) -> None:
    words = ["run", "smollm2-135m-instruct", "What is the time in Tokyo when it is 16:30 in Sofia?"]
    options = ["--tools-file", tools_file(tmp_path, TIME), "--json"]
    approved = ["--approve", "time_get_current_time", "--approve", "time_convert_time"]
    choice = ["--tool-choice", "required", "--temperature", "0", "--max-tokens", "150"]
    done = subprocess.run(
        [sys.executable, "-m", "demotic", *words, *options, *approved, *choice],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    first = answer["tool_calls"][0]
    # What it asks for is the model's own: the server answers, or says that there is no such zone.
    assert first["outcome"] in {"answered", "failed"}
    assert "datetime" in first.get("result", "") or "Invalid timezone" in first.get("error", "")
    assert answer["turns"] >= 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--tools-file", "no-such-file.toml"), "There is no"),
        (("--approve", "a_b"), "There are no tools"),
    ],
)
def test_wrong_options_are_one_line(arguments: tuple[str, ...], words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demotic", "run", "smollm2-135m-instruct", "Hi", *arguments],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert words in line
