"""A checkpoint that is large, and the memory that converting it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROWS, WIDTH = 2**19, 64
MATRICES = {"gate_proj": [ROWS, WIDTH], "up_proj": [ROWS, WIDTH], "down_proj": [WIDTH, ROWS]}

_MEASURED = """
import json, resource, sys
from converters.convert import Request, convert
from pathlib import Path
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
first, second = [Request(each[0], Path(each[1]), *each[2:]) for each in json.loads(sys.argv[1])]
convert(first)
before = peak()
convert(second)
print((peak() - before) * 1024)
"""

_MERGED = """
import json, resource, sys
from converters.arithmetic.merge import Request, merge
from converters.progress import NoSteps
from pathlib import Path
from runtime.models.files import NoProgress
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
first, second = [Request(tuple(each[:2]), Path(each[2]), weights="0.5,0.5") for each in json.loads(sys.argv[1])]
merge(first, NoProgress(), NoSteps())
before = peak()
merge(second, NoProgress(), NoSteps())
print((peak() - before) * 1024)
"""


def enlarge(folder: Path, model: Any) -> None:
    """Give a folder with a tiny Llama one block with matrices of 134 MB as float32, zeros that take no room."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": ROWS, "num_hidden_layers": 1}))
    table: dict[str, Any] = {}
    size = 0
    for name, tensor in model.state_dict().items():
        if "layers.1." in name:
            continue
        shape = MATRICES.get(name.split(".")[-2], list(tensor.shape))
        num_bytes = 2 * int(np.prod(shape))
        table[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [size, size + num_bytes]}
        size += num_bytes
    header = json.dumps(table).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)


def bytes_for(second: Sequence[str], after: Sequence[str]) -> int:
    """What the second conversion takes beyond the most that the first one took; each the fields of a `Request`."""
    return _measured(_MEASURED, [list(after), list(second)])


def bytes_for_merge(second: Sequence[str], after: Sequence[str]) -> int:
    """The same of two linear merges; each two models and an output."""
    return _measured(_MERGED, [list(after), list(second)])


def _measured(code: str, requests: list[list[str]]) -> int:
    arguments = [sys.executable, "-c", code, json.dumps(requests)]
    return int(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout)
