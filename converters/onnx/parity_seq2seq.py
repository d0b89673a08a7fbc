"""The graphs of an encoder-decoder held against their source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from converters.onnx.parity import CHUNKS, NUM_GREEDY, Differences, pad_of, padded
from converters.onnx.session import Computing
from converters.onnx.wrappers_decoder import cache_names
from converters.onnx.wrappers_seq2seq import cross_attentions, num_heads
from runtime.errors import ConversionRefused


class Stepper:
    """Both graphs, with what was read and what is cached."""

    def __init__(self, model: Any, encoder: Computing, decoder: Computing, ids: Any, mask: Any) -> None:
        num_layers = len(cross_attentions(model))
        self._decoder, self._mask = decoder, mask
        self._crossed = encoder.run({"input_ids": ids, "attention_mask": mask})
        size = next(iter(self._crossed.values())).shape[3]
        self._names = [cache_names(prefix, num_layers) for prefix in ("past", "present")]
        self._cached = {name: torch.zeros(len(ids), num_heads(model), 0, size) for name in self._names[0]}

    def logits(self, ids: Any, mask: Any) -> Any:
        """Logits of new tokens; `mask` is of all that were written, those in the cache too."""
        given = {"input_ids": ids, "attention_mask": mask, "encoder_attention_mask": self._mask}
        out = self._decoder.run({**given, **self._crossed, **self._cached})
        self._cached = {past: out[present] for past, present in zip(*self._names, strict=True)}
        return out["logits"]


def compare_seq2seq(
    model: Any, encoder: Computing, decoder: Computing, rows: Sequence[list[int]], found: Differences
) -> dict[str, Any]:
    """At once, by steps, in chunks, with padding on either side of both texts, and the greedy answer to each row."""
    start = int(model.config.decoder_start_token_id)
    written = [[start, *row[:-1]][: 6 + at] for at, row in enumerate(rows)]
    length = min(map(len, written))
    square = [row[:length] for row in written]
    # A decoder that no mask tells of padding takes none on the left.
    left = written if "attention_mask" in decoder.inputs else square
    for name, batch, side, answers, cuts in (
        ("full", rows[:1], "right", square[:1], ()),
        ("steps", rows, "right", square, (1,) * length),
        ("chunks", rows, "right", square, CHUNKS),
        ("padded_right", rows, "right", written, ()),
        ("padded_left", rows, "left", left, ()),
    ):
        ids, mask = padded(batch, side, pad_of(model))
        new, seen = padded(answers, side, pad_of(model))
        wanted = model(input_ids=ids, attention_mask=mask, decoder_input_ids=new, decoder_attention_mask=seen).logits
        stepper, at, parts = Stepper(model, encoder, decoder, ids, mask), 0, []
        for size in (*cuts, new.shape[1]):
            if at < new.shape[1]:
                parts.append(stepper.logits(new[:, at : at + size], seen[:, : at + size]))
                at += size
        found.compare(name, wanted, torch.cat(parts, dim=1), seen)
    return {"greedy": _compare_greedy(model, encoder, decoder, rows, start)}


def _compare_greedy(model: Any, encoder: Computing, decoder: Computing, rows: Sequence[list[int]], start: int) -> int:
    """How many rows are answered as the source does, which must be all; the source computes each anew every time."""
    for row in rows:
        ids = torch.tensor([row])
        mask = torch.ones_like(ids)
        stepper, text = Stepper(model, encoder, decoder, ids, mask), [start]
        states = model.get_encoder()(input_ids=ids, attention_mask=mask)
        for _ in range(NUM_GREEDY):
            logits = stepper.logits(torch.tensor([text[-1:]]), torch.ones(1, len(text), dtype=torch.int64))
            out = model(encoder_outputs=states, attention_mask=mask, decoder_input_ids=torch.tensor([text]))
            text.append(int(logits[0, -1].argmax()))
            if text[-1] != int(out.logits[0, -1].argmax()):
                raise ConversionRefused("The graphs do not answer a text as their source does. Nothing was written.")
    return len(rows)
