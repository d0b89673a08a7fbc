"""An artefact computed on single texts, for comparisons: what it says of a text, and what it writes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters.onnx.artefact import Artefact
from converters.onnx.session import Array, Session
from runtime.errors import ConversionRefused

NUM_GREEDY = 20
_TIMES = 3


@dataclass(frozen=True)
class Text:
    """What is computed: the ids of a text, and of an encoder-decoder those that what is written begins with."""

    language: str
    ids: Sequence[int]
    start: Sequence[int] = ()


@dataclass(frozen=True)
class Computed:
    """What came of a text.

    rows: of what gives text, logits at each place, shape (tokens, vocabulary); else all numbers, shape (1, numbers).
    greedy: the tokens that it goes on with, or answers.
    seconds: of the fastest of `_TIMES` times: of what gives text, of writing `NUM_GREEDY` tokens.
    """

    rows: Array
    greedy: Sequence[int]
    seconds: float


class Model:
    """The graphs of an artefact, loaded."""

    def __init__(self, artefact: Artefact) -> None:
        self.settings = artefact.settings
        self.writes = artefact.writes
        self._sessions = {role: Session(path) for role, path in artefact.graphs.items()}

    def compute(self, text: Text) -> Computed:
        """Compute a text.

        Raises:
            ConversionRefused: onnxruntime cannot, or what comes of it is no number.
        """
        seconds = []
        for _ in range(_TIMES):
            started = time.perf_counter()
            greedy, rows = (self._greedy(text), None) if self.writes else ([], self._numbers(text))
            seconds.append(time.perf_counter() - started)
        rows = self._logits(text) if rows is None else rows
        if not np.isfinite(rows).all():
            raise ConversionRefused(f"What the graph computes of the text in {text.language} is no number.")
        return Computed(rows, greedy, min(seconds))

    def _numbers(self, text: Text) -> Array:
        ids = np.array([text.ids], np.int64)
        ones = np.ones_like(ids)
        given = {
            "input_ids": ids,
            "attention_mask": ones,
            "token_type_ids": ones * 0,
            "global_attention_mask": ones * 0,
        }
        match self.settings.get("global_attention"):
            case "first":
                given["global_attention_mask"][:, 0] = 1
            case "question":
                given["global_attention_mask"][:, : len(text.ids) // 2] = 1
        names = self.settings["inputs"]["model"]
        outputs = self._sessions["model"].compute({name: given[name] for name in names})
        match self.settings.get("pooling"):
            case "mean":
                mean: Array = outputs["last_hidden_state"].mean(axis=1)
                return mean
            case "cls":
                return outputs["last_hidden_state"][:, 0]
            case "last":
                return outputs["last_hidden_state"][:, -1]
            case _:
                return np.concatenate([each.reshape(1, -1) for each in outputs.values()], axis=1)

    def _greedy(self, text: Text) -> list[int]:
        self._read(text)
        logits = self._step(text.start or text.ids)
        written = [int(logits[-1].argmax())]
        while len(written) < NUM_GREEDY:
            written.append(int(self._step(written[-1:])[-1].argmax()))
        return written

    def _logits(self, text: Text) -> Array:
        """Logits after each token of a text, or of an encoder-decoder, which is to write it again, before each."""
        self._read(text)
        return self._step([*text.start, *text.ids][: len(text.ids)])

    def _read(self, text: Text) -> None:
        """Forget what was before, and have the encoder read the text where there is one."""
        sizes = self.settings["sizes"]
        self._role = "decoder" if "decoder" in self._sessions else "model"
        names = self.settings["inputs"][self._role]
        shape = (1, sizes["heads"], 0, sizes["head_size"])
        self._cache = {name: np.zeros(shape, np.float32) for name in names if name.startswith("past.")}
        self._crossed: dict[str, Array] = {}
        self._num_done = 0
        if "encoder" in self._sessions:
            ids = np.array([text.ids], np.int64)
            given = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            self._crossed = {**self._sessions["encoder"].compute(given), "encoder_attention_mask": np.ones_like(ids)}

    def _step(self, ids: Sequence[int]) -> Array:
        """Logits of new tokens: shape (len(ids), vocabulary)."""
        end = self._num_done + len(ids)
        given: Mapping[str, Array] = {
            "input_ids": np.array([ids], np.int64),
            "attention_mask": np.ones((1, end), np.int64),
            "position_ids": np.arange(self._num_done, end)[None],
            **self._crossed,
            **self._cache,
        }
        names = self.settings["inputs"][self._role]
        out = self._sessions[self._role].compute({name: given[name] for name in names})
        self._cache = {name: out[name.replace("past.", "present.", 1)] for name in self._cache}
        self._num_done = end
        logits: Array = out["logits"][0]
        return logits
