"""One llama.cpp context that gives vectors or scores, and nothing is kept from one step to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import llama_cpp
import numpy as np

from runtime.backends.base import Passage, Vectors
from runtime.backends.llama.library import take_error
from runtime.backends.llama.threads import ThreadGovernor
from runtime.errors import InferenceFailed

if TYPE_CHECKING:
    from runtime.backends.llama.model import LlamaModel
    from runtime.hardware.plan import Plan
    from runtime.models.encoding import Encoding

_POOLING_TYPES = {
    "mean": llama_cpp.LLAMA_POOLING_TYPE_MEAN,
    "cls": llama_cpp.LLAMA_POOLING_TYPE_CLS,
    "last": llama_cpp.LLAMA_POOLING_TYPE_LAST,
    "rank": llama_cpp.LLAMA_POOLING_TYPE_RANK,
}


class LlamaEncoder:
    """`Encoder` over a loaded model. It must be closed before the model."""

    def __init__(self, model: LlamaModel, plan: Plan, encoding: Encoding) -> None:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = plan.num_cells
        params.n_batch = params.n_ubatch = plan.ubatch_size
        params.n_seq_max = plan.max_sequences
        params.n_threads = plan.threads
        params.n_threads_batch = plan.threads_batch
        params.flash_attn_type = (
            llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO if plan.flash_attention else llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        params.kv_unified = True
        params.swa_full = True
        params.no_perf = True
        params.embeddings = True
        params.pooling_type = _POOLING_TYPES[encoding.pooling]
        self._context = model.new_context(params, plan)
        # An encoder has none; `llama_decode` then computes the batch on its own, so that it is right for both kinds.
        self._memory = llama_cpp.llama_get_memory(self._context)
        self.width = (
            llama_cpp.llama_model_n_cls_out(model.handle)
            if encoding.gives_scores
            else llama_cpp.llama_model_n_embd_out(model.handle)
        )
        self._piece_size = llama_cpp.llama_n_ubatch(self._context)
        self.batch_size = min(plan.batch_size, self._piece_size)
        self.context_length = min(plan.context_length, llama_cpp.llama_n_ctx(self._context))
        if not encoding.can_split:
            self.context_length = min(self.context_length, self._piece_size)
        self.max_sequences = plan.max_sequences
        self._plan = plan
        self._num_threads = max(plan.threads, plan.threads_batch)
        self._governor = ThreadGovernor(self._num_threads)
        self._batch = llama_cpp.llama_batch_init(self._piece_size, 0, 1)

    def encode(self, passages: Sequence[Passage]) -> list[Vectors]:
        """See `Encoder.encode`. Where the second text begins is not told to llama.cpp."""
        sequences = [passage.tokens for passage in passages]
        lengths = [len(tokens) for tokens in sequences]
        is_one_long = len(lengths) == 1 and lengths[0] <= self.context_length
        if not 0 < len(lengths) <= self.max_sequences or not (is_one_long or sum(lengths) <= self.batch_size):
            # llama.cpp would abort the process.
            raise InferenceFailed(f"A step of {sum(lengths)} tokens does not fit the batch of {self.batch_size}.")
        self._set_threads()
        if is_one_long:
            tokens = sequences[0]
            for start in range(0, len(tokens), self._piece_size):
                self._compute([tokens[start : start + self._piece_size]], start)
        else:
            self._compute(sequences, 0)
        rows = np.empty((len(sequences), self.width), np.float32)
        for index, row in enumerate(rows):
            found = llama_cpp.llama_get_embeddings_seq(self._context, index)
            if not found:
                raise InferenceFailed("llama.cpp gave no vector.")
            row[:] = np.ctypeslib.as_array(found, (self.width,))
        if self._memory:
            llama_cpp.llama_memory_clear(self._memory, False)
        return list(rows)

    def _compute(self, sequences: Sequence[Sequence[int]], position: int) -> None:
        """Compute all sequences from `position` on."""
        batch, count = self._batch, 0
        for index, tokens in enumerate(sequences):
            for offset, token in enumerate(tokens):
                batch.token[count] = token
                batch.pos[count] = position + offset
                batch.n_seq_id[count] = 1
                batch.seq_id[count][0] = index
                batch.logits[count] = 1
                count += 1
        batch.n_tokens = count
        status = llama_cpp.llama_decode(self._context, batch)
        if status != 0:
            if self._memory:
                llama_cpp.llama_memory_clear(self._memory, False)
            raise InferenceFailed(f"llama.cpp failed (status {status}): {take_error() or 'no reason given'}.")

    def _set_threads(self) -> None:
        threads = self._governor.threads()
        if threads != self._num_threads:
            decode, batch = self._plan.threads, self._plan.threads_batch
            llama_cpp.llama_set_n_threads(self._context, min(threads, decode), min(threads, batch))
            self._num_threads = threads

    def close(self) -> None:
        """See `Encoder.close`."""
        if self._context:
            llama_cpp.llama_batch_free(self._batch)
            llama_cpp.llama_free(self._context)
            self._context = None
