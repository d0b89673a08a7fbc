"""Vectors of demotic's endpoint and of sentence-transformers: the same texts, in turns, as a ratio, and their distance.

    python -m benchmarks.compare_encoders --model minilm-onnx --source FOLDER --reference-python PATH

FOLDER is the checkpoint that `demotic convert FOLDER --to onnx -o minilm-onnx` was given; PATH the Python of an
environment that has sentence-transformers. The texts are parts of this project's licence, 4 to 96 words long. demotic
is asked over HTTP, one request after the other, each with so many texts as the other side has in a call.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt

from benchmarks.machine import fingerprint
from benchmarks.programs import demotic, named
from benchmarks.report import table
from benchmarks.script import leave_with
from benchmarks.servers import Server, Setup, running
from runtime.errors import DemoticError
from runtime.models.store import Store

RESULTS = Path(__file__).parent / "results"
BATCHES = (1, 32)
WANTED = 1.5
MAX_DIFFERENCE = 1e-4
_LICENSE = Path(__file__).parent.parent / "LICENSE"
_SCRIPT = Path(__file__).with_name("encoders_reference.py")
Vectors = npt.NDArray[np.float32]


def texts_of(count: int) -> list[str]:
    """Parts of the licence of 4 to 96 words, the same each time."""
    words, chance = _LICENSE.read_text(encoding="utf-8").split(), random.Random(0)  # noqa: S311  # no secret
    lengths = [chance.randint(4, 96) for _ in range(count)]
    starts = [chance.randint(0, len(words) - length) for length in lengths]
    return [" ".join(words[start : start + length]) for start, length in zip(starts, lengths, strict=True)]


@dataclass(frozen=True)
class Reference:
    """sentence-transformers in a process of its own, and the versions there."""

    process: subprocess.Popen[str]
    versions: dict[str, str]

    def encode(self, texts: Sequence[str], batch: int) -> tuple[float, Vectors]:
        """Seconds and vectors of all texts."""
        answer = _exchange(self.process, {"texts": list(texts), "batch": batch})
        return answer["seconds"], _vectors(answer["vectors"], len(texts))


@contextmanager
def reference(python: Path, source: Path, threads: int) -> Iterator[Reference]:
    """The other side, until the block is left."""
    command = [str(python), str(_SCRIPT), str(source), "--threads", str(threads)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Reference(process, _exchange(process, None)["versions"])
    finally:
        process.kill()
        process.communicate()


def _exchange(process: subprocess.Popen[str], request: dict[str, Any] | None) -> dict[str, Any]:
    assert process.stdin is not None and process.stdout is not None  # noqa: S101  # both are pipes
    if request is not None:
        process.stdin.write(f"{json.dumps(request)}\n")
        process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise DemoticError("The reference ended.", remedy="Its own message is above; does it have the package?")
    found: dict[str, Any] = json.loads(line)
    return found


def _vectors(data: str, count: int) -> Vectors:
    return np.frombuffer(base64.b64decode(data), "<f4").reshape(count, -1)


def encode(server: Server, texts: Sequence[str], batch: int) -> tuple[float, Vectors]:
    """Seconds and vectors of all texts, `batch` of them in a request."""
    with httpx.Client(timeout=300, trust_env=False) as http:
        started = time.perf_counter()
        answers = [
            http.post(f"{server.url}/embeddings", json={"input": texts[at : at + batch], "encoding_format": "base64"})
            for at in range(0, len(texts), batch)
        ]
        seconds = time.perf_counter() - started
    for answer in answers:
        if answer.status_code != 200:
            raise DemoticError(f"The server answered {answer.status_code}: {answer.text[:300]}")
    parts = [_vectors(each["embedding"], 1) for answer in answers for each in answer.json()["data"]]
    return seconds, np.concatenate(parts)


def measure(
    ours: Server, theirs: Reference, texts: Sequence[str], alternations: int
) -> tuple[dict[int, dict[str, list[float]]], float]:
    """Texts a second of both sides by size of batch, and the largest difference between two numbers of vectors."""
    sides: dict[str, Callable[[Sequence[str], int], tuple[float, Vectors]]] = {
        "demotic": partial(encode, ours),
        "reference": theirs.encode,
    }
    found: dict[int, dict[str, list[float]]] = {batch: {side: [] for side in sides} for batch in BATCHES}
    difference = 0.0
    for side in sides.values():
        side(texts[: max(BATCHES)], max(BATCHES))  # a start that is not measured
    for turn in range(alternations):
        for batch in BATCHES:
            vectors: dict[str, Vectors] = {}
            for name in sides if turn % 2 == 0 else reversed(sides):
                seconds, vectors[name] = sides[name](texts, batch)
                found[batch][name].append(len(texts) / seconds)
            difference = max(difference, float(np.abs(vectors["demotic"] - vectors["reference"]).max()))
    return found, difference


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print, and write the results."""
    parser = argparse.ArgumentParser(description="Compare vectors of demotic and of sentence-transformers.")
    parser.add_argument("--model", required=True, help="a folder of ONNX graphs")
    parser.add_argument("--source", type=Path, required=True, help="the checkpoint that it was made of")
    parser.add_argument("--reference-python", type=Path, required=True, help="of the other environment")
    parser.add_argument("--threads", type=int, default=2, help="of the reference; demotic takes one for each core")
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--alternations", type=int, default=5)
    parser.add_argument("--max-difference", type=float, default=MAX_DIFFERENCE, help="that may be between the vectors")
    parser.add_argument("--results", type=Path, default=RESULTS, help="a folder")
    chosen = parser.parse_args(arguments)
    model = Store().resolve(chosen.model)
    setup = Setup(
        programs=named(demotic()),
        model=model.name,
        file=model.path,
        threads=chosen.threads,
        context=512,
    )
    texts = texts_of(chosen.texts)
    with reference(chosen.reference_python, chosen.source, chosen.threads) as theirs, running(setup, "demotic") as ours:
        found, difference = measure(ours, theirs, texts, chosen.alternations)
    if difference > chosen.max_difference:
        raise DemoticError(f"The vectors differ by {difference:.2g}, and may by {chosen.max_difference:g}.")
    ratios = {
        str(batch): statistics.median(
            mine / other for mine, other in zip(figures["demotic"], figures["reference"], strict=True)
        )
        for batch, figures in found.items()
    }
    result = {
        "model": setup.model,
        "texts": len(texts),
        "texts_per_second": found,
        "ratios": ratios,
        "largest_difference": difference,
        "wanted": WANTED,
        "reference": theirs.versions,
        "machine": fingerprint(),
    }
    path = chosen.results / f"encoders-{setup.model}.json"
    path.write_text(f"{json.dumps(result, indent=2)}\n", encoding="utf-8")
    print(
        table(
            ["texts a request", "demotic, texts/s", "sentence-transformers, texts/s", "ratio", "wanted"],
            [
                [
                    str(batch),
                    *(f"{statistics.median(figures[side]):.0f}" for side in ("demotic", "reference")),
                    f"{ratios[str(batch)]:.2f}",
                    f"at least {WANTED}",
                ]
                for batch, figures in found.items()
            ],
        )
    )
    print(f"The largest difference between two vectors' numbers is {difference:.2g}.")
    return 0


if __name__ == "__main__":
    leave_with(main)
