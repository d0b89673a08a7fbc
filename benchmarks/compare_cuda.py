"""What a CUDA card makes of demotic: speed beside the processor's, beside what memory allows, and beside llama-server.

    python -m benchmarks.compare_cuda --llama-server PATH

It runs `demotic bench` over the starters and over models of 1B and 7B with random weights (`synthetic.py`), on the
processor and on the card, with 1 to 64 sequences at once. A step of one sequence reads all weights, and the keys and
values so far: how many such steps the memory allows is measured by a copy (`bandwidth.py`). Then it runs `demotic bench
serve --against llama-server`, which must be built with CUDA from the source that llama-cpp-python was built from.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bandwidth import cpu_bandwidth, cuda_bandwidth, limit_of
from benchmarks.machine import fingerprint
from benchmarks.report import machine_line, table, to_json
from benchmarks.script import leave_with
from benchmarks.synthetic import SHAPES, write
from runtime.errors import DemoticError
from runtime.hardware.probe import probe
from runtime.models.inspect import read_header
from runtime.models.store import Store

RESULTS = Path(__file__).parent / "results"
STARTERS = ("smollm2-135m-instruct", "gemma-3-270m")
BATCHES = (1, 2, 4, 8, 16, 32, 64)
CLIENTS = (1, 32)
PROMPT_TOKENS, OUTPUT_TOKENS = (64, 512), 64
WANTED_SHARE, WANTED_RATIO = 0.75, 1.0
_GIB = 2**30


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure a CUDA card.")
    parser.add_argument("--llama-server", type=Path, help="its path, built with CUDA; without it there are no ratios")
    parser.add_argument("--devices", default="cpu,cuda", help="as for demotic bench")
    parser.add_argument("--models", nargs="*", default=list(STARTERS), help="names or paths, beside the synthetic ones")
    parser.add_argument("--synthetic", nargs="*", choices=SHAPES, default=list(SHAPES), help="sizes to make")
    parser.add_argument("--folder", type=Path, help="where the synthetic models are, or are made and kept")
    parser.add_argument("--batches", type=_numbers, default=BATCHES, help="such as 1,8,64")
    parser.add_argument("--clients", type=_numbers, default=CLIENTS, help="such as 1,32, of each server")
    parser.add_argument("--output-tokens", type=int, default=OUTPUT_TOKENS)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for cuda.json and cuda.md")
    return parser.parse_args(arguments)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def demotic(*words: str) -> None:
    """Run a command of demotic's, with its progress on the terminal.

    Raises:
        DemoticError: it failed; what it said stands on the terminal.
    """
    done = subprocess.run([sys.executable, "-m", "demotic", *words], check=False)
    if done.returncode:
        raise DemoticError(f"`demotic {' '.join(words[:2])}` ended with status {done.returncode}.")


def speeds(chosen: argparse.Namespace, models: Sequence[str], folder: Path) -> dict[str, Any]:
    """What `demotic bench` measured of all models, devices and batches."""
    result = folder / "bench.json"
    demotic(
        *("bench", *models, "--devices", chosen.devices),
        *("--batch", ",".join(map(str, chosen.batches)), "--prompt-tokens", ",".join(map(str, PROMPT_TOKENS))),
        *("--output-tokens", str(chosen.output_tokens), "--repetitions", str(chosen.repetitions)),
        *("--format", "json", "--output", str(result)),
    )
    found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return found


def ratios(chosen: argparse.Namespace, model: str, clients: int) -> dict[str, Any]:
    """What `demotic bench serve --against llama-server` measured of one model."""
    words = [
        *("bench", "serve", "--model", model, "--against", f"llama-server={chosen.llama_server.resolve()}"),
        *("--clients", str(clients), "--output-tokens", str(chosen.output_tokens), "--json"),
        *("--alternations", str(chosen.repetitions)),
    ]
    done = subprocess.run([sys.executable, "-m", "demotic", *words], check=False, stdout=subprocess.PIPE, text=True)
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError as fault:
        raise DemoticError(f"`demotic bench serve` ended with status {done.returncode}.") from fault
    row = next(row for row in found["rows"] if row["figure"] == "throughput")
    return {"model": Path(model).stem, "clients": clients, "wanted": WANTED_RATIO, **row, "versions": found["versions"]}


def shares(result: dict[str, Any], files: dict[str, Path], bandwidths: dict[str, float]) -> list[dict[str, Any]]:
    """Of what each device's memory allows, the share that one sequence at a time reaches, by model."""
    found = []
    for one in result["models"]:
        device = one["settings"]["device"]
        alone = next((job for job in one["jobs"] if job["kind"] == "generation" and job["batch"] == 1), None)
        if alone is None or device not in bandwidths:
            continue
        position = alone["prompt_tokens"] + alone["output_tokens"] // 2
        shape = read_header(files[one["model"]]).shape()
        limit = limit_of(shape, one["settings"]["kv_type"], position, bandwidths[device])
        speed = alone["tokens_per_second"]["median"]
        found.append(
            {
                "model": one["model"],
                "device": device,
                "gpu_layers": one["settings"]["gpu_layers"],
                "tokens_per_second": speed,
                "bytes_per_step": limit.bytes_per_step,
                "bandwidth_bytes_per_second": bandwidths[device],
                "limit_tokens_per_second": limit.steps_per_second,
                "share": speed / limit.steps_per_second,
            }
        )
    return found


def to_page(result: dict[str, Any]) -> str:
    """All of it as Markdown."""
    speed_rows = [
        [
            one["name"],
            job["kind"],
            str(job["batch"]),
            str(job["prompt_tokens"] if job["kind"] == "prompt" else job["output_tokens"]),
            f"{job['tokens_per_second']['median']:.1f}",
            f"{job['ttft_seconds']['median']:.3f}",
        ]
        for one in result["speed"]["models"]
        for job in one["jobs"]
    ]
    share_rows = [
        [
            one["model"],
            one["device"],
            f"{one['tokens_per_second']:.1f}",
            f"{one['bytes_per_step'] / _GIB:.2f}",
            f"{one['bandwidth_bytes_per_second'] / 1e9:.0f}",
            f"{one['share']:.0%}",
        ]
        for one in result["shares"]
    ]
    ratio_rows = [
        [one["model"], str(one["clients"]), f"{one['ratio']:.2f}", f"at least {one['wanted']}"]
        for one in result["ratios"]
        if one["ratio"] is not None
    ]
    parts = [
        table(("model", "job", "sequences at once", "tokens", "tokens/s", "TTFT, s"), speed_rows),
        f"One sequence at a time, of what memory allows (goal: the 7B at {WANTED_SHARE:.0%} or more on the card):",
        table(("model", "device", "tokens/s", "GiB a step", "copy, GB/s", "share"), share_rows),
        *(
            ["Output tokens/s, demotic / llama-server:", table(("model", "clients", "ratio", "wanted"), ratio_rows)]
            if ratio_rows
            else []
        ),
        *result["speed"].get("left_out", ()),
        machine_line(result["machine"]),
        "To repeat it, while nothing else runs: `python -m benchmarks.compare_cuda --llama-server PATH`",
    ]
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the results."""
    chosen = parse(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        made = [folder / f"synthetic-{size}.gguf" for size in chosen.synthetic]
        for size, path in zip(chosen.synthetic, made, strict=True):
            if not path.exists():
                write(path, path.stem, SHAPES[size])
        models = [*chosen.models, *map(str, made)]
        files = {file.name: file.path for file in map(Store().resolve, models)}
        measured: dict[str, Callable[[], float]] = {
            "cpu": lambda: cpu_bandwidth(probe().usable_cores),
            "cuda": cuda_bandwidth,
        }
        speed = speeds(chosen, models, Path(temporary))
        devices = {one["settings"]["device"] for one in speed["models"]}
        bandwidths = {device: measured[device]() for device in sorted(devices & measured.keys())}
        against = models if chosen.llama_server else []
        compared = [ratios(chosen, model, clients) for model in against for clients in chosen.clients]
    result = {
        "benchmark": "compare_cuda",
        "speed": speed,
        "shares": shares(speed, files, bandwidths),
        "ratios": compared,
        "machine": fingerprint(),
    }
    chosen.results.mkdir(parents=True, exist_ok=True)
    (chosen.results / "cuda.json").write_text(f"{to_json(result)}\n", encoding="utf-8")
    (chosen.results / "cuda.md").write_text(f"{to_page(result)}\n", encoding="utf-8")
    print(to_page(result))
    return 0


if __name__ == "__main__":
    leave_with(main)
