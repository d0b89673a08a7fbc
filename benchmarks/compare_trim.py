"""Models trimmed for some languages beside their originals: bytes, speed, and what the languages lose.

    python -m benchmarks.compare_trim gemma-3-270m --languages bul --text /tmp/text --files /tmp/trimmed
    python -m benchmarks.compare_trim gemma-3-270m --languages bul --files /tmp/trimmed --speed --llama-server PATH

Each language is trimmed for together with English, by `demotic trim` and on texts of `debian_text.py`, of which one
line in ten is held out. With `--speed` what was trimmed before is measured, original and trimmed file in turns: as
llama-bench does (one prompt of 256 tokens; 64 tokens one by one, from an empty context), and as llama-server answers.
Results of single runs are gathered in one file.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.machine import fingerprint
from benchmarks.programs import llama_server, named
from benchmarks.report import machine_line, table
from benchmarks.script import leave_with
from benchmarks.servers import Setup, running
from runtime.backends.base import Chunk
from runtime.backends.llama.decoder import LlamaDecoder
from runtime.backends.llama.model import LlamaModel
from runtime.config import EngineConfig
from runtime.errors import DemoticError
from runtime.hardware.plan import plan
from runtime.hardware.probe import probe
from runtime.models.inspect import read_header
from runtime.models.provenance import read_provenance
from runtime.models.store import Store

RESULTS = Path(__file__).parent / "results"
PROMPT_TOKENS, NEW_TOKENS = 256, 64
SIDES = ("original", "trimmed")
_PROMPT = "1 2 3 4 5 6 7 8"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Compare trimmed models with their originals.")
    parser.add_argument("model")
    parser.add_argument("--languages", nargs="+", required=True, help="ISO 639-3, each trimmed for with English")
    parser.add_argument("--text", type=Path, help="folder with LANGUAGE.txt; else only files that are there are used")
    parser.add_argument("--files", type=Path, required=True, help="folder for the trimmed files")
    parser.add_argument("--speed", action="store_true", help="measure; else only trim")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--llama-server", type=Path, help="its path; else it is not asked")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args(arguments)


def trimmed_file(chosen: argparse.Namespace, language: str) -> Path:
    """The trimmed file, made now where there is text for it.

    Raises:
        DemoticError: the command failed, with what it said.
    """
    target: Path = chosen.files / f"{chosen.model}-{language}.gguf"
    if chosen.text is None:
        return target
    chosen.files.mkdir(parents=True, exist_ok=True)
    names = dict.fromkeys((language, "eng"))
    corpora = [word for name in names for word in ("--corpus", f"{name}={chosen.text / f'{name}.txt'}")]
    command = [sys.executable, "-m", "demotic", "trim", chosen.model, "-o", str(target), *corpora, "--json", "--force"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoticError(done.stderr.strip().splitlines()[-1])
    return target


def decoding_speeds(files: Sequence[Path], rounds: int, threads: int) -> dict[str, dict[str, list[float]]]:
    """Tokens a second of prompts and of generation, of both files in turns, the first one changing."""
    found: dict[str, dict[str, list[float]]] = {side: {"prompt": [], "generation": []} for side in SIDES}
    opened = [_open(path, threads) for path in files]
    try:
        for number in range(rounds + 1):
            turns = list(zip(SIDES, opened, strict=True))
            for side, (_, decoder) in turns if number % 2 else turns[::-1]:
                speeds = _run_once(decoder)
                if number:  # the first round warms up
                    found[side]["prompt"].append(speeds[0])
                    found[side]["generation"].append(speeds[1])
    finally:
        for model, decoder in opened:
            decoder.close()
            model.close()
    return found


def _open(path: Path, threads: int) -> tuple[LlamaModel, LlamaDecoder]:
    limits = EngineConfig(max_context=512, max_sequences=1)
    planned = plan(probe(), read_header(path).shape(), limits)
    model = LlamaModel(path)
    return model, LlamaDecoder(model, replace(planned, threads=threads, threads_batch=threads))


def _run_once(decoder: LlamaDecoder) -> tuple[float, float]:
    random = np.random.default_rng(1)
    tokens = random.integers(0, decoder.vocabulary_size, PROMPT_TOKENS).tolist()
    decoder.forget(0)
    started = time.perf_counter()
    decoder.forward([Chunk(0, 0, tokens, 1)])
    prompt = PROMPT_TOKENS / (time.perf_counter() - started)
    decoder.forget(0)
    started = time.perf_counter()
    for position, token in enumerate(tokens[:NEW_TOKENS]):
        decoder.forward([Chunk(0, position, [token], 1)])
    generation = NEW_TOKENS / (time.perf_counter() - started)
    decoder.forget(0)
    return prompt, generation


def server_speeds(chosen: argparse.Namespace, files: Sequence[Path]) -> dict[str, list[float]]:
    """Tokens a second that llama-server says it generated, of both files in turns."""
    found: dict[str, list[float]] = {side: [] for side in SIDES}
    for number in range(2):
        turns = list(zip(SIDES, files, strict=True))
        for side, file in turns if number % 2 else turns[::-1]:
            setup = Setup(named(llama_server(chosen.llama_server)), "it", file, chosen.threads, context=512)
            with (
                running(setup, "llama-server") as server,
                closing(httpx.Client(trust_env=False, timeout=120)) as client,
            ):
                for turn in range(4):
                    body = {"prompt": _PROMPT, "n_predict": NEW_TOKENS, "ignore_eos": True, "temperature": 0}
                    answer = client.post(f"{server.url.removesuffix('/v1')}/completion", json=body).json()
                    if turn:
                        found[side].append(answer["timings"]["predicted_per_second"])
    return found


def measure(chosen: argparse.Namespace, language: str) -> dict[str, Any]:
    """One language's row."""
    original, trimmed = Store().resolve(chosen.model).path, trimmed_file(chosen, language)
    report = read_provenance(trimmed).get("trim")
    if report is None:
        raise DemoticError(f"{trimmed} is not there, or its manifest is not.", remedy="Trim first: --text FOLDER.")
    row: dict[str, Any] = {"model": chosen.model, "language": language, "report": report}
    if chosen.speed:
        files = (original, trimmed)
        row["load_average"] = os.getloadavg()[0]
        row["speed"] = decoding_speeds(files, chosen.rounds, chosen.threads)
        if chosen.llama_server:
            row["llama_server"] = server_speeds(chosen, files)
            row["llama_server_version"] = llama_server(chosen.llama_server).version()
        row["machine"] = fingerprint()
    return row


def to_page(rows: Sequence[dict[str, Any]]) -> str:
    """All rows as Markdown."""
    heads = (
        *("model", "language", "rows", "MB", "of the original", "decoding, tokens/s", "ratio", "characters/s"),
        *("prompt ratio", "llama-server ratio", "tokens kept", "more tokens", "bits/byte", "unseen"),
    )
    machines = {machine_line(row["machine"]) for row in rows if "machine" in row}
    threads = (
        "Trimmed for the language and English. Speeds: medians, original > trimmed, in turns in one run, two threads. "
        "Tokens kept, more tokens and bits per byte are of held-out lines of the language; unseen: the share of tokens "
        "that Good and Turing estimate the corpus to lack."
    )
    return "\n\n".join([table(heads, [_cells(row) for row in rows]), threads, *sorted(machines)])


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    report = row["report"]
    source = report["sources"][0]
    held, bits = source["held_out"], source["proof"]["bits_per_byte"]
    before, after = report["bytes"]
    speed = row.get("speed")
    medians = (
        {side: {name: statistics.median(speed[side][name]) for name in speed[side]} for side in SIDES} if speed else {}
    )
    server = row.get("llama_server")
    generation = [medians[side]["generation"] for side in SIDES] if speed else [math.nan, math.nan]
    prompt = medians["trimmed"]["prompt"] / medians["original"]["prompt"] if speed else math.nan
    characters = [rate / each for rate, each in zip(generation, held["tokens_per_character"], strict=True)]
    asked = statistics.median(server["trimmed"]) / statistics.median(server["original"]) if server else math.nan
    return (
        row["model"],
        source["name"],
        f"{report['rows'][1]:,} of {report['rows'][0]:,}",
        f"{before / 1e6:.1f} > {after / 1e6:.1f}",
        f"{after / before:.1%}",
        "{:.0f} > {:.0f}".format(*generation),
        f"{generation[1] / generation[0]:.2f}",
        "{:.0f} > {:.0f}".format(*characters),
        f"{prompt:.2f}",
        f"{asked:.2f}",
        f"{held['coverage']:.2%}",
        f"{held['growth']:+.2%}",
        "{:.4f} > {:.4f}".format(*bits),
        f"{source['missing_share_by_good_turing']:.2%}",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Trim or measure, print, and put the rows beside those that were measured before."""
    chosen = parse(arguments)
    chosen.results.mkdir(parents=True, exist_ok=True)
    path: Path = chosen.results / "trim.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    for language in chosen.languages:
        new = measure(chosen, language)
        same = [row for row in rows if (row["model"], row["language"]) == (chosen.model, language)]
        rows = [row for row in rows if row not in same] + [new]
    result = {"benchmark": "compare_trim", "prompt_tokens": PROMPT_TOKENS, "new_tokens": NEW_TOKENS, "rows": rows}
    path.write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    (chosen.results / "trim.md").write_text(f"{to_page(rows)}\n", encoding="utf-8")
    print(to_page(rows))
    return 0


if __name__ == "__main__":
    leave_with(main)
