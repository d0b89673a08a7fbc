"""A decoder's graph held against its source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from converters.onnx.parity import CHUNKS, NUM_GREEDY, Differences, pad_of, padded
from converters.onnx.session import Computing
from converters.onnx.wrappers_decoder import cache_names, empty_cache, takes_positions
from runtime.errors import ConversionRefused


class Stepper:
    """A graph that goes on: it holds the cache between calls."""

    def __init__(self, model: Any, session: Computing, batch: int) -> None:
        cached = empty_cache(model, batch)
        self._names = [cache_names(prefix, len(cached) // 2) for prefix in ("past", "present")]
        self._cached = dict(zip(self._names[0], cached, strict=True))
        self._session, self._has_positions = session, takes_positions(model)

    def logits(self, ids: Any, mask: Any) -> Any:
        """Logits of new tokens; `mask` is of all, those in the cache too."""
        inputs = {"input_ids": ids, "attention_mask": mask, **self._cached}
        if self._has_positions:
            inputs["position_ids"] = positions_of(mask)[:, -ids.shape[1] :]
        out = self._session.run(inputs)
        self._cached = {past: out[present] for past, present in zip(*self._names, strict=True)}
        return out["logits"]


def positions_of(mask: Any) -> Any:
    """The places of tokens in their texts: shape as `mask`."""
    return (mask.cumsum(1) - 1).clamp(min=0)


def compare_decoder(model: Any, session: Computing, rows: Sequence[list[int]], found: Differences) -> dict[str, Any]:
    """At once, by steps, in chunks, with padding on either side, and the greedy continuation of each row."""
    for name, batch, side, cuts in (
        ("full", [rows[0]], "right", ()),
        ("steps", [rows[0]], "right", (1,) * len(rows[0])),
        ("chunks", [rows[0]], "right", CHUNKS),
        ("padded_right", rows, "right", ()),
        ("padded_left", rows, "left", CHUNKS),
    ):
        ids, mask = padded(batch, side, pad_of(model))
        wanted, stepper = _wanted(model, ids, mask), Stepper(model, session, len(batch))
        at, parts = 0, []
        for size in (*cuts, ids.shape[1]):
            if at < ids.shape[1]:
                parts.append(stepper.logits(ids[:, at : at + size], mask[:, : at + size]))
                at += size
        found.compare(name, wanted, torch.cat(parts, dim=1), mask)
    return {"greedy": _compare_greedy(model, session, rows)}


def _wanted(model: Any, ids: Any, mask: Any) -> Any:
    positions = {"position_ids": positions_of(mask)} if takes_positions(model) else {}
    return model(input_ids=ids, attention_mask=mask, **positions).logits


def _compare_greedy(model: Any, session: Computing, rows: Sequence[list[int]]) -> int:
    """How many rows go on as the source does, which must be all of them; the source computes each anew every time."""
    for row in rows:
        stepper, fed, text = Stepper(model, session, 1), list(row), list(row)
        for _ in range(NUM_GREEDY):
            logits = stepper.logits(torch.tensor([fed]), torch.ones(1, len(text), dtype=torch.int64))
            fed = [int(logits[0, -1].argmax())]
            if fed[0] != int(model(input_ids=torch.tensor([text])).logits[0, -1].argmax()):
                raise ConversionRefused("The graph does not go on with a text as its source does. Nothing was written.")
            text += fed
    return len(rows)
