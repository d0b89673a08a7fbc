"""An adapter held against its base: which of the base's tensors each change is for, and whether it fits them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from converters.adapters.peft import Adapter, Lora
from converters.architectures.base import Architecture, Shape, listed, size_text
from converters.tensors import Tensor
from runtime.errors import ConversionRefused


@dataclass
class Fit:
    """The changes by the base's names of the tensors that they are for. `shapes`: all tensors', changed ones too."""

    shapes: dict[str, Shape]
    saved: dict[str, Tensor] = field(default_factory=dict)
    tokens: dict[str, tuple[Tensor, list[int]]] = field(default_factory=dict)
    loras: dict[str, Lora] = field(default_factory=dict)


def is_across(architecture: Architecture, name: str, lora: Lora) -> bool:
    """Whether the tensor has a row for each input, so that the product is added to it transposed."""
    return lora.is_embedding or architecture.is_transposed(name)


def fit(adapter: Adapter, architecture: Architecture, shapes: Mapping[str, Shape], notes: list[str]) -> Fit:
    """Find what each change is for, among tensors of `shapes` under the family's names.

    Raises:
        ConversionRefused: the base lacks modules that are changed, or has others; all are named.
    """
    return _Fitting(adapter, architecture, Fit(dict(shapes)), notes).run()


@dataclass
class _Fitting:
    adapter: Adapter
    architecture: Architecture
    fit: Fit
    notes: list[str]
    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def run(self) -> Fit:
        for stored, tensor in self.adapter.saved.items():
            if name := self._found(stored):
                self._save(name, tensor)
        for module, rows in self.adapter.tokens.items():
            if name := self._found(f"{module}.weight"):
                self._teach(name, module, rows)
        for lora in self.adapter.loras:
            if name := self._found(f"{lora.module}.weight"):
                self._add(name, lora)
        faults = (("that it does not have", self.missing), ("of another shape", self.wrong))
        if any(names for _, names in faults):
            told = "; ".join(f"{len(names)} {kind}: {listed(names)}" for kind, names in faults if names)
            base = self.adapter.settings.base
            raise ConversionRefused(
                f"{self.adapter.folder} is no adapter of {self.architecture.checkpoint.folder}. It changes {told}.",
                remedy=f"Give the base that it was trained on: {base}." if base else "Give its base.",
            )
        return self.fit

    def _found(self, stored: str) -> str | None:
        name = self.architecture.canonical(stored)
        if name == self.architecture.embedding and not self.architecture.has_one_embedding:
            raise ConversionRefused(
                f"{self.adapter.folder} changes an embedding that encoder and decoder look up in copies of their own; "
                "a GGUF has one for both."
            )
        if name not in self.written and any(part in stored for part in self.architecture.ignored):
            self.notes.append(f"The adapter changes {stored}, which is left out: the file has no place for it.")
            return None
        if name in self.fit.shapes:
            return name
        self.missing.append(stored)
        return None

    @cached_property
    def written(self) -> set[str]:
        return {*self.architecture.shapes(), self.architecture.head}

    def _save(self, name: str, tensor: Tensor) -> None:
        wanted = self.fit.shapes[name]
        has_rows = name in {self.architecture.embedding, self.architecture.head}  # as many as there are tokens
        if tensor.shape == wanted or (has_rows and tensor.shape[1:] == wanted[1:]):
            self.fit.saved[name] = tensor
            self.fit.shapes[name] = tensor.shape
        else:
            self._differs(name, tensor.shape, wanted)

    def _teach(self, name: str, module: str, rows: Tensor) -> None:
        indices = self.adapter.settings.rows_of(module)
        wanted = self.fit.shapes[name]
        if rows.shape != (len(indices), wanted[-1]) or not all(0 <= index < wanted[0] for index in indices):
            self._differs(f"rows of {name}", rows.shape, (len(indices), wanted[-1]))
        self.fit.tokens[name] = (rows, indices)

    def _add(self, name: str, lora: Lora) -> None:
        wanted = self.fit.shapes[name]
        inputs, outputs = lora.a.shape[1], lora.b.shape[0]
        shape = (inputs, outputs) if is_across(self.architecture, name, lora) else (outputs, inputs)
        if shape != wanted:
            self._differs(name, shape, wanted)
        for vector in (lora.bias, lora.magnitude):
            if vector is not None and vector.num_elements != outputs:
                self._differs(f"{name}'s vector", vector.shape, (outputs,))
        if lora.bias is not None and name.replace(".weight", ".bias") not in self.fit.shapes:
            self.missing.append(f"{lora.module}.bias")
        self.fit.loras[name] = lora

    def _differs(self, name: str, shape: Shape, wanted: Shape) -> None:
        self.wrong.append(f"{name} ({size_text(shape)} instead of {size_text(wanted)})")
