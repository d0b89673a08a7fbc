"""The front door: the command line of all four packages, and the Python API.

import demotic

with demotic.load("smollm2-135m-instruct") as model:
    print(model.chat("What is the capital of France?").text)
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

import benchmarks.cli
import converters.cli
import runtime.cli
import tui.cli
from runtime.errors import DemoticError

if TYPE_CHECKING:
    from runtime.answer import Answer
    from runtime.chat.template import Message
    from runtime.chat.tools.sources.functions import tool
    from runtime.model import Model, load

__all__ = ["Answer", "Message", "Model", "load", "main", "tool"]

_API = {
    "Answer": "runtime.answer",
    "Message": "runtime.chat.template",
    "Model": "runtime.model",
    "load": "runtime.model",
    "tool": "runtime.chat.tools.sources.functions",
}


def __getattr__(name: str) -> object:
    """Import the Python API when it is first used, so that the command line starts without it."""
    if name not in _API:
        raise AttributeError(f"module 'demotic' has no attribute '{name}'")
    return getattr(importlib.import_module(_API[name]), name)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        import importlib.metadata

        print(f"demotic {importlib.metadata.version('demotic')}")  # noqa: T201
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where a fault came from.")] = False,
) -> None:
    """Options before the command; `main` looks for --debug itself."""


def make_app() -> typer.Typer:
    """The command line, with every package's commands."""
    app = typer.Typer(
        name="demotic",
        help="Run small language models in any language on this machine.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    runtime.cli.register(app)
    tui.cli.register(app)
    converters.cli.register(app)
    benchmarks.cli.register(app)
    return app


def main() -> None:
    """Run the command line: a fault is one line on standard error and exit status 2."""
    try:
        make_app()()
    except DemoticError as error:
        if "--debug" in sys.argv:
            raise
        print(f"demotic: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except KeyboardInterrupt:
        print(file=sys.stderr)  # noqa: T201
        sys.exit(130)


if __name__ == "__main__":
    main()
