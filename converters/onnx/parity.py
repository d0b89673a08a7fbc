"""Graphs held against the model that they were made of: in float32, alone and padded, at once, by steps and in chunks.

A graph that differs is refused, so that none is ever written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from converters.onnx.kinds import Kind
from converters.onnx.session import Computing
from converters.onnx.wrappers_encoder import OUTPUTS
from converters.probes import LINES
from runtime.errors import ConversionRefused

MAX_DIFFERENCE = 2e-4
NUM_GREEDY = 20
CHUNKS = (2, 1, 4)
# Lines of different scripts and lengths that graphs are held against their source on.
_PROBES = ("eng_Latn", "bul_Cyrl", "hin_Deva")
_MAX_TOKENS = 24


class Differences:
    """The largest difference of each comparison by its name."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}

    def compare(self, name: str, wanted: Any, found: Any, is_text: Any = None) -> None:
        """Compare two tensors where `is_text`, a mask of their first two sizes.

        Raises:
            ConversionRefused: they differ by `MAX_DIFFERENCE` or more, or one holds what is no number.
        """
        if wanted.shape != found.shape:
            raise ConversionRefused(f"The graph gives {tuple(found.shape)} numbers, its source {tuple(wanted.shape)}.")
        if is_text is not None:
            wanted, found = wanted[is_text > 0], found[is_text > 0]
        apart = torch.where(wanted == found, 0.0, (wanted - found).abs())  # equal infinities are no difference
        largest = float(apart.max())
        if not largest < MAX_DIFFERENCE:
            raise ConversionRefused(
                f"The graph does not compute what its source does: they differ by {largest:.2g} ({name}), "
                f"{MAX_DIFFERENCE:g} at most is allowed. Nothing was written.",
                remedy="Report it with the name of the model.",
            )
        self.figures[name] = max(self.figures.get(name, 0.0), largest)


def probes_of(encode: Callable[[str], list[int]]) -> list[list[int]]:
    """Rows of ids that graphs are held against their source on, as a tokenizer gives them."""
    return [encode(LINES[name])[:_MAX_TOKENS] for name in _PROBES]


def padded(rows: Sequence[Sequence[int]], side: str, pad: int) -> tuple[Any, Any]:
    """Rows of ids as one tensor, padded on the left or the right, and the mask of what is text."""
    length = max(map(len, rows))
    filled = [[pad] * (length - len(row)) for row in rows]
    texts = [[*more, *row] if side == "left" else [*row, *more] for row, more in zip(rows, filled, strict=True)]
    ones = [[1] * len(row) for row in rows]
    masks = [
        [0] * len(more) + row if side == "left" else row + [0] * len(more)
        for row, more in zip(ones, filled, strict=True)
    ]
    return torch.tensor(texts), torch.tensor(masks)


def pad_of(model: Any) -> int:
    """What a row is filled up with: the model's padding token, else any."""
    return int(getattr(model.config, "pad_token_id", None) or 0)


def compare(kind: Kind, model: Any, sessions: Mapping[str, Computing], rows: Sequence[list[int]]) -> dict[str, Any]:
    """Figures of the comparison of graphs, by their role, with their source, on rows of token ids.

    Raises:
        ConversionRefused: a graph differs from its source.
    """
    found = Differences()
    extra: dict[str, Any] = {}
    with torch.no_grad():
        match kind.shape:
            case "decoder":
                from converters.onnx.parity_decoder import compare_decoder

                extra = compare_decoder(model, sessions["model"], rows, found)
            case "encoder-decoder":
                from converters.onnx.parity_seq2seq import compare_seq2seq

                extra = compare_seq2seq(model, sessions["encoder"], sessions["decoder"], rows, found)
            case "encoder" | "pooled-decoder":
                _compare_encoder(kind, model, sessions["model"], rows, found)
    return {"rows": len(rows), "max_difference": max(found.figures.values()), **found.figures, **extra}


def _compare_encoder(kind: Kind, model: Any, session: Computing, rows: Sequence[list[int]], found: Differences) -> None:
    per_token = kind.task not in {"classify", "reward"}
    for name, side, several in (
        ("full", "right", [[row] for row in rows]),
        ("padded_right", "right", [list(rows)]),
        ("padded_left", "left", [list(rows)]),
    ):
        for batch in several:
            ids, mask = padded(batch, side, pad_of(model))
            inputs = {"input_ids": ids, "attention_mask": mask}
            if "token_type_ids" in session.inputs:
                half = mask.cumsum(1) > mask.sum(1, keepdim=True) // 2
                inputs["token_type_ids"] = half.to(torch.int64) * mask
            if "global_attention_mask" in session.inputs:
                inputs["global_attention_mask"] = (mask.cumsum(1) == 1).to(torch.int64) * mask
            wanted = _of_source(kind, model, inputs, batch)
            for output, value in session.run(inputs).items():
                if output not in wanted:  # optimum's graphs may pool besides
                    continue
                found.compare(name, wanted[output], value, mask if per_token else None)


def _of_source(kind: Kind, model: Any, inputs: dict[str, Any], batch: Sequence[list[int]]) -> dict[str, Any]:
    """What the source gives: of a decoder row by row, since without padding there is only one way to read them."""
    names = tuple(OUTPUTS[kind.task])
    if kind.shape == "encoder":
        out = model(**inputs)
        return {name: out[name] for name in names}
    alone = [model(input_ids=torch.tensor([row]))[names[0]][0] for row in batch]
    if kind.task != "features":
        return {names[0]: torch.stack(alone)}
    states = torch.zeros(*inputs["input_ids"].shape, alone[0].shape[-1])
    for at, (mask, row) in enumerate(zip(inputs["attention_mask"], alone, strict=True)):
        states[at, mask > 0] = row
    return {names[0]: states}
