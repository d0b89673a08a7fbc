"""Adapters over HTTP: chosen in either way, attached later, listed, and refused in one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openai import NotFoundError, OpenAI

from tests.server import ServerProcess, serving
from tests.tiny.gguf import write_tiny_gguf, write_tiny_lora


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters")
    base = write_tiny_gguf(folder / "tiny.gguf")
    write_tiny_lora(folder / "north.gguf", base, seed=1)
    (folder / "later").mkdir()
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    adapters = ("--adapter", f"north={folder / 'north.gguf'}", "--adapter-dir", str(folder / "later"))
    with serving(str(folder / "tiny.gguf"), *adapters) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> OpenAI:
    return OpenAI(base_url=server.base_url, api_key="unused", max_retries=0)


def text(client: OpenAI, model: str, **more: object) -> str:
    answer = client.completions.create(
        model=model, prompt="the world and", max_tokens=16, temperature=0, seed=0, extra_body=more
    )
    assert answer.model == model
    return answer.choices[0].text


def test_a_request_picks_its_adapter_by_name_or_by_field(client: OpenAI) -> None:
    plain = text(client, "tiny")
    adapted = text(client, "tiny:north")
    assert adapted != plain
    assert text(client, "tiny", adapter="north") == adapted
    assert text(client, "tiny:north", adapter="north") == adapted
    assert text(client, "tiny") == plain


def test_a_file_put_into_the_folder_can_be_used_at_once(client: OpenAI, folder: Path) -> None:
    with pytest.raises(NotFoundError, match="no adapter named 'south'"):
        text(client, "tiny:south")
    write_tiny_lora(folder / "later" / "south.part", folder / "tiny.gguf", seed=2).rename(
        folder / "later" / "south.gguf"
    )
    assert text(client, "tiny:south") not in {text(client, "tiny"), text(client, "tiny:north")}
    listed = {model.id for model in client.models.list()}
    assert {"tiny", "tiny:north", "tiny:south"} <= listed
    assert client.models.retrieve("tiny:south").id == "tiny:south"


def test_faults_are_told_in_one_sentence(server: ServerProcess, folder: Path) -> None:
    (folder / "later" / "broken.gguf").write_bytes(b"GGUF, or not")
    other = write_tiny_gguf(folder / "other.gguf", embedding_length=32)
    write_tiny_lora(folder / "later" / "foreign.gguf", other)

    def ask(**body: object) -> tuple[int, str]:
        response = httpx.post(f"{server.base_url}/completions", json={"prompt": "the", "max_tokens": 2} | body)
        return response.status_code, json.dumps(response.json())

    assert ask(model="tiny:none")[0] == 404
    status, sentence = ask(model="tiny:north", adapter="south")
    assert (status, "two adapters" in sentence) == (400, True)
    status, sentence = ask(model="tiny:foreign")
    assert (status, "do not fit" in sentence) == (500, True)
    status, sentence = ask(model="tiny:broken")
    assert (status, "model_file_invalid" in sentence) == (500, True)
    assert ask(model="tiny:north")[0] == 200


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--adapter", "north"), "Write NAME=FILE or MODEL:NAME=FILE."),
        (("--adapter", "other:north=x.gguf"), "'other', which is not served"),
        (("--adapter", "north=/nowhere.gguf"), "/nowhere.gguf"),
        (("--adapter-dir", "/nowhere"), "/nowhere is not a folder."),
    ],
)
def test_serve_refuses_adapters_that_cannot_be(folder: Path, arguments: tuple[str, ...], sentence: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demotic", "serve", str(folder / "tiny.gguf"), "--port", "0", *arguments],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_run_answers_with_an_adapter(folder: Path) -> None:
    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "demotic", "run", str(folder / "tiny.gguf"), "the world and", "--max-tokens"]
        done = subprocess.run(
            [*command, "16", "--temperature", "0", "--json", *arguments],
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
            env=os.environ,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["text"])

    assert run("--adapter", str(folder / "north.gguf")) != run()
