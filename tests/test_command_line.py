"""The commands as a person or a script meets them, each in a process of its own."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.server import serving
from tests.tiny.gguf import write_tiny_gguf
from tests.tiny.seq2seq import tiny_byt5, write_seq2seq

CHAT = "smollm2-135m-instruct"
QUESTION = "What is the capital of France? Answer in one sentence."


def demotic(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "demotic", *arguments]
    if stdin is None:
        return subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return subprocess.run(command, check=False, capture_output=True, text=True, input=stdin)


def sentence_of(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a command that failed as it should."""
    assert done.returncode == 2, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("demotic: ")
    return line


def test_run_answers_on_stdout_and_gives_its_figures_on_stderr() -> None:
    done = demotic("run", CHAT, QUESTION, "--temperature", "0")
    assert done.returncode == 0
    assert "Paris" in done.stdout
    assert done.stdout.endswith("\n")
    for figure in ("prompt and", "generated tokens", "tokens/s", "characters/s", "first token after"):
        assert figure in done.stderr
    assert "llama" not in done.stderr


def test_run_as_json_is_one_document_with_the_same_figures() -> None:
    done = demotic("run", CHAT, QUESTION, "--temperature", "0", "--json")
    answer = json.loads(done.stdout)
    assert "Paris" in answer["text"]
    assert answer["model"] == CHAT
    assert answer["finish_reason"] == "stop"
    assert answer["prompt_tokens"] > answer["completion_tokens"] > 3
    for figure in ("tokens_per_second", "characters_per_second", "first_token_seconds", "load_seconds"):
        assert answer[figure] > 0


def test_run_reads_what_is_piped_in_alone_or_after_the_prompt() -> None:
    alone = demotic("run", CHAT, "--temperature", "0", stdin=QUESTION)
    assert "Paris" in alone.stdout
    both = demotic("run", CHAT, "Answer this question.", "--json", "--max-tokens", "1", stdin=QUESTION)
    only = demotic("run", CHAT, QUESTION, "--json", "--max-tokens", "1")
    assert json.loads(both.stdout)["prompt_tokens"] > json.loads(only.stdout)["prompt_tokens"]


def test_run_with_a_prompt_only_takes_the_default_model() -> None:
    done = demotic("run", QUESTION, "--max-tokens", "2", "--json")
    assert json.loads(done.stdout)["model"] == CHAT


def test_run_honours_stop_seed_and_length() -> None:
    stopped = demotic("run", "gemma-3-270m", "1, 2, 3, 4,", "--temperature", "0", "--stop", "8", "--json")
    assert json.loads(stopped.stdout)["text"].strip().endswith("7,")
    seeded = [demotic("run", CHAT, "Tell a story.", "--seed", "5", "--max-tokens", "12").stdout for _ in range(2)]
    assert seeded[0] == seeded[1]
    cut = demotic("run", CHAT, "Tell a story.", "--max-tokens", "3", "--json")
    assert json.loads(cut.stdout)["finish_reason"] == "length"


def test_a_system_message_is_taken_by_a_chat_model_and_refused_by_a_base_model() -> None:
    assert demotic("run", CHAT, "Hi", "--system", "Be brief.", "--max-tokens", "2").returncode == 0
    assert "base model" in sentence_of(demotic("run", "gemma-3-270m", "Hi", "--system", "Be brief."))


def test_an_encoder_decoder_fills_gaps_on_the_command_line(tmp_path: Path) -> None:
    path = write_seq2seq(tmp_path / "byt5.gguf", tiny_byt5(seed=3), metadata={"t5.context_length": 512})
    done = demotic("run", str(path), "Кот <extra_id_0> на ковре", "--temperature", "0", "--json")
    answer = json.loads(done.stdout)
    # Bytes, a sentinel in place of its name, and the end token.
    assert answer["prompt_tokens"] == len("Кот  на ковре".encode()) + 2
    assert "<extra_id_" in answer["text"]
    assert "an encoder-decoder: it reads one text" in sentence_of(
        demotic("run", str(path), "Кот", "--system", "Кратко.")
    )


def test_ctrl_c_stops_the_answer_and_keeps_what_came() -> None:
    run = subprocess.Popen(
        [sys.executable, "-m", "demotic", "run", "gemma-3-270m", "Once upon a time", "--max-tokens", "8000"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert run.stdout is not None
    first = os.read(run.stdout.fileno(), 100)
    run.send_signal(signal.SIGINT)
    rest, errors = run.communicate(timeout=20)
    assert run.returncode == 130
    assert (first + rest).decode().strip()
    assert b"stopped" in errors
    assert b"Traceback" not in errors


def test_the_licence_is_shown_at_first_use_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMOTIC_CACHE_DIR", str(tmp_path))
    first, second = (demotic("run", CHAT, "Hi", "--max-tokens", "1") for _ in range(2))
    assert "Apache-2.0" in first.stderr
    assert "Apache-2.0" not in second.stderr


@pytest.mark.parametrize("command", ["run", "serve", "show", "pull", "remove", "doctor"])
def test_an_unknown_model_is_one_line_with_the_nearest_names(command: str) -> None:
    words = [command, "smollm2-135m-instruc", *(["Hi"] if command == "run" else [])]
    assert "Did you mean smollm2-135m-instruct" in sentence_of(demotic(*words))


def test_a_word_that_is_almost_a_model_is_not_taken_for_a_prompt() -> None:
    assert "Did you mean gemma-3-270m" in sentence_of(demotic("run", "gemma-3-270"))


@pytest.mark.parametrize("command", ["run", "serve", "show"])
def test_files_that_are_no_models_are_one_line_that_names_the_fault(
    command: str, tmp_path: Path, smollm2_path: Path
) -> None:
    truncated, text, empty = tmp_path / "cut.gguf", tmp_path / "text.gguf", tmp_path / "empty.gguf"
    truncated.write_bytes(smollm2_path.read_bytes()[:3_000_000])
    text.write_text("<html>Not found</html>" * 10)
    empty.touch()
    more = ["Hi"] if command == "run" else []
    for path in (truncated, text, empty, tmp_path / "missing.gguf", tmp_path):
        assert str(path.name) in sentence_of(demotic(command, str(path), *more))


def test_no_prompt_and_wrong_values_are_one_line() -> None:
    assert "no prompt" in sentence_of(demotic("run", CHAT))
    assert "temperature" in sentence_of(demotic("run", CHAT, "Hi", "--temperature", "nan"))
    assert "context holds" in sentence_of(demotic("run", CHAT, "word " * 300, "--context", "256", "--max-tokens", "9"))


def test_a_port_in_use_is_one_line_and_no_model_is_loaded_for_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        line = sentence_of(demotic("serve", CHAT, "--port", str(taken.getsockname()[1])))
    assert "--port" in line


def test_listening_to_other_machines_needs_a_key() -> None:
    assert "--api-key" in sentence_of(demotic("serve", CHAT, "--host", "0.0.0.0", "--port", "0"))  # noqa: S104  # refused
    assert "not an address" in sentence_of(demotic("serve", CHAT, "--host", "no.such.host.invalid"))


def test_an_insecure_server_says_so_and_answers_without_a_key() -> None:
    with serving(CHAT, "--host", "0.0.0.0", "--insecure", "--context", "256") as server:  # noqa: S104  # on purpose
        address = f"http://127.0.0.1:{server.port}/v1/models"
        assert httpx.get(address, headers={"Host": "models.lan"}).status_code == 200
    assert any("there is no API key" in line for line in server.lines)


def test_keys_of_a_file_are_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# of the office\nsecret\n")
    file.chmod(0o644)
    origins = ("--cors-origin", "http://localhost:3000", "--cors-origin", "https://chat.example")
    with serving(CHAT, "--api-key-file", str(file), *origins, "--context", "256") as server:
        address = f"{server.base_url}/models"
        assert httpx.get(address).status_code == 401
        page = {"Authorization": "Bearer secret", "Origin": "https://chat.example"}
        answer = httpx.get(address, headers=page)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://chat.example"
    assert any("chmod 600" in line for line in server.lines)
    assert "holds no API key" in sentence_of(demotic("serve", CHAT, "--api-key-file", "/dev/null"))
    assert "'http://x/' is no origin" in sentence_of(demotic("serve", CHAT, "--cors-origin", "http://x/"))


def test_a_folder_for_prefixes_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        line = sentence_of(demotic("serve", CHAT, "--prefix-cache-dir", str(folder), "--port", "0"))
        assert f"Prefixes cannot be saved in {folder}" in line


def test_a_server_that_is_started_again_has_what_was_read_before(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", context_length=1024)
    prompt = "the world and the working ring in the world " * 12
    answers = []
    for _ in range(2):
        with serving(str(path), "--prefix-cache-dir", str(tmp_path / "prefixes")) as server:
            body = {"prompt": prompt, "max_tokens": 16, "temperature": 0}
            answers.append(httpx.post(f"{server.base_url}/completions", json=body, timeout=60).json())
    first, second = answers
    assert first["choices"][0]["text"] == second["choices"][0]["text"]
    cached = [answer["usage"]["prompt_tokens_details"]["cached_tokens"] for answer in answers]
    assert cached[0] == 0
    assert 0 <= first["usage"]["prompt_tokens"] - 1 - cached[1] < 64


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_in_order_when_asked_to(stop: signal.Signals) -> None:
    command = [sys.executable, "-m", "demotic", "serve", CHAT, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            assert any("http://127.0.0.1:" in line for line in iter(server.stderr.readline, ""))
            server.send_signal(stop)
            _, errors = server.communicate(timeout=20)
        finally:
            server.kill()
    assert (server.returncode, errors) == (0, "")


def test_help_is_shown_without_a_command_and_the_version_on_request() -> None:
    assert "Usage: demotic" in demotic().stdout + demotic().stderr
    assert demotic("--version").stdout.startswith("demotic 0.")


def test_debug_shows_where_a_fault_came_from() -> None:
    done = demotic("--debug", "show", "no-such-model")
    assert "Traceback" in done.stderr
    assert "ModelNotFound" in done.stderr


def test_on_a_terminal_the_answer_streams() -> None:
    parent, child = pty.openpty()
    run = subprocess.Popen(
        [sys.executable, "-m", "demotic", "run", CHAT, "Count from 1 to 20.", "--temperature", "0"],
        stdin=child,
        stdout=child,
        stderr=subprocess.DEVNULL,
    )
    os.close(child)
    times = []
    try:
        while os.read(parent, 1000):
            times.append(time.monotonic())
    except OSError:
        pass  # Linux says so when the other end of a terminal closes.
    os.close(parent)
    assert run.wait(20) == 0
    assert len(times) > 5
