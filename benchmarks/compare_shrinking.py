"""An encoder of multilingual-e5-small's sizes as ONNX graphs: bytes and texts/s in float32 and made smaller.

    python -m benchmarks.compare_shrinking

The weights are random, so what is lost says how the types compare, not what a trained model would lose. All graphs take
turns in one run. It needs the extra 'convert' and 3 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]  # it has no types
from onnx import ModelProto

from benchmarks.machine import fingerprint
from converters.onnx.graph import load_graph, save_graph, write_graph
from converters.onnx.kinds import KINDS
from converters.onnx.rows import keep_rows
from converters.onnx.surgery import factorise_embedding, quantize_embedding
from converters.onnx.weights import to_fp16, to_int8
from converters.onnx.wrappers_encoder import encoder_graph

RESULTS = Path(__file__).parent / "results"
NAME = "shrinking.json"
ROWS, WIDTH, LAYERS, HEADS, FEED_FORWARD = 250_002, 384, 12, 12, 1536
KEPT_ROWS, RANK = 60_000, 128
_FIRST, _SEED = 5, 0  # ids below are special
_SPAN = 8  # texts that are measured at once where a batch has fewer


def change_embedding(model: ModelProto) -> None:
    """Eight bits a row."""
    quantize_embedding(model)


def change_all(model: ModelProto) -> None:
    """Eight bits everywhere."""
    to_int8(model)
    quantize_embedding(model)


def change_narrow(model: ModelProto) -> None:
    """Matrices in seven bits, the embedding in eight."""
    to_int8(model, is_narrow=True)
    quantize_embedding(model)


def change_and_trim(model: ModelProto) -> None:
    """Eight bits everywhere, and the first rows of the embedding alone."""
    change_all(model)
    keep_rows(model, range(KEPT_ROWS), ROWS)


def change_and_factorise(model: ModelProto) -> None:
    """Eight bits everywhere, and an embedding of two factors."""
    factorise_embedding(model, RANK)
    change_all(model)


CHANGES: dict[str, Callable[[ModelProto], object]] = {
    "fp32": lambda model: model,
    "fp16": to_fp16,
    "fp32, embedding int8": change_embedding,
    "int8": to_int8,
    "int8, embedding int8": change_all,
    "int7, embedding int8": change_narrow,
    f"int8, embedding int8, {KEPT_ROWS} rows": change_and_trim,
    f"int8, embedding int8 of rank {RANK}": change_and_factorise,
}


def write_whole(folder: Path) -> Path:
    """Write the graph in float32, with random weights, and return its path."""
    import torch
    import transformers

    torch.manual_seed(_SEED)
    config = transformers.XLMRobertaConfig(
        vocab_size=ROWS, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        intermediate_size=FEED_FORWARD, max_position_embeddings=514, type_vocab_size=1, initializer_range=0.05,
    )  # fmt: skip
    model = transformers.XLMRobertaModel(config, add_pooling_layer=False).eval()  # type: ignore[no-untyped-call]  # transformers does not say
    return write_graph(encoder_graph(model, KINDS["XLMRobertaModel"]), folder)[0]


def open_session(path: Path, threads: int) -> ort.InferenceSession:
    """A graph on the processor."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def vectors(session: ort.InferenceSession, ids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The mean of the states of each text: shape (texts, width)."""
    (states,) = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    found: np.ndarray[Any, Any] = states.mean(axis=1)
    return found


def lowest_cosine(wanted: np.ndarray[Any, Any], found: np.ndarray[Any, Any]) -> float:
    """Over the rows of both."""
    products = (wanted * found).sum(axis=1)
    return float((products / np.linalg.norm(wanted, axis=1) / np.linalg.norm(found, axis=1)).min())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=64, help="tokens of a text")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    wanted = parser.parse_args(arguments)
    random = np.random.default_rng(_SEED)
    texts = {size: random.integers(_FIRST, KEPT_ROWS, (size, wanted.length)) for size in wanted.batches}
    seconds: dict[str, dict[int, list[float]]] = {name: {size: [] for size in texts} for name in CHANGES}
    with tempfile.TemporaryDirectory() as name:
        whole, paths = write_whole(Path(name)), {}
        for at, (label, change) in enumerate(CHANGES.items()):
            model = load_graph(whole)
            change(model)
            paths[label] = Path(name) / f"{at}.onnx"
            save_graph(model, paths[label])
            del model
        sessions = {label: open_session(path, wanted.threads) for label, path in paths.items()}
        for _ in range(wanted.rounds):
            for label, session in sessions.items():
                for size, ids in texts.items():
                    times = max(1, _SPAN // size)
                    started = time.perf_counter()
                    for _ in range(times):
                        vectors(session, ids)
                    seconds[label][size].append((time.perf_counter() - started) / times)
        most = max(texts)
        before = vectors(sessions["fp32"], texts[most])
        found: dict[str, dict[str, Any]] = {
            label: {
                "bytes": paths[label].stat().st_size,
                "texts_per_s": {str(size): size / statistics.median(each) for size, each in seconds[label].items()},
                "lowest_cosine": lowest_cosine(before, vectors(sessions[label], texts[most])),
            }
            for label in CHANGES
        }
    result = {
        "what": f"encoder of {LAYERS} layers, width {WIDTH}, {ROWS} rows, random weights; texts of {wanted.length} "
        "tokens; medians",
        "rounds": wanted.rounds,
        "threads": wanted.threads,
        "graphs": found,
        "machine": fingerprint(),
    }
    (RESULTS / NAME).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for label, each in found.items():
        speeds = ", ".join(f"{speed:.1f} texts/s at batch {size}" for size, speed in each["texts_per_s"].items())
        print(f"{label}: {each['bytes'] / 1e6:.1f} MB, {speeds}, lowest cosine {each['lowest_cosine']:.4f}")


if __name__ == "__main__":
    main()
