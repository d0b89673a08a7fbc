"""Hidden states of a decoder in a GGUF, read while llama.cpp computes them.

They are those that transformers gives with `output_hidden_states`: what goes into the first block, what comes out of
each, and of the last one what the final norm makes of it. llama.cpp names these nodes `embd` (or what the model makes
of the embeddings first), `l_out-N` and `result_norm` (src/models/*.cpp, src/llama-graph.cpp).
"""

from __future__ import annotations

import numpy as np

from converters.gguf.nodes import Node
from converters.gguf.watch import NodeWatcher
from converters.tensors import FloatArray
from runtime.errors import InferenceFailed

# What goes into the first block: of these, the last that a model computes.
_EMBEDDINGS = frozenset({"embd", "inp_embd", "inp_embd_scaled", "inp_scaled", "inpL", "inp_norm", "inp_norm-0"})
_BLOCK, _LAST = "l_out-", "result_norm"


class HiddenWatcher(NodeWatcher):
    """Keeps hidden states of the forward passes between `begin` and `end`; any other pass it does not touch."""

    def __init__(self, num_blocks: int) -> None:
        super().__init__()
        self._num_blocks = num_blocks
        self._rows: list[list[FloatArray]] | None = None
        self._embeddings: FloatArray | None = None

    def begin(self) -> None:
        """Hidden states of the next passes are wanted, which are over one sequence, and want logits after each token.

        These logits are not computed.
        """
        self._rows = [[] for _ in range(self._num_blocks + 1)]

    def end(self) -> FloatArray:
        """The states of the passes since `begin`, one after the other: shape (blocks + 1, tokens, width).

        Raises:
            InferenceFailed: llama.cpp does not show them all for this model.
        """
        rows, self._rows = self._rows or [], None
        self.check()
        missing = [index for index, parts in enumerate(rows) if not parts]
        if missing:
            raise InferenceFailed(f"llama.cpp does not show the hidden states of layers {missing} of this model.")
        states: FloatArray = np.stack([np.concatenate(parts) for parts in rows])
        return states

    def wants(self, node: Node) -> bool:
        """Whether it is one of the hidden states."""
        return self._rows is not None and self._layer(node.weight_name()) is not None

    def take(self, node: Node) -> bool:
        """Keep it; what follows the last of them is the product with the vocabulary, of which nothing is needed."""
        name = node.weight_name()
        layer = self._layer(name)
        if layer is None or self._rows is None:
            return True
        if tuple(node.ne)[2:] != (1, 1) or not node.is_in_memory():
            raise InferenceFailed(f"llama.cpp keeps '{name}' in another shape or place than one row a token.")
        values = np.array(node.floats()[0, 0])
        if layer == 0:
            self._embeddings = values  # which the model may go on to change
            return True
        self._rows[layer].append(values)
        if name != _LAST:
            return True
        self._rows[0] += [self._embeddings] if self._embeddings is not None else []
        self._embeddings = None
        return False

    def _layer(self, name: str) -> int | None:
        if name in _EMBEDDINGS:
            return 0
        if name == _LAST:
            return self._num_blocks
        number = name.removeprefix(_BLOCK)
        # The last block's own output is what the final norm is made of, and is not wanted.
        is_inner = number != name and number.isdecimal() and int(number) < self._num_blocks - 1
        return int(number) + 1 if is_inner else None
