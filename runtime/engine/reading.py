"""What becomes of a request that is answered for each of its inputs: windows, what is kept of each, and an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from runtime.backends.base import Encoder, Vectors
from runtime.engine.filling import FillReading
from runtime.engine.labelling import LabelReading
from runtime.engine.messages import Encode, EncodingRequest, FillMask, LabelTokens, Part, Row
from runtime.engine.windows import Window, WindowMaker, to_scores, to_vector
from runtime.errors import InvalidRequest
from runtime.models.encoding import Encoding
from runtime.text.tokenizer import AligningTokenizer, Tokenizer


class Reading(Protocol):
    """The inputs of one request, each cut into windows."""

    @property
    def windows(self) -> Sequence[Sequence[Window]]:
        """The windows of each input."""

    def keep(self, index: int, place: int, found: Vectors) -> Vectors:
        """What is wanted of what the encoder gave of the window at `place` of the input at `index`."""

    def answer(self, index: int, kept: Sequence[Vectors]) -> Part:
        """The answer to an input, from what was kept of its windows in their order."""


class RowReading:
    """Vectors, and scores of whole texts."""

    def __init__(self, request: Encode, maker: WindowMaker, encoding: Encoding, width: int) -> None:
        """Raises as `WindowMaker.windows`; and where more is asked of the vectors than they have."""
        _check_dimensions(request, encoding, width)
        self._request = request
        self._gives_vectors = encoding.gives_vectors
        self.windows = [maker.windows(request, index) for index in range(len(request.inputs))]

    def keep(self, index: int, place: int, found: Vectors) -> Vectors:  # noqa: ARG002  # of the Protocol
        """See `Reading.keep`: all of it."""
        return found

    def answer(self, index: int, kept: Sequence[Vectors]) -> Row:
        """See `Reading.answer`."""
        weights = [window.weight for window in self.windows[index]]
        row = to_vector(kept, weights, self._request.dimensions) if self._gives_vectors else to_scores(kept, weights)
        return Row(self._request.request_id, index, row.astype("<f4").tobytes())


def reading_of(
    request: EncodingRequest, maker: WindowMaker, tokenizer: Tokenizer, encoding: Encoding, encoder: Encoder
) -> Reading:
    """How a request is read by a model.

    Raises:
        InvalidRequest: the model is not for this, or the request cannot be honoured.
        ContextOverflow: an input is too long.
    """
    match request:
        case Encode() if encoding.gives_vectors or encoding.gives_scores:
            return RowReading(request, maker, encoding, encoder.width)
        case LabelTokens() if encoding.head == "token-classify" and isinstance(tokenizer, AligningTokenizer):
            return LabelReading(request, maker, tokenizer, encoding.labels)
        case FillMask() if encoding.head == "fill-mask" and isinstance(tokenizer, AligningTokenizer):
            return FillReading(request, maker, tokenizer, encoding.mask)
    raise InvalidRequest(f"The model {encoding.purpose}.", param="model")


def _check_dimensions(request: Encode, encoding: Encoding, width: int) -> None:
    if request.dimensions is None:
        return
    if not encoding.gives_vectors:
        raise InvalidRequest("Scores have no dimensions that could be left out.", param="dimensions")
    if not 1 <= request.dimensions <= width:
        raise InvalidRequest(f"dimensions must be from 1 to {width}, not {request.dimensions}.", param="dimensions")
