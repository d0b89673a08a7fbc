"""`demotic convert` of a synthetic Llama beside a plain copy of the same bytes: GB/s of the source, and memory.

    python -m benchmarks.compare_convert --layers 32 --type q8_0

The checkpoint has the sizes of Llama 7B in bfloat16 (32 layers: 13.5 GB) and random weights. Conversion and copy take
turns; both find the source in the system's cache as far as it fits there.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from benchmarks.machine import fingerprint

RESULTS = Path(__file__).parent / "results"
WIDTH, FEED_FORWARD, HEADS, VOCABULARY = 4096, 11008, 32, 32000
_BLOCK = 2**23  # values that are written again and again


def shapes(layers: int) -> dict[str, tuple[int, ...]]:
    """The tensors of a Llama of so many layers, rows first."""
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCABULARY, WIDTH)}
    for layer in range(layers):
        above = f"model.layers.{layer}"
        found |= {f"{above}.self_attn.{name}_proj.weight": (WIDTH, WIDTH) for name in "qkvo"}
        found |= {f"{above}.mlp.{name}_proj.weight": (FEED_FORWARD, WIDTH) for name in ("gate", "up")}
        found[f"{above}.mlp.down_proj.weight"] = (WIDTH, FEED_FORWARD)
        found |= {f"{above}.{name}_layernorm.weight": (WIDTH,) for name in ("input", "post_attention")}
    return found | {"model.norm.weight": (WIDTH,), "lm_head.weight": (VOCABULARY, WIDTH)}


def make_checkpoint(folder: Path, layers: int) -> int:
    """Write it, and return the bytes of its weights."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": WIDTH,
        "intermediate_size": FEED_FORWARD,
        "num_attention_heads": HEADS,
        "num_hidden_layers": layers,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
    }
    (folder / "config.json").write_text(json.dumps(config))
    _tokenizer().save(str(folder / "tokenizer.json"))
    table: dict[str, Any] = {}
    end = 0
    for name, shape in shapes(layers).items():
        size = 2 * math.prod(shape)
        table[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    header = json.dumps(table).encode()
    values = np.random.default_rng(0).normal(0, 0.02, _BLOCK).astype(np.float32)
    block = (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for start in range(0, end, len(block)):
            file.write(block[: end - start])
    return end


def _tokenizer() -> tokenizers.Tokenizer:
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({letter: at for at, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    return tokenizer


def convert(folder: Path, target: Path, type_name: str) -> tuple[float, int]:
    """Seconds of a conversion in a process of its own, and the most memory it had, in bytes."""
    command = [
        sys.executable,
        "-m",
        "demotic",
        "convert",
        str(folder),
        "-o",
        str(target),
        "--type",
        type_name,
        "--force",
    ]
    started = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        raise SystemExit(f"demotic convert ended with {status}")
    return time.perf_counter() - started, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def copy(source: Path, target: Path) -> float:
    """Seconds of a plain copy, by reading and writing."""
    started = time.perf_counter()
    with source.open("rb") as reading, target.open("wb") as writing:
        shutil.copyfileobj(reading, writing, 2**24)
    return time.perf_counter() - started


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--type", default="q8_0")
    parser.add_argument("--alternations", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="Where to write; it needs three times the size.")
    wanted = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=wanted.folder) as name:
        folder = Path(name)
        num_bytes = make_checkpoint(folder, wanted.layers)
        conversions, copies = [], []
        for _ in range(wanted.alternations):
            copies.append(copy(folder / "model.safetensors", folder / "copy"))
            (folder / "copy").unlink()
            conversions.append(convert(folder, folder / "model.gguf", wanted.type))
    seconds = statistics.median(each for each, _ in conversions)
    copied = statistics.median(copies)
    result = {
        "source_bytes": num_bytes,
        "type": wanted.type,
        "convert_gb_per_s": num_bytes / seconds / 1e9,
        "copy_gb_per_s": num_bytes / copied / 1e9,
        "peak_memory_bytes": max(memory for _, memory in conversions),
        "seconds": [each for each, _ in conversions],
        "copy_seconds": copies,
        "machine": fingerprint(),
    }
    (RESULTS / f"convert-{wanted.type}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(
        f"{num_bytes / 1e9:.1f} GB to {wanted.type}: {result['convert_gb_per_s']:.2f} GB/s, a copy "
        f"{result['copy_gb_per_s']:.2f} GB/s, {result['peak_memory_bytes'] / 1e9:.2f} GB of memory"
    )


if __name__ == "__main__":
    main()
