"""One llama.cpp context: a KV cache that many sequences share, and a batch filled through numpy."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llama_cpp
import numpy as np

from runtime.backends.base import BLOCK_CELLS, Chunk, Logits, RowDecoder, SourceEncoder
from runtime.backends.llama.library import take_error
from runtime.backends.llama.threads import ThreadGovernor
from runtime.errors import InferenceFailed, ModelLoadFailed
from runtime.hardware.retreat import no_room

if TYPE_CHECKING:
    from runtime.backends.llama.model import LlamaModel
    from runtime.hardware.plan import Plan

# llama.cpp's own bound, LLAMA_MAX_SEQ in llama-cparams.h.
_MAX_VIEWS = 256
_NO_MEMORY = -2  # of llama_decode: buffers for this very batch could not be had
_KV_TYPES = {"f32": llama_cpp.GGML_TYPE_F32, "f16": llama_cpp.GGML_TYPE_F16, "q8_0": llama_cpp.GGML_TYPE_Q8_0}


class LlamaDecoder:
    """`Decoder` over a loaded model. It must be closed before the model."""

    sources: SourceEncoder | None = None
    rows: RowDecoder | None = None

    def __init__(
        self, model: LlamaModel, plan: Plan, *, keeps_finished: bool = True, on_node: Any | None = None
    ) -> None:
        """Make a context as `plan` says, with slots for finished sequences too if it `keeps_finished` ones.

        `on_node`, an `llama_cpp.ggml_backend_sched_eval_callback`, sees the nodes of the graph as they are computed,
        all in the machine's own memory.

        Raises:
            ModelLoadFailed: llama.cpp refused the plan.
        """
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = plan.num_cells
        params.n_batch = plan.batch_size
        params.n_ubatch = plan.ubatch_size
        # What slides out of the attention window of the only sequence that sees it, llama.cpp writes over, although the
        # window of another that shares it later may reach that far back. So there each slot sees its cells twice.
        window = llama_cpp.llama_model_n_swa(model.handle)
        self._views_per_slot = 2 if window and plan.max_sequences > 1 else 1
        # One more is for saving and restoring.
        most_slots = (_MAX_VIEWS - 1) // self._views_per_slot
        self.max_sequences = min(plan.max_sequences, most_slots)
        # As many finished sequences can be kept as may run; one that runs alone (`demotic run`) keeps none.
        keeps_finished = keeps_finished and plan.max_sequences > 1
        self.num_slots = min(2 * plan.max_sequences, most_slots) if keeps_finished else self.max_sequences
        self._aside = self.num_slots * self._views_per_slot
        params.n_seq_max = self._aside + 1
        params.n_threads = plan.threads
        params.n_threads_batch = plan.threads_batch
        params.flash_attn_type = (
            llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO if plan.flash_attention else llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        params.type_k = params.type_v = _KV_TYPES[plan.kv_type]
        # One pool of cells for all sequences, with every position kept: what sharing prefixes needs.
        params.kv_unified = True
        params.swa_full = True
        params.no_perf = True
        if on_node is not None:
            params.cb_eval = on_node
            params.op_offload = False
        self._on_node = on_node  # llama.cpp calls it, so it must live as long
        self._context = model.new_context(params, plan)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._model = model.handle
        self._name = model.name
        # llama.cpp frees them with the model.
        self._adapters: dict[str, list[tuple[Any, float]]] = {}
        self._adapter: str | None = None
        self.vocabulary_size = model.tokenizer.vocabulary_size
        # llama.cpp rounds sizes; what it made is what counts.
        self.num_cells = llama_cpp.llama_n_ctx(self._context)
        self.batch_size = llama_cpp.llama_n_batch(self._context)
        self.context_length = min(plan.context_length, self.num_cells)
        # llama.cpp leaves out of a state what is outside of the attention window of its last cell.
        self.state_format = None if 0 < window < BLOCK_CELLS else _state_format(model, plan, self.num_cells)
        self._plan = plan
        self._num_threads = max(plan.threads, plan.threads_batch)
        self._governor = ThreadGovernor(self._num_threads)
        self._make_batch()

    def _make_batch(self) -> None:
        """Lay the batch over numpy arrays, so that a step fills it by slices instead of one element at a time."""
        size = self.batch_size
        self._tokens = np.zeros(size, np.int32)
        self._positions = np.zeros(size, np.int32)
        self._counts = np.full(size, self._views_per_slot, np.int32)
        self._views = np.zeros((size, self._views_per_slot), np.int32)
        self._wants = np.zeros(size, np.int8)
        addresses = self._views.ctypes.data + self._views.strides[0] * np.arange(size, dtype=np.uintp)
        self._view_pointers = np.ascontiguousarray(addresses)
        self._batch = llama_cpp.llama_batch(
            token=as_pointer(self._tokens, ctypes.c_int32),
            pos=as_pointer(self._positions, ctypes.c_int32),
            n_seq_id=as_pointer(self._counts, ctypes.c_int32),
            seq_id=as_pointer(self._view_pointers, ctypes.POINTER(ctypes.c_int32)),
            logits=as_pointer(self._wants, ctypes.c_int8),
        )

    def forward(self, chunks: Sequence[Chunk], adapter: str | None = None) -> Logits:
        """See `Decoder.forward`."""
        self._use(adapter)
        total = sum(len(chunk.tokens) for chunk in chunks)
        if not 0 < total <= self.batch_size:
            # llama.cpp would abort the process.
            raise InferenceFailed(f"A step of {total} tokens does not fit the batch of {self.batch_size}.")
        self._wants[:total] = 0
        start = 0
        for chunk in chunks:
            end = start + len(chunk.tokens)
            self._tokens[start:end] = chunk.tokens
            self._positions[start:end] = np.arange(chunk.position, chunk.position + end - start)
            self._views[start:end] = self._views_of(chunk.slot)
            self._wants[end - chunk.num_logits : end] = 1
            start = end
        self._batch.n_tokens = total
        self._set_threads()
        status = llama_cpp.llama_decode(self._context, self._batch)
        if status == _NO_MEMORY and self._plan.gpu_layers:
            raise no_room(self._name, take_error() or "no reason given")
        if status != 0:
            raise InferenceFailed(_explain(status, total))
        num_rows = sum(chunk.num_logits for chunk in chunks)
        if num_rows == 0:
            return np.empty((0, self.vocabulary_size), np.float32)
        return np.ctypeslib.as_array(llama_cpp.llama_get_logits(self._context), (num_rows, self.vocabulary_size))

    def _set_threads(self) -> None:
        threads = self._governor.threads()
        if threads != self._num_threads:
            decode, batch = self._plan.threads, self._plan.threads_batch
            llama_cpp.llama_set_n_threads(self._context, min(threads, decode), min(threads, batch))
            self._num_threads = threads

    def share(self, source: int, slot: int, count: int) -> None:
        """See `Decoder.share`."""
        for view in self._views_of(slot):
            llama_cpp.llama_memory_seq_cp(self._memory, source, view, 0, count)

    def truncate(self, slot: int, count: int) -> None:
        """See `Decoder.truncate`."""
        for view in self._views_of(slot):
            llama_cpp.llama_memory_seq_rm(self._memory, view, count, -1)

    def forget(self, slot: int) -> None:
        """See `Decoder.forget`."""
        for view in self._views_of(slot):
            llama_cpp.llama_memory_seq_rm(self._memory, view, -1, -1)

    def _views_of(self, slot: int) -> range:
        """llama.cpp's sequences that see the cells of a slot; the first has the slot's own number."""
        return range(slot, self._aside, self.num_slots)

    def save(self, slot: int, start: int) -> bytes:
        """See `Decoder.save`."""
        llama_cpp.llama_memory_seq_cp(self._memory, slot, self._aside, start, start + BLOCK_CELLS)
        try:
            self._check_aside(start)
            state = np.empty(llama_cpp.llama_state_seq_get_size(self._context, self._aside), np.uint8)
            pointer = as_pointer(state, ctypes.c_uint8)
            if llama_cpp.llama_state_seq_get_data(self._context, pointer, state.size, self._aside) != state.size:
                raise InferenceFailed(f"llama.cpp could not save a state: {take_error() or 'no reason given'}.")
            return state.tobytes()
        finally:
            llama_cpp.llama_memory_seq_rm(self._memory, self._aside, -1, -1)

    def restore(self, slot: int, start: int, state: bytes) -> None:
        """See `Decoder.restore`."""
        take_error()
        data = np.frombuffer(state, np.uint8)
        try:
            pointer = as_pointer(data, ctypes.c_uint8)
            if llama_cpp.llama_state_seq_set_data(self._context, pointer, data.size, self._aside) != data.size:
                raise InferenceFailed(f"llama.cpp could not restore a state: {take_error() or 'no reason given'}.")
            self._check_aside(start)
            for view in self._views_of(slot):
                llama_cpp.llama_memory_seq_cp(self._memory, self._aside, view, -1, -1)
        finally:
            llama_cpp.llama_memory_seq_rm(self._memory, self._aside, -1, -1)

    def _check_aside(self, start: int) -> None:
        first = llama_cpp.llama_memory_seq_pos_min(self._memory, self._aside)
        last = llama_cpp.llama_memory_seq_pos_max(self._memory, self._aside)
        if (first, last + 1) != (start, start + BLOCK_CELLS):
            raise InferenceFailed(f"A state has the cells {first} to {last} where it should begin with {start}.")

    def attach(self, adapter: str, path: Path) -> None:
        """See `Decoder.attach`."""
        self.attach_together(adapter, [(path, 1.0)])

    def attach_together(self, adapter: str, parts: Sequence[tuple[Path, float]]) -> None:
        """Load several LoRAs that are computed as one, each times its scale, otherwise as `attach`."""
        loaded = []
        for path, scale in parts:
            take_error()
            handle = llama_cpp.llama_adapter_lora_init(self._model, bytes(path))
            if not handle:
                raise ModelLoadFailed(
                    f"llama.cpp could not load the adapter {path}: {take_error() or 'no reason given'}."
                )
            loaded.append((handle, scale))
        self._adapters[adapter] = loaded

    def _use(self, adapter: str | None) -> None:
        """Compute with `adapter` from now on; a change costs llama.cpp a few milliseconds."""
        if adapter == self._adapter:
            return
        parts = [] if adapter is None else self._adapters[adapter]
        pointers = (llama_cpp.llama_adapter_lora_p_ctypes * len(parts))(*(handle for handle, _ in parts))
        scales = (ctypes.c_float * len(parts))(*(scale for _, scale in parts))
        if llama_cpp.llama_set_adapters_lora(self._context, pointers, len(parts), scales) != 0:
            raise InferenceFailed(f"llama.cpp could not change to the adapter {adapter}.")
        self._adapter = adapter

    def close(self) -> None:
        """See `Decoder.close`."""
        if self._context:
            llama_cpp.llama_free(self._context)
            self._context = None


def as_pointer(array: np.ndarray, kind: type) -> ctypes._Pointer:  # type: ignore[type-arg]  # of many element types
    """The elements of `array` as llama.cpp wants them; the array must outlive their use."""
    return ctypes.cast(array.ctypes.data, ctypes.POINTER(kind))


def _state_format(model: LlamaModel, plan: Plan, num_cells: int) -> str:
    """All that llama.cpp's states, and keys and values themselves, depend on besides the model's file."""
    # "longrope" scales by other factors once the cache has more cells than the model was first trained with.
    original = model.metadata(f"{model.metadata('general.architecture')}.rope.scaling.original_context_length")
    is_long = original != "" and num_cells > int(original)
    return f"llama.cpp {llama_cpp.__version__}, {plan.kv_type}, flash {plan.flash_attention}, long {is_long}"


def _explain(status: int, num_tokens: int) -> str:
    """Sentence for a status of `llama_decode` (llama.h: 1 no room, 2 aborted, -1 invalid batch, below -1 fatal)."""
    match status:
        case 1:
            return f"The KV cache has no room for {num_tokens} more tokens."
        case 2:
            return "The computation was aborted."
        case _:
            return f"llama.cpp failed (status {status}): {take_error() or 'no reason given'}."
