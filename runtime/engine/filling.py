"""The likeliest tokens in the place of a mask, as transformers' fill-mask pipeline tells them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from runtime.backends.base import Vectors
from runtime.engine.labelling import probabilities
from runtime.engine.messages import Fill, FillMask, Fills
from runtime.engine.windows import Window, WindowMaker, name_of
from runtime.errors import InvalidRequest
from runtime.text.tokenizer import Aligned, AligningTokenizer

# How people write it, whatever the model calls it.
_SPELLINGS = re.compile(r"\[MASK\]|<mask>")


class FillReading:
    """`Reading` of a `FillMask`."""

    def __init__(self, request: FillMask, maker: WindowMaker, tokenizer: AligningTokenizer, mask: int | None) -> None:
        """`mask` is the model's token for it.

        Raises:
            InvalidRequest: an input has no mask, or a target is no token.
            ContextOverflow: an input is too long.
        """
        if mask is None:
            raise InvalidRequest("The model's settings name no mask token.", param="model")
        self._request = request
        self._tokenizer = tokenizer
        self._takes_space = mask in tokenizer.takes_space
        self._name = tokenizer.token_text(mask)
        self._targets = None if request.targets is None else self._ids(request.targets)
        self._texts = [_SPELLINGS.sub(lambda _: self._name, text) for text in request.inputs]
        self._aligned = [tokenizer.align(text) for text in self._texts]
        self._places: list[list[int]] = []
        self.windows: list[list[Window]] = []
        self._start = 0
        for index, aligned in enumerate(self._aligned):
            name = name_of(request, index)
            span = maker.spans(aligned.ids, "truncate" if request.truncate else "error", name, ())[0]
            window, self._start = maker.framed(aligned.ids, span)
            self.windows.append([window])
            self._places.append(self._masks(aligned, span, mask, name))

    def keep(self, index: int, place: int, found: Vectors) -> Vectors:  # noqa: ARG002  # there is one window
        """See `Reading.keep`: the probabilities in the places of the masks; a row of all tokens is large."""
        return probabilities(found[[self._start + place for place in self._places[index]]])

    def answer(self, index: int, kept: Sequence[Vectors]) -> Fills:
        """See `Reading.answer`."""
        rows = zip(self._places[index], kept[0], strict=True)
        return Fills(self._request.request_id, index, tuple(self._fills(index, place, row) for place, row in rows))

    def _fills(self, index: int, place: int, row: Vectors) -> tuple[Fill, ...]:
        allowed = np.arange(len(row)) if self._targets is None else self._targets
        scores = row[allowed]
        count = min(self._request.top_k, len(allowed))
        best = np.argpartition(-scores, count - 1)[:count]
        order = best[np.lexsort((allowed[best], -scores[best]))]
        return tuple(self._fill(index, place, int(allowed[at]), float(scores[at])) for at in order)

    def _fill(self, index: int, place: int, token: int, score: float) -> Fill:
        """A token with the text that it makes; one that goes on with a word is put right after what stands before."""
        text, (start, end) = self._texts[index], self._aligned[index].offsets[place]
        piece = self._tokenizer.token_bytes(token).decode("utf-8", "replace")
        before, prefix = text[:start], self._tokenizer.continuing_prefix
        if self._takes_space:
            before = before.rstrip()
        if prefix and piece.startswith(prefix):
            return Fill(token, score, piece, before.rstrip() + piece.removeprefix(prefix) + text[end:])
        # A space of the token's own is one too many where the text has it already, or begins.
        inserted = piece.lstrip() if not before or before[-1].isspace() else piece
        return Fill(token, score, piece, before + inserted + text[end:])

    def _masks(self, aligned: Aligned, span: range, mask: int, name: str) -> list[int]:
        every = [place for place, token in enumerate(aligned.ids) if token == mask]
        found = [place for place in every if place in span]
        if every and not found:
            raise InvalidRequest(
                f"{name} has its mask beyond the {len(span)} tokens that are read.",
                remedy="Shorten the text.",
                param=name,
            )
        if not found:
            raise InvalidRequest(
                f"{name} has no mask.",
                remedy=f"Write {self._name} (or [MASK]) where a word is to be guessed.",
                param=name,
            )
        return found

    def _ids(self, targets: Sequence[str]) -> npt.NDArray[np.int64]:
        return np.array(sorted({self._id(target) for target in targets}))

    def _id(self, target: str) -> int:
        known = self._tokenizer.token_id(target)
        if known is not None:
            return known
        pieces = self._tokenizer.align(target).ids
        if len(pieces) == 1 and pieces[0] != self._tokenizer.unknown:
            return pieces[0]
        named = ", ".join(self._tokenizer.token_text(piece) for piece in pieces) or "none"
        raise InvalidRequest(
            f"'{target}' is no token of the model; its tokens are {named}.",
            remedy="A mask stands for one token: name targets that are one.",
            param="targets",
        )
