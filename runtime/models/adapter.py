"""LoRA adapters as GGUF: where they are, and whether one belongs to a model, checked before llama.cpp is given it.

An adapter has, for some of the model's matrices, two small ones whose product is added: `NAME.lora_a` and
`NAME.lora_b`. The format and its rules are those of llama.cpp's llama-adapter.cpp; what is refused here would be
refused there with less to go by, or would abort the process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runtime.errors import AdapterNotFound
from runtime.models.gguf_format import TensorInfo, invalid, parse
from runtime.models.header import Header
from runtime.models.trimmed import ADAPTER_KEY, VOCABULARY_TENSORS, fingerprint, is_trimmed

_A, _B = ".lora_a", ".lora_b"
_EMBEDDING, _HEAD = "token_embd.weight", "output.weight"
_TYPES = frozenset({"F32", "F16", "BF16", "Q8_0"})
_OTHER_BASE = "Give the adapter that was made for this very model."


@dataclass(frozen=True)
class AdapterFiles:
    """The adapters of a server: those `given` for a model, by name, and every `NAME.gguf` in `folder` for all models.

    What lies in the folder is looked at anew each time, so that a file put there can be used at once.
    """

    given: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)
    folder: Path | None = None

    def of(self, model: str) -> dict[str, Path]:
        """The adapters that a model may be asked for, by name."""
        found = sorted(self.folder.glob("*.gguf")) if self.folder is not None else []
        return {path.stem: path for path in found} | dict(self.given.get(model, {}))

    def find(self, model: str, adapter: str) -> Path:
        """The file of an adapter.

        Raises:
            AdapterNotFound: the model has none of that name.
        """
        files = self.of(model)
        if adapter not in files:
            raise AdapterNotFound(adapter, known=tuple(files))
        return files[adapter]


def check_adapter(path: Path, base: Header) -> None:
    """Refuse the file at `path` unless it is a LoRA for the model of `base`.

    Raises:
        ModelFileInvalid: it cannot be read, is no LoRA, or belongs to another model.
    """
    file = parse(path)
    adapter = Header(path, file.version, file.alignment, file.metadata, file.tensors, file.file_size)
    kind, method = adapter.text("general.type"), adapter.text("adapter.type")
    if kind != "adapter" or method != "lora":
        raise invalid(path, "is no LoRA adapter", "Make one of what PEFT saved: demotic convert ADAPTER.")
    if adapter.architecture != base.architecture:
        fault = f"is for the architecture '{adapter.architecture:.40}', but {base.path.name} is '{base.architecture}'"
        raise invalid(path, fault, _OTHER_BASE)
    if "adapter.alora.invocation_tokens" in adapter.metadata:
        raise invalid(path, "is an activated LoRA, which takes effect from certain tokens on", "Use a plain LoRA.")
    alpha = adapter.metadata.get("adapter.lora.alpha", 0.0)
    if not isinstance(alpha, float) or not math.isfinite(alpha):
        raise adapter.fault(f"has {alpha!r:.40} as 'adapter.lora.alpha', which is no finite number")
    names = {name.removesuffix(_A).removesuffix(_B) for name in adapter.tensors if not name.endswith("_norm.weight")}
    if not names:
        raise adapter.fault("changes nothing")
    _check_vocabulary(adapter, base, names)
    for name in sorted(names):
        _check_pair(adapter, base, name)


def _check_vocabulary(adapter: Header, base: Header, names: set[str]) -> None:
    """Refuse an adapter for other tokens: one that says whose it is, and for a trimmed model one that does not.

    What changes no row of a token fits every vocabulary, so it need not say.
    """
    stamp = adapter.text(ADAPTER_KEY)
    is_other = stamp is not None and stamp != fingerprint(base)
    is_unsaid = stamp is None and is_trimmed(base) and not names.isdisjoint(VOCABULARY_TENSORS)
    if is_other or is_unsaid:
        fault = f"was made for another vocabulary than that of {base.path.name}"
        remedy = "Make one of it for this model: demotic trim ORIGINAL -o FILE --adapter ADAPTER."
        raise invalid(adapter.path, fault, remedy)


def _check_pair(adapter: Header, base: Header, name: str) -> None:
    a, b = adapter.tensors.get(name + _A), adapter.tensors.get(name + _B)
    target = base.tensors.get(name)
    if target is None:
        fault = f"changes '{name:.80}', which {base.path.name} does not have"
        raise invalid(adapter.path, fault, _OTHER_BASE)
    if a is None or b is None:
        raise adapter.fault(f"has only one of the two matrices for '{name}'")
    if name == _EMBEDDING and _HEAD not in base.tensors:
        # llama.cpp would multiply by it in the head too, where its matrices do not fit, and abort.
        fault = f"changes the embedding, with which {base.path.name} computes its answers too"
        raise invalid(adapter.path, fault, "Merge it into the model: demotic convert BASE --adapter ADAPTER.")
    if not _fits(a, b, target):
        shapes = f"{list(a.shape)} and {list(b.shape)} to '{name}' of shape {list(target.shape)}"
        raise invalid(adapter.path, f"adds matrices of shapes {shapes}, which they do not fit", _OTHER_BASE)
    for tensor in (a, b):
        if tensor.type not in _TYPES:
            raise adapter.fault(f"has '{tensor.name}' as {tensor.type}; {', '.join(sorted(_TYPES))} can be computed")


def _fits(a: TensorInfo, b: TensorInfo, target: TensorInfo) -> bool:
    if not len(a.shape) == len(b.shape) == len(target.shape) >= 2 or not a.shape[2:] == b.shape[2:] == target.shape[2:]:
        return False
    columns, rows = target.shape[:2]
    if target.name == _EMBEDDING:
        # Rows of this one are looked up, so both matrices lie the other way.
        return a.shape[0] == b.shape[0] and (a.shape[1], b.shape[1]) == (rows, columns)
    return a.shape[1] == b.shape[0] and (a.shape[0], b.shape[1]) == (columns, rows)
