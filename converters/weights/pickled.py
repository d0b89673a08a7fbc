"""PyTorch's own files (`.bin`, `.pt`): a pickle, of which nothing but tensors is accepted and no code runs."""

from __future__ import annotations

import pickle  # only for its error: torch reads the file
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converters.tensors import FloatArray, Tensor
from runtime.errors import ConversionRefused

if TYPE_CHECKING:
    import torch

# torch's names for types, in safetensors' words.
_DTYPES = {"float64": "F64", "float16": "F16", "bfloat16": "BF16", "bool": "BOOL", "uint8": "U8"}
_DTYPES |= {f"int{bits}": f"I{bits}" for bits in (8, 16, 32, 64)}


def read_pickled(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, mapped into memory where the file is a zip archive (PyTorch 1.6 and later).

    Raises:
        ConversionRefused: the file wants to run code, is damaged, or holds something else than tensors by name.
    """
    import torch

    try:
        stored = _load(path, torch)
    except pickle.UnpicklingError as fault:
        raise ConversionRefused(
            f"{path} holds more than tensors, perhaps code; nothing of it was run.",
            remedy="Get the checkpoint as safetensors, from its author.",
        ) from fault
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError) as fault:
        raise ConversionRefused(
            f"{path} is damaged or is no PyTorch checkpoint: {str(fault).partition(chr(10))[0][:200].rstrip('.')}.",
            remedy="Get this file again.",
        ) from fault
    if not isinstance(stored, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in stored.items()
    ):
        raise ConversionRefused(f"{path} holds something else than tensors by name.")
    return {name: _tensor(value) for name, value in stored.items()}


def _load(path: Path, torch: Any) -> Any:
    with path.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)


def _tensor(value: torch.Tensor) -> Tensor:
    rows = value.detach().reshape(1) if value.ndim == 0 else value.detach()

    def read(first: int, last: int) -> FloatArray:
        values: FloatArray = rows[first:last].float().numpy()
        return values

    dtype = _DTYPES.get(str(value.dtype).removeprefix("torch."), "F32")
    return Tensor(tuple(rows.shape), read, dtype=dtype, is_scalar=value.ndim == 0)
