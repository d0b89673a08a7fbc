"""The documentation says what the program does, links to what exists, and names nothing private."""

from __future__ import annotations

import ast
import difflib
import importlib.metadata
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from typer.main import get_command

import demotic
from runtime.api.schemas import common, messages, responses
from runtime.api.schemas.chat import ChatCompletionRequest
from runtime.api.schemas.completions import CompletionRequest
from runtime.api.schemas.embeddings import EmbeddingRequest
from runtime.api.schemas.rerank import RerankRequest
from runtime.config import (
    ChoiceLimits,
    EngineConfig,
    PoolConfig,
    RunConfig,
    SamplingDefaults,
    ServerConfig,
    ToolLimits,
    UserConfig,
    WorkerConfig,
)
from tests.docs.render import PARTS, REPOSITORY, command_helps, parts_of, rendered
from tests.server import serving

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
MEND = "run `python -m tests.docs.render`"

# Not the project's own text: environments, caches, build outputs.
NOT_OURS = re.compile(r"^(\.(?!ci$|gitignore$|github$).*|__pycache__|build|dist|.*\.egg-info)$")


@cache
def own_files() -> tuple[Path, ...]:
    def walk(folder: Path) -> Iterator[Path]:
        for path in sorted(folder.iterdir()):
            if NOT_OURS.match(path.name) or path.is_symlink():
                continue
            if path.is_dir():
                yield from walk(path)
            else:
                yield path

    return tuple(walk(REPOSITORY))


PAGES = [path for path in own_files() if path.suffix == ".md"]


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def read(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """The text under a heading of the second level, up to the next one."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no heading '## {heading}'"
    return found[1]


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def table_rows(text: str) -> list[list[str]]:
    """Cells of all tables in a text, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    heads = {index - 1 for index, row in enumerate(rows) if set(row) == {"---"}}
    return [row for index, row in enumerate(rows) if index not in heads and set(row) != {"---"}]


# What is made from the program


@pytest.mark.parametrize("path", [path for path in PAGES if parts_of(path.read_text("utf-8"))], ids=name_of)
def test_what_a_page_takes_from_the_program_is_what_the_program_says_now(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    now = rendered(page)
    difference = "\n".join(
        difflib.unified_diff(page.splitlines(), now.splitlines(), "the page", "now", lineterm="", n=1)
    )
    assert page == now, f"{name_of(path)} is out of date: {MEND}\n{difference}"


def test_every_made_part_stands_on_a_page() -> None:
    assert sorted(PARTS) == sorted(part for path in PAGES for part in parts_of(path.read_text(encoding="utf-8")))


def test_the_command_reference_has_every_command_and_every_option() -> None:
    page = read("docs/commands.md")
    helps = dict(command_helps())
    assert {"demotic", "demotic run", "demotic serve", "demotic doctor", "demotic chat"} <= set(helps)
    assert code_blocks(page, "text") == [f"{text}\n" for text in helps.values()], MEND
    for name, command in commands().items():
        for option in options_of(command):
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", helps[f"demotic {name}"]), f"{name} {option}"


# Commands in examples


def commands() -> dict[str, Any]:
    """Every command by its words: "run", "bench", "bench serve"."""
    root: Any = get_command(demotic.make_app())
    below = {f"{name} {inner}": each for name, top in root.commands.items() for inner, each in _inner(top).items()}
    return dict(root.commands) | below


def _inner(command: Any) -> dict[str, Any]:
    return dict(getattr(command, "commands", {}))


def options_of(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts if option.startswith("-")}


def shown_commands(path: Path) -> list[list[str]]:
    """Every `demotic ...` in the shell examples of a page, as words, up to a pipe or another command."""
    found: list[list[str]] = []
    for block in code_blocks(path.read_text(encoding="utf-8"), "sh"):
        for line in block.splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            words = list(lexer)
            for start, word in enumerate(words):
                if word.rsplit("/", 1)[-1] == "demotic" and start + 1 < len(words):
                    rest = words[start + 1 :]
                    end = next((at for at, word in enumerate(rest) if word in {"|", "&&", ";", ">", "<"}), len(rest))
                    found.append(rest[:end])
    return found


def test_every_command_in_an_example_exists_and_takes_its_options() -> None:
    shown = [words for path in PAGES for words in shown_commands(path)]
    assert {words[0] for words in shown} >= {"run", "serve", "pull", "list", "show", "remove", "doctor", "chat"}
    known = commands()
    for words in shown:
        assert words[0] in known, words
        command = known.get(" ".join(words[:2]), known[words[0]])
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= options_of(command), words


# Examples in Python

ENDPOINT = "http://127.0.0.1:8177/v1"


def python_examples(path: Path) -> list[tuple[str, str | None]]:
    """Every Python example of a page, with the output that is shown right after it."""
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?", text, re.MULTILINE | re.DOTALL)
    return [(source, output or None) for source, output in found]


@pytest.fixture(scope="module")
def base_url(_own_home: None) -> Iterator[str]:
    with serving("smollm2-135m-instruct", "--context", "1024") as server:
        yield server.base_url


@pytest.mark.parametrize("name", ["README.md", "docs/python-api.md", "docs/clients.md"])
def test_every_python_example_prints_what_is_shown(
    name: str, base_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = python_examples(REPOSITORY / name)
    assert any(output for _, output in examples)
    for source, output in examples:
        names: dict[str, Any] = {}
        exec(compile(source.replace(ENDPOINT.removesuffix("/v1"), base_url.removesuffix("/v1")), name, "exec"), names)  # noqa: S102  # our own page
        # What stays open would be warned of in whichever test comes to collect it.
        for made in names.values():
            if hasattr(type(made), "close"):
                made.close()
        printed = capsys.readouterr().out
        assert printed
        assert output is None or printed == output


# The README


def test_the_quick_start_has_exactly_two_commands_of_one_line() -> None:
    blocks = code_blocks(section(read("README.md"), "Quick start"), "sh")
    assert [len(block.splitlines()) for block in blocks] == [1, 1]
    assert blocks[0].startswith("scripts/setup starter && .venv/bin/demotic chat smollm2-135m-instruct ")
    assert blocks[1] == "scripts/setup dev && scripts/test\n"


def test_the_ci_runs_the_second_command_of_the_quick_start() -> None:
    command = code_blocks(section(read("README.md"), "Quick start"), "sh")[1].strip()
    assert command in read(".ci/run").splitlines()


def test_every_environment_variable_that_the_program_reads_is_in_the_readme() -> None:
    text = section(read("README.md"), "How to")
    code = "\n".join(path.read_text(encoding="utf-8") for path in own_files() if name_of(path).startswith("runtime/"))
    names = set(re.findall(r"\"(DEMOTIC_[A-Z_]+|HF_[A-Z_]+)\"", code)) | {"HF_TOKEN"}
    assert len(names) >= 5
    assert {name for name in names if f"`{name}`" not in text} == set()


def test_every_setting_of_the_configuration_file_is_in_the_readme() -> None:
    example = tomllib.loads("".join(code_blocks(read("README.md"), "toml")))
    assert set(example) == {field.name for field in fields(UserConfig)}


# The endpoint, sampling, limits


def field_names(heading: str, first: str, last: str) -> set[str]:
    """Names in the tables of a section of docs/api.md between two texts, the last of which may be empty: its end."""
    text = section(read("docs/api.md"), heading)
    start, end = text.index(first), text.index(last) if last else len(text)
    return {name for row in table_rows(text[start:end]) for name in re.findall(r"`(\w+)`", row[0])}


def test_the_request_fields_in_the_docs_are_those_of_the_schemas() -> None:
    both = set(common.GenerationRequest.model_fields)
    heading = "Request fields"
    assert field_names(heading, "Honoured by both:", "Of chat completions alone:") == both
    chat = field_names(heading, "Of chat completions alone:", "Of completions alone:")
    assert chat == set(ChatCompletionRequest.model_fields) - both
    text = field_names(heading, "Of completions alone:", "Types are strict")
    assert text == set(CompletionRequest.model_fields) - both


@pytest.mark.parametrize(("heading", "schema"), [("Embeddings", EmbeddingRequest), ("Rerank", RerankRequest)])
def test_the_fields_of_vectors_and_rankings_in_the_docs_are_those_of_the_schemas(
    heading: str, schema: type[BaseModel]
) -> None:
    rows = table_rows(section(read("docs/embeddings.md"), heading))
    assert {row[0].strip("`") for row in rows} == set(schema.model_fields) - {"model"}


def test_the_refused_and_accepted_fields_in_the_docs_are_those_of_the_schemas() -> None:
    assert field_names("Fields that are refused", "", "") == set(common._UNSUPPORTED)
    ignored = section(read("docs/api.md"), "Fields that are ignored")
    accepted = set(common._ACCEPTED) - set(common._UNSUPPORTED)
    assert set(re.findall(r"`(\w+)`", ignored.partition("are accepted")[0])) == accepted


def test_the_fields_of_responses_in_the_docs_are_those_of_the_schema() -> None:
    heading = "Responses"
    honoured = field_names(heading, "| field | meaning and range |", "These are refused")
    assert honoured == set(responses.ResponseRequest.model_fields)
    assert field_names(heading, "| field | accepted value |", "The output is") == set(responses.UNSUPPORTED)


def test_the_fields_of_messages_in_the_docs_are_those_of_the_schema() -> None:
    heading = "Anthropic's messages"
    honoured = field_names(heading, "| field | meaning and range |", "These are refused")
    assert honoured == set(messages.MessageRequest.model_fields)
    assert field_names(heading, "| field | accepted value |", "The content is") == set(messages.UNSUPPORTED)
    counted = table_rows(section(read("docs/api.md"), heading))[: len(messages.CountRequest.model_fields)]
    assert {row[0].strip("`") for row in counted} == set(messages.CountRequest.model_fields)


def test_the_defaults_in_the_docs_are_those_of_the_program() -> None:
    rows = table_rows(section(read("docs/sampling.md"), "Ranges and defaults"))
    documented = {row[0].strip("`"): (row[3], row[4]) for row in rows}
    run_config = RunConfig()
    for field in fields(SamplingDefaults):
        api, run = documented[field.name]
        assert api == str(field.default), field.name
        assert run in {str(getattr(run_config, field.name, field.default)), "not an option"}, field.name
    server, engine = ServerConfig(), EngineConfig()
    assert f"http://{server.host}:{server.port}/v1" in read("docs/api.md")
    assert f"http://{server.host}:{server.port}/v1" in read("README.md")
    limits = f"At most {engine.max_sequences} requests run at a time on a model and {engine.max_waiting} wait."
    assert f"A body may have {server.max_body_bytes // 2**20} MiB. {limits}" in read("docs/api.md")
    assert f"They take at most {server.max_stored_bytes // 2**20} MiB" in read("docs/api.md")
    tools = ToolLimits()
    assert f"may name {tools.max_tools} tools, with {tools.max_chars // 2**10} Ki characters" in read("docs/tools.md")
    assert f"an answer has at most {tools.max_calls}." in read("docs/tools.md")
    choices = ChoiceLimits()
    assert f"answers to each prompt, 1 to {choices.max_n};" in read("docs/api.md")
    for page in ("docs/api.md", "docs/safety.md"):
        assert re.search(rf"may ask for (at most )?{choices.max_choices} choices", read(page))
    models = section(read("docs/api.md"), "Models in memory")
    worker, pool = WorkerConfig(), PoolConfig()
    first, *delays, last = pool.restart_delays
    assert first == 0
    assert f"then after {', '.join(f'{delay:g}' for delay in delays)} and {last:g} s" in models
    assert f"lived for {pool.stable_seconds:g} s" in models
    assert f"waits up to {pool.room_seconds:g} s" in models
    assert f"no progress in loading for {worker.load_stall_seconds:g} s" in models
    assert f"no sign of life for {worker.silence_seconds:g} s" in models
    assert f"a step in {worker.step_seconds:g} s" in models
    assert f"for up to {server.shutdown_seconds:g} s" in models
    assert f"the limit: {engine.max_context}," in read("docs/hardware.md")


# Dependencies


def distribution(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def declared_dependencies() -> dict[str, set[str]]:
    """Heading in docs/dependencies.md -> packages that pyproject.toml names for it."""
    groups = {"Base": PROJECT["project"]["dependencies"], "Building": PROJECT["build-system"]["requires"]}
    groups |= {f"Extra `{name}`": needs for name, needs in PROJECT["project"]["optional-dependencies"].items()}
    return {heading: {distribution(need) for need in needs} - {"demotic"} for heading, needs in groups.items()}


@pytest.mark.parametrize("heading", declared_dependencies())
def test_every_dependency_is_explained_and_every_explained_one_is_declared(heading: str) -> None:
    rows = table_rows(section(read("docs/dependencies.md"), heading))
    assert {row[0] for row in rows} == declared_dependencies()[heading]
    for row in rows:
        assert all(row), f"a cell of {row[0]} is empty"


def test_documented_licences_are_those_that_the_packages_state() -> None:
    checked = 0
    for name, *_, licence in table_rows(read("docs/dependencies.md")):
        try:
            stated = importlib.metadata.metadata(name).json.get("license_expression")
        except importlib.metadata.PackageNotFoundError:
            continue  # of an extra that is not installed here
        if stated:
            checked += 1
            assert licence == stated, name
    assert checked >= 10


# Links, paths, functions


def prose(page: str) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_relative_link_leads_to_a_file_or_heading_that_exists(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{name_of(path)} links to {target}"
        assert there.is_relative_to(REPOSITORY), f"{name_of(path)} links out of the repository: {target}"
        assert not anchor or anchor in anchors(there), f"{name_of(path)} links to {target}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    to_read = [REPOSITORY / "README.md"]
    while to_read:
        page = to_read.pop()
        reached.add(page)
        links = re.findall(r"\]\(([^)\s:#]+\.md)", prose(page.read_text(encoding="utf-8")))
        to_read += [found for link in links if (found := (page.parent / link).resolve()) not in reached]
    assert {name_of(path) for path in PAGES if name_of(path).startswith("docs/")} <= {name_of(path) for path in reached}


@cache
def definitions(path: Path) -> frozenset[str]:
    """Functions, classes and methods of a file: `f`, `C`, `C.m`."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = [inner for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)]
            found |= {f"{node.name}.{method.name}" for method in methods}
    return frozenset(found)


def named_functions(page: str) -> list[tuple[str, str]]:
    """(file, function) in the order of a page: a function is in the file that was named last before it."""
    found: list[tuple[str, str]] = []
    file = ""
    for span in re.findall(r"`([^`\n]+)`", page):
        if re.fullmatch(r"[\w/.]+\.py", span):
            file = span
        elif span.endswith("()"):
            found.append((file, span.removesuffix("()")))
    return found


def in_runtime(name: str) -> Path:
    is_beside = name == "demotic.py" or name.startswith("tui/")
    return REPOSITORY / name if is_beside else REPOSITORY / "runtime" / name


def test_every_path_in_the_runtime_readme_exists() -> None:
    page = read("runtime/README.md")
    paths = re.findall(r"`([\w/]+(?:\.py|\.toml|/))`", section(page, "Folder map"))
    paths += re.findall(r"`([\w/]+\.py)`", page)
    assert len(paths) > 80
    assert [name for name in paths if not in_runtime(name).exists()] == []


def test_every_function_in_the_runtime_readme_is_in_the_file_it_is_said_to_be_in() -> None:
    named = named_functions(read("runtime/README.md"))
    assert len(named) > 30
    assert [(file, name) for file, name in named if name not in definitions(in_runtime(file))] == []


@pytest.mark.parametrize("walk", ["The walk of `demotic run`", "The walk of `/v1/chat/completions`"])
def test_every_step_of_a_walk_names_a_file_or_refers_to_steps_that_do(walk: str) -> None:
    steps = re.findall(r"^\s*\d+\. (.*)$", section(read("runtime/README.md"), walk), re.MULTILINE)
    assert len(steps) >= 8
    assert [step for step in steps if ".py`" not in step and "Steps" not in step and "`Finished`" not in step] == []


def test_the_folder_map_of_the_runtime_has_every_file() -> None:
    named = set(re.findall(r"`([\w/]+\.\w+)`", section(read("runtime/README.md"), "Folder map")))
    folder = REPOSITORY / "runtime"
    there = {path.relative_to(folder).as_posix() for path in own_files() if path.is_relative_to(folder)}
    there = {name for name in there if not name.endswith(("__init__.py", "py.typed", "README.md"))}
    # One file a language: the folder is named.
    there = {name for name in there if not name.startswith("chat/tools/prompts/")}
    assert named == there, "the folder map in runtime/README.md does not fit the folder"


# The converters' page


def in_converters(name: str) -> Path:
    return REPOSITORY / name if name.startswith("tests/") else REPOSITORY / "converters" / name


def test_the_folder_map_of_the_converters_has_every_file() -> None:
    named = set(re.findall(r"`([\w/]+\.\w+)`", section(read("converters/README.md"), "Folder map")))
    folder = REPOSITORY / "converters"
    there = {path.relative_to(folder).as_posix() for path in own_files() if path.is_relative_to(folder)}
    assert named == {name for name in there if not name.endswith(("__init__.py", "py.typed", "README.md"))}


def test_every_path_and_function_in_the_converters_readme_exists() -> None:
    page = read("converters/README.md")
    paths = re.findall(r"`([\w/]+\.py)`", page)
    assert [name for name in paths if not in_converters(name).exists()] == []
    named = named_functions(page)
    assert len(named) > 12
    assert [(file, name) for file, name in named if name not in definitions(in_converters(file))] == []


# Nothing private

# Folders of the machines that this is written on; the first part of a path, and not `$HOME/work` or `</root>`.
PRIVATE = re.compile(rf"(?<![\w.}}<-])/(?:{'work'}|{'root'}|opt/{'pypi'}|opt/{'wheels'})(?![\w-])")


@pytest.mark.parametrize("name", ["work", "work/main", "root", "root/.cache", "opt/wheels"])
@pytest.mark.parametrize("before", ["", "see ", "'", "(", "file://", "="])
def test_a_private_path_is_known_as_one(before: str, name: str) -> None:
    assert PRIVATE.search(f"{before}/{name}")


@pytest.mark.parametrize(
    "text", ["https://example.org/work", "a/root", "workplace/", "$HOME/work", "</root>", "/workers"]
)
def test_another_path_is_not_taken_for_a_private_one(text: str) -> None:
    assert not PRIVATE.search(text)


def test_no_file_names_a_private_path() -> None:
    found = []
    for path in own_files():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [f"{name_of(path)}:{at}: {line.strip()}" for at, line in enumerate(lines, 1) if PRIVATE.search(line)]
    assert found == []
