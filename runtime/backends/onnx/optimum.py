"""Graphs that optimum exported, under the names that ours have, so that all that computes graphs knows one layout.

optimum's decoders read an encoder's states at their first step, give back the keys and values of the source, and take
these from then on. Here the encoder gives them, as ours does: it lets the decoder take one step of one token for that.
From then on there is no first step: the decoder starts with an empty cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from runtime.backends.onnx.session import Array, Graph, OnnxSession
from runtime.hardware.plan import Plan
from runtime.models.onnx_folder import OnnxFolder
from runtime.models.onnx_names import read_names
from runtime.models.onnx_settings import Settings

_BRANCH, _STATES = "use_cache_branch", "encoder_hidden_states"


def open_graphs(folder: OnnxFolder, plan: Plan) -> dict[str, Graph]:
    """The graphs of a folder by their role, whoever exported it; names are those of the settings.

    Raises:
        ModelFileInvalid, ModelLoadFailed: as `OnnxSession`.
    """
    settings = folder.settings
    if settings.layout == "demotic" or settings.shape in {"encoder", "pooled-decoder"}:
        return {
            role: OnnxSession(folder.path / file, plan, inputs=settings.inputs[role], outputs=settings.outputs[role])
            for role, file in settings.graphs.items()
        }
    width = settings.sizes.width
    if settings.shape == "decoder":
        return {"model": StepGraph(_open(folder, settings.graphs["model"], plan), width)}
    decoder = _open(folder, settings.graphs["decoder"], plan)
    first = decoder if settings.first in {None, settings.graphs["decoder"]} else _open(folder, settings.first, plan)
    encoder = _open(folder, settings.graphs["encoder"], plan)
    return {"encoder": SourceGraph(encoder, first, settings), "decoder": StepGraph(decoder, width)}


def _open(folder: OnnxFolder, file: str | None, plan: Plan) -> OnnxSession:
    path = folder.path / str(file)
    names = read_names(path)
    return OnnxSession(path, plan, inputs=tuple(names.inputs), outputs=tuple(names.outputs))


class SourceGraph:
    """An encoder that gives the keys and values of the source: `cross.N.key` and `cross.N.value`."""

    def __init__(self, encoder: OnnxSession, first: OnnxSession, settings: Settings) -> None:
        self._encoder, self._first = encoder, first
        self._start = settings.tokens.decoder_start or 0
        self._cache_shape = settings.sizes.heads, settings.sizes.head_size

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        """See `Graph.run`; `input_ids` and `attention_mask` have the shape (sources, tokens)."""
        (states,) = self._encoder.run(self._encoder.outputs[:1], {name: feeds[name] for name in self._encoder.inputs})
        num_sources, heads, size = len(states), *self._cache_shape
        given = {
            "input_ids": np.full((num_sources, 1), self._start, np.int64),
            "encoder_attention_mask": feeds["attention_mask"],
            _STATES: states,
            _BRANCH: np.zeros(1, np.bool_),
        }
        empty = np.zeros((num_sources, heads, 0, size), np.float32)
        wanted = [_theirs(name.replace("cross.", "present.", 1), "encoder") for name in outputs]
        return self._first.run(wanted, {name: given.get(name, empty) for name in self._first.inputs})


class StepGraph:
    """A decoder, with or without a source, that takes `past.N.key` and so on, and gives `present.N.key`."""

    def __init__(self, decoder: OnnxSession, width: int) -> None:
        """`width` is that of an encoder's states, of which only the shape is read here."""
        self._decoder, self._width = decoder, width
        self._has_source = "encoder_attention_mask" in decoder.inputs

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        """See `Graph.run`."""
        kind = "decoder" if self._has_source else None
        given: dict[str, Array] = {}
        for name, array in feeds.items():
            if name.startswith("cross."):
                given[_theirs(name.replace("cross.", "past_key_values.", 1), "encoder")] = array
            else:
                given[_theirs(name.replace("past.", "past_key_values.", 1), kind)] = array
        given[_BRANCH] = np.ones(1, np.bool_)
        if _STATES in self._decoder.inputs:
            given[_STATES] = np.zeros((*feeds["encoder_attention_mask"].shape, self._width), np.float32)
        wanted = [_theirs(name, kind) for name in outputs]
        return self._decoder.run(wanted, {name: given[name] for name in self._decoder.inputs})


def _theirs(name: str, kind: str | None) -> str:
    """A name of a cache with "decoder" or "encoder" before its last part, as where there is a source."""
    if kind is None or not name.startswith(("past_key_values.", "present.")):
        return name
    above, _, part = name.rpartition(".")
    return f"{above}.{kind}.{part}"
