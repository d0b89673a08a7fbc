"""What the matrices of a model are multiplied by while it reads text, summed up as llama.cpp computes.

llama.cpp's scheduler calls back at each node of its graph; of a product with a weight it shows the activations. Its
tool llama-imatrix does the same in C++ (tools/imatrix/imatrix.cpp), and the sums are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from converters.calibration.chunks import TokenChunk
from converters.calibration.importance import Importance, Importances, Sums
from converters.gguf.nodes import Node, operation
from converters.gguf.watch import NodeWatcher
from converters.progress import StepProgress
from converters.served import exact_plan
from converters.tensors import FloatArray
from runtime.backends.base import Chunk
from runtime.backends.llama.decoder import LlamaDecoder
from runtime.backends.llama.model import LlamaModel
from runtime.errors import InferenceFailed

Chosen: TypeAlias = npt.NDArray[np.int32]

_SLOT = 0
# Of the weights, the matrices of the blocks: as llama-imatrix does unless it is told to process the output.
_PREFIX = "blk."


class Collector(NodeWatcher):
    """Sums over the products that llama.cpp computes."""

    def __init__(self) -> None:
        super().__init__()
        self._dense, self._of_experts = operation("MUL_MAT"), operation("MUL_MAT_ID")
        self._into: Importances = {}
        self._weights: Sums = np.empty(0)
        self._num_seen = 0
        self._num_nodes: int | None = None

    def begin(self, into: Importances, weights: Sums) -> None:
        """The next forward pass is over tokens that count so often, and is added to `into`."""
        if len(weights) != len(self._weights):
            self._num_nodes = None  # llama.cpp may compute another number of tokens by other nodes
        self._into, self._weights, self._num_seen = into, weights, 0

    def end(self) -> None:
        """The forward pass is over.

        Raises:
            InferenceFailed: what it showed cannot be summed up.
        """
        self.check()
        self._num_nodes = self._num_seen

    def wants(self, node: Node) -> bool:
        """Whether it is a product with a weight of the blocks."""
        return node.op in {self._dense, self._of_experts} and node.source(0).weight_name().startswith(_PREFIX)

    def take(self, node: Node) -> bool:
        """Sum up what the weight is multiplied by."""
        self._add(node)
        self._num_seen += 1
        # What follows the last of them is the product with the vocabulary, of which nothing is needed.
        return self._num_seen != self._num_nodes

    def _add(self, node: Node) -> None:
        weight, activations = node.source(0), node.source(1)
        name = weight.weight_name()
        if not activations.is_in_memory():
            raise InferenceFailed(f"What {name} is multiplied by is not in this machine's memory.")
        num_columns, num_matrices = int(weight.ne[0]), int(weight.ne[2])
        if name not in self._into:
            self._into[name] = Importance(np.zeros((num_matrices, num_columns)), np.zeros(num_matrices))
        total = self._into[name]
        if node.op == self._of_experts:
            _add_experts(total, activations.floats()[0], node.source(2).integers()[0, 0], self._weights)
        else:
            _add_rows(name, total, activations.floats(), self._weights)
        if not np.isfinite(total.squares).all():
            raise InferenceFailed(f"What {name} is multiplied by are no finite numbers.")


def _add_rows(name: str, total: Importance, activations: FloatArray, weights: Sums) -> None:
    """Add activations of shape (1, 1, tokens, columns)."""
    if activations.shape[:3] != (1, 1, len(weights)) or len(total.counts) != 1:
        raise InferenceFailed(f"{name} is multiplied by {activations.shape}, not a row a token.")
    total.squares[0] += weights.astype(np.float32) @ np.square(activations[0, 0])
    total.counts[0] += weights.sum()


def _add_experts(total: Importance, activations: FloatArray, chosen: Chosen, weights: Sums) -> None:
    """Add activations of shape (tokens, experts chosen or 1, columns) to the experts in `chosen`, (tokens, chosen)."""
    for index in range(chosen.shape[1]):
        squares = np.square(activations[:, index % activations.shape[1]])
        for expert in np.unique(chosen[:, index]):
            counting = np.where(chosen[:, index] == expert, weights, 0)
            total.squares[expert] += counting.astype(np.float32) @ squares
            total.counts[expert] += counting.sum()


def collect(
    model: LlamaModel, chunks: Mapping[str, Sequence[TokenChunk]], size: int, progress: StepProgress
) -> dict[str, Importances]:
    """What the model's matrices are multiplied by, for each language's chunks of at most `size` tokens.

    `progress` advances by a step a chunk.

    Raises:
        ConfigurationInvalid: the installed llama.cpp is another one than is known here.
        InferenceFailed: it failed, or what it computed cannot be summed up.
    """
    collector = Collector()
    # Keys and values, and attention, as llama-imatrix has them: rounding moves columns that hardly matter by percents.
    plan = replace(exact_plan(size), kv_type="f16", flash_attention=True)
    found: dict[str, Importances] = {}
    # In a thread of its own no Ctrl-C comes, which in a callback of llama.cpp's would be lost.
    with ThreadPoolExecutor(1) as thread:
        decoder = thread.submit(LlamaDecoder, model, plan, on_node=collector.callback).result()
        try:
            for language, parts in chunks.items():
                into = found.setdefault(language, {})
                for chunk in parts:
                    collector.begin(into, chunk.weights)
                    decoder.forget(_SLOT)
                    # With logits after every token, for else the last block computes but one row.
                    whole = Chunk(_SLOT, 0, chunk.tokens, len(chunk.tokens))
                    thread.submit(decoder.forward, [whole]).result()
                    collector.end()
                    progress.advance()
        finally:
            collector.stop()
            thread.submit(decoder.close).result()
    return found
