"""Constrained answers of demotic and of llama-server: the same JSON schema, in turns, as a ratio.

    python -m benchmarks.compare_constrained --llama-server PATH --model gemma-3-270m

The request is like a tool call: six fixed keys, choices, and one free string. Both servers run one after the other in
every alternation and answer greedily. Their texts may differ, so characters a second are compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import jsonschema

from benchmarks.machine import fingerprint
from benchmarks.programs import demotic, llama_server, named
from benchmarks.report import table
from benchmarks.script import leave_with
from benchmarks.servers import Server, Setup, Side, running
from runtime.errors import DemoticError
from runtime.models.store import Store

RESULTS = Path(__file__).parent / "results"
WANTED = 1.5
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "function_name": {"enum": ["search_documents", "open_document", "summarise_document"]},
        "target_language": {"enum": ["bulgarian", "swahili", "japanese", "spanish"]},
        "output_format": {"enum": ["plain_text", "markdown", "html"]},
        "include_sources": {"type": "boolean"},
        "priority": {"enum": ["low", "normal", "high"]},
        "search_query": {"type": "string", "maxLength": 30},
    },
    "required": [
        *("function_name", "target_language", "output_format", "include_sources", "priority", "search_query"),
    ],
    "additionalProperties": False,
}
QUESTIONS = ("the harvest", "old maps", "a lighthouse", "railway tickets", "bread", "the northern lights")


def ask(server: Server, question: str) -> tuple[float, str]:
    """Seconds and text of one answer; each server takes the schema in its own field and ignores the other's."""
    body = {
        "prompt": f"A user looks for documents about {question}. The call of the tool, as JSON:\n",
        "max_tokens": 200,
        "temperature": 0,
        "guided_json": SCHEMA,
        "json_schema": SCHEMA,
    }
    started = time.perf_counter()
    answer = httpx.post(f"{server.url}/completions", json=body, timeout=300, trust_env=False)
    seconds = time.perf_counter() - started
    if answer.status_code != 200:
        raise DemoticError(f"A server answered {answer.status_code}: {answer.text[:300]}")
    return seconds, answer.json()["choices"][0]["text"]


def measure(setup: Setup, side: Side) -> float:
    """Characters a second of one server, after one answer to warm it up."""
    with running(setup, side) as server:
        ask(server, "nothing yet")
        answers = [ask(server, question) for question in QUESTIONS]
    for _, text in answers:
        jsonschema.validate(json.loads(text), SCHEMA)
    return sum(len(text) for _, text in answers) / sum(seconds for seconds, _ in answers)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print, and write the results."""
    parser = argparse.ArgumentParser(description="Compare constrained answers of demotic and llama-server.")
    parser.add_argument("--llama-server", type=Path, required=True, help="its path")
    parser.add_argument("--model", default="gemma-3-270m", help="path or name")
    parser.add_argument("--threads", type=int, default=2, help="of each server")
    parser.add_argument("--alternations", type=int, default=3)
    chosen = parser.parse_args(arguments)
    model = Store().resolve(chosen.model)
    setup = Setup(
        programs=named(demotic(), llama_server(chosen.llama_server.resolve())),
        model=model.name,
        file=model.path,
        threads=chosen.threads,
        context=1024,
    )
    found: dict[Side, list[float]] = {side: [] for side in setup.sides}
    for turn in range(chosen.alternations):
        for side in setup.sides if turn % 2 == 0 else setup.sides[::-1]:
            found[side].append(measure(setup, side))
    ratio = statistics.median(
        ours / theirs for ours, theirs in zip(*(found[side] for side in setup.sides), strict=True)
    )
    medians = {side: statistics.median(found[side]) for side in setup.sides}
    result = {
        "model": setup.model,
        "schema": SCHEMA,
        "characters_per_second": found,
        "ratio": ratio,
        "wanted": WANTED,
        "llama_server": setup.programs["llama-server"].version(),
        "machine": fingerprint(),
    }
    path = RESULTS / f"constrained-{setup.model}.json"
    path.write_text(f"{json.dumps(result, indent=2, ensure_ascii=False, default=str)}\n", encoding="utf-8")
    print(
        table(
            ["model", "demotic, characters/s", "llama-server, characters/s", "ratio", "wanted"],
            [[setup.model, *(f"{medians[side]:.0f}" for side in setup.sides), f"{ratio:.2f}", f"at least {WANTED}"]],
        )
    )
    return 0


if __name__ == "__main__":
    leave_with(main)
