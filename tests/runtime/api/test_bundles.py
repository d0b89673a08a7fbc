"""Bundles over HTTP, the whole way: packed and pulled by the commands, then served, several in one process."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from openai import NotFoundError, OpenAI
from typer.testing import CliRunner, Result

from demotic import make_app
from runtime.errors import ConfigurationInvalid
from tests.server import ServerProcess, serving
from tests.tiny.gguf import write_tiny_gguf, write_tiny_lora

TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"


def invoked(folder: Path, *arguments: str) -> Result:
    """What became of a command, run in `folder`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return CliRunner().invoke(make_app(), arguments)


def demotic(folder: Path, *arguments: str) -> str:
    done = invoked(folder, *arguments)
    assert done.exit_code == 0, done.exception
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, two bundles on it, one of which is pulled, and two that are trimmed alike."""
    folder = tmp_path_factory.mktemp("bundles")
    base = write_tiny_gguf(folder / "tiny.gguf", context_length=512)
    for seed, name in enumerate(("north", "south")):
        write_tiny_lora(folder / f"{name}.gguf", base, seed=seed)
    (folder / "chat.jinja").write_text(TEMPLATE, encoding="utf-8")
    (folder / "card.json").write_text('{"languages": {"bul_Cyrl": {"chrf": 40.5}}}', encoding="utf-8")
    (folder / "text.txt").write_text("\n".join(f"the world in {number}" for number in range(50)), encoding="utf-8")
    told = ("--system", "Be brief.", "--sampling", "temperature=0", "--card", "card.json")
    adapter = ("--adapter", "north.gguf", "--template", "chat.jinja")
    demotic(
        folder, "bundle", "tiny.gguf", *adapter, *told, "--language", "bul", "--name", "north", "-o", "n.bundle.json"
    )
    demotic(folder, "pull", "n.bundle.json")
    demotic(folder, "bundle", "tiny.gguf", "--adapter", "south.gguf", "--name", "south", "-o", "s.bundle.json")
    demotic(folder, "trim", "tiny.gguf", "--corpus", "text.txt", "--size", "384", "--no-verify", "-o", "trimmed.gguf")
    for name in ("east", "west"):
        parts = ("--trimmed", "trimmed.gguf", "--language", "eng")
        demotic(folder, "bundle", "tiny.gguf", *parts, "--name", name, "-o", f"{name}.bundle.json")
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    bundles = ["north", *(str(folder / f"{name}.bundle.json") for name in ("s", "east", "west"))]
    with serving(str(folder / "tiny.gguf"), *bundles, "--adapter", f"south={folder / 'south.gguf'}") as server:
        yield server


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> OpenAI:
    client = OpenAI(base_url=server.base_url, api_key="unused", max_retries=0)
    for name in ("tiny", "east"):
        text(client, name)
    return client


def text(client: OpenAI, model: str, **more: object) -> str:
    answer = client.completions.create(
        model=model, prompt="the world and", max_tokens=16, temperature=0, seed=0, extra_body=more
    )
    assert answer.model == model
    return answer.choices[0].text


def test_a_bundle_answers_with_its_adapter_and_the_base_without(client: OpenAI) -> None:
    plain = text(client, "tiny")
    south = text(client, "tiny:south")
    assert text(client, "south") == south != plain
    assert text(client, "north", language="") not in {plain, south}
    assert text(client, "tiny") == plain
    with pytest.raises(NotFoundError, match="no adapter named 'north'"):
        text(client, "south", adapter="north")


def test_a_bundle_answers_with_its_template_system_message_and_defaults(server: ServerProcess, client: OpenAI) -> None:
    def count(model: str, *messages: tuple[str, str]) -> int:
        body = {"model": model, "messages": [{"role": role, "content": said} for role, said in messages]}
        answer = httpx.post(f"{server.base_url}/chat/completions/tokens", json=body)
        return int(answer.json()["prompt_tokens"])

    own = count("north", ("user", "hi"))
    assert own == count("north", ("system", "Be brief."), ("user", "hi"))
    assert own > count("north", ("system", "B"), ("user", "hi"))
    assert own != count("tiny", ("system", "Be brief."), ("user", "hi")), "the base has a template of its own"
    answers = {
        client.chat.completions.create(model="north", messages=[{"role": "user", "content": "hi"}], max_tokens=12)
        .choices[0]
        .message.content
        for _ in range(3)
    }
    assert len(answers) == 1, "at the temperature of the bundle, 0"
    (answer,) = answers
    assert answer and not re.search("[A-Za-z]", answer), "kept in the script of its language"
    hot = client.chat.completions.create(
        model="north", messages=[{"role": "user", "content": "hi"}], max_tokens=12, temperature=2.0, seed=1
    )
    assert hot.choices[0].message.content != answer


def test_bundles_are_listed_with_their_languages_and_whose_process_they_share(client: OpenAI) -> None:
    listed = {model.id: model.to_dict()["demotic"] for model in client.models.list()}
    assert list(listed) == ["tiny", "tiny:south", "north", "south", "east", "west"]
    told = {name: (facts["base"], facts["shares"], facts["languages"]) for name, facts in listed.items()}  # type: ignore[index]  # beyond OpenAI's shape
    assert told["tiny"] == (None, None, [])
    assert told["north"] == ("tiny.gguf", "tiny", ["bul_Cyrl"])
    assert told["south"] == ("tiny.gguf", "tiny", [])
    assert told["east"] == ("tiny.gguf", None, ["eng_Latn"])
    assert told["west"] == ("tiny.gguf", "east", ["eng_Latn"])


def test_bundles_on_one_base_have_one_process_whose_memory_is_told_once(
    server: ServerProcess, client: OpenAI, folder: Path
) -> None:
    for name in ("north", "south", "west", "tiny:south"):
        text(client, name)
    workers = [
        child for child in psutil.Process(server.process.pid).children() if "runtime.engine.worker" in child.cmdline()
    ]
    assert len(workers) == 2, "one of the base, and one of the trimmed model"
    metrics = httpx.get(f"{server.url}/metrics").text
    memory = dict(re.findall(r'demotic_worker_resident_memory_bytes\{model="(\w+)"\} (\S+)', metrics))
    assert memory.keys() == {"tiny", "east"}
    adapters = dict(re.findall(r'demotic_adapter_bytes\{model="(\w+)"\} (\S+)', metrics))
    sizes = {name: (folder / f"{name}.gguf").stat().st_size for name in ("north", "south")}
    # That of the bundle and the one given for the base are two, whatever is in them.
    assert float(adapters["tiny"]) == pytest.approx(sizes["north"] + 2 * sizes["south"], abs=64)
    assert float(adapters["east"]) == 0


def test_a_bundle_is_unloaded_with_those_that_share_its_process(server: ServerProcess, client: OpenAI) -> None:
    before = text(client, "west")
    httpx.post(f"{server.base_url}/models/unload", json={"model": "west"}).raise_for_status()
    states = httpx.get(f"{server.url}/health").json()["models"]
    assert (states["west"], states["east"], states["tiny"]) == ("unloaded", "unloaded", "ready")
    assert text(client, "west") == before


def test_commands_take_a_bundle_by_its_name(folder: Path) -> None:
    facts = json.loads(demotic(folder, "show", "north", "--json"))
    assert facts["base"] == "tiny.gguf" and facts["languages"] == ["bul_Cyrl"]
    assert facts["evaluation"] == {"bul_Cyrl": {"chrf": 40.5}}
    assert "chrf 40.5" in demotic(folder, "show", "n.bundle.json")
    assert "north" in [model["name"] for model in json.loads(demotic(folder, "list", "--json"))["models"]]
    answers = [json.loads(demotic(folder, "run", "north", "hi", "--max-tokens", "8", "--json")) for _ in range(2)]
    assert answers[0]["text"] == answers[1]["text"], "at the temperature of the bundle, 0"
    assert answers[0]["model"] == "north"
    told = ("run", "n.bundle.json", "hi", "--max-tokens", "8", "--temperature", "2", "--seed", "3", "--json")
    assert json.loads(demotic(folder, *told))["text"] != answers[0]["text"]


def test_serve_refuses_an_adapter_for_a_bundle(folder: Path) -> None:
    done = invoked(folder, "serve", "s.bundle.json", "--adapter", "x=north.gguf", "--port", "0")
    assert isinstance(done.exception, ConfigurationInvalid)
    assert "the bundle 'south', which has its own or none" in str(done.exception)
