"""An encoder-decoder in one llama.cpp context: sources read together, and answers that look at them.

llama.cpp holds what its encoder made in one place a context (`llama_cross` in llama-graph.h), and `llama_encode` writes
over all of it: a sequence whose source is not in the newest batch gets NaN, with no error. So the sources of all
running sequences are encoded again whenever one joins. A token of a source carries the sequences that see it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING

import llama_cpp
import numpy as np

from runtime.backends.base import Source
from runtime.backends.llama.decoder import LlamaDecoder, as_pointer
from runtime.backends.llama.library import take_error
from runtime.errors import InferenceFailed

if TYPE_CHECKING:
    from runtime.backends.llama.model import LlamaModel
    from runtime.hardware.plan import Plan


class LlamaEncoderDecoder(LlamaDecoder):
    """`Decoder` and `SourceEncoder` over a loaded model of T5's family. It must be closed before the model."""

    reads_anew = True

    def __init__(self, model: LlamaModel, plan: Plan) -> None:
        """Make a context as `plan` says; its batch, which is computed at once, is what all sources must fit into.

        Raises:
            ModelLoadFailed: llama.cpp refused the plan.
        """
        # A finished answer is of no use to another source's.
        super().__init__(model, plan, keeps_finished=False)
        self.sources = self
        self.start = (model.decoder_start,)
        self.state_format = None
        # llama.cpp aborts the process where a batch of the encoder is longer than a micro-batch.
        self.batch_size = min(self.batch_size, llama_cpp.llama_n_ubatch(self._context))
        self.context_length = min(self.context_length, self.batch_size)

    def encode(self, sources: Sequence[Source], adapter: str | None = None) -> None:
        """See `SourceEncoder.encode`."""
        self._use(adapter)
        parts = [part for source in sources for part in self._parts(source)]
        total = sum(len(tokens) for tokens, _, _ in parts)
        if not 0 < total <= self.batch_size:
            # llama.cpp would abort the process.
            raise InferenceFailed(f"Sources of {total} tokens do not fit the batch of {self.batch_size}.")
        most_slots = max(len(slots) for _, slots, _ in parts)
        tokens, positions, counts = (np.zeros(total, np.int32) for _ in range(3))
        views = np.zeros((total, most_slots), np.int32)
        start = 0
        for part, slots, position in parts:
            end = start + len(part)
            tokens[start:end] = part
            positions[start:end] = np.arange(position, position + len(part))
            counts[start:end] = len(slots)
            views[start:end, : len(slots)] = slots
            start = end
        addresses = np.ascontiguousarray(views.ctypes.data + views.strides[0] * np.arange(total, dtype=np.uintp))
        wants = np.ones(total, np.int8)
        batch = llama_cpp.llama_batch(
            n_tokens=total,
            token=as_pointer(tokens, ctypes.c_int32),
            pos=as_pointer(positions, ctypes.c_int32),
            n_seq_id=as_pointer(counts, ctypes.c_int32),
            seq_id=as_pointer(addresses, ctypes.POINTER(ctypes.c_int32)),
            logits=as_pointer(wants, ctypes.c_int8),
        )
        self._set_threads()
        take_error()
        status = llama_cpp.llama_encode(self._context, batch)
        if status != 0:
            reason = take_error() or "no reason given"
            raise InferenceFailed(f"llama.cpp could not read the sources (status {status}): {reason}.")

    def _parts(self, source: Source) -> list[tuple[Sequence[int], list[int], int]]:
        """The tokens of a source, slots that see them, and the first position: a part for each length of answers.

        llama.cpp wants the positions of a batch to go on from those in the KV cache, also of the encoder, whose
        attention knows only distances; and sequences that share a token to be equally long.
        """
        slots_by_length: dict[int, list[int]] = {}
        for slot in source.slots:
            length = llama_cpp.llama_memory_seq_pos_max(self._memory, slot) + 1
            slots_by_length.setdefault(length, []).append(slot)
        return [(source.tokens, slots, length) for length, slots in slots_by_length.items()]
