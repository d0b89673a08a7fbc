"""A checkpoint as transformers reads and computes it, for the proof of a trimmed one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from converters.checkpoint import Checkpoint
from converters.source import Writing, load_class
from converters.tensors import FloatArray
from runtime.errors import ConversionRefused
from runtime.text.tokenizer import Tokenizer

_WRITERS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "MTModel")
_FILLING = ("ForMaskedLM",)
# The kernels that multiply few rows of states part the columns, of which there is one a token, by how many there are;
# so last bits would depend on that. With as many rows, and one thread, they do not.
_LEAST_ROWS = 16
_OUTPUTS = ("logits", "start_logits", "end_logits", "last_hidden_state")


class HubTokenizer:
    """The tokenizer that transformers makes of a checkpoint's files; a text with what belongs around it."""

    def __init__(self, folder: Path) -> None:
        """Read the files in a folder.

        Raises:
            ConversionRefused: transformers cannot.
        """
        import transformers

        auto: Any = transformers.AutoTokenizer
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._library = auto.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as fault:  # whatever reads the files raises what it likes
            raise ConversionRefused(
                f"transformers cannot read the tokenizer of {folder}: {str(fault).partition(chr(10))[0]}."
            ) from fault

    def encode(self, text: str, *, parse_special: bool) -> list[int]:  # noqa: ARG002  # names are read anyway
        """See `Reads.encode`."""
        ids: list[int] = self._library(text).input_ids
        return ids


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute in one thread."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def class_of(checkpoint: Checkpoint) -> str:
    """The class that the config names; transformers' choice for its type where it names none."""
    classes = checkpoint.config.texts("architectures")
    return classes[0] if classes else "AutoModel"


def gives_text(checkpoint: Checkpoint) -> bool:
    """Whether that class writes."""
    return class_of(checkpoint).endswith(_WRITERS)


def gives_tokens(checkpoint: Checkpoint) -> bool:
    """Whether that class gives a score for each token of the vocabulary at each place."""
    return class_of(checkpoint).endswith(_FILLING)


class HubWriter(Writing):
    """A checkpoint that gives text, with its tokenizer.json."""

    least_rows = _LEAST_ROWS

    def __init__(self, checkpoint: Checkpoint, tokenizer: Tokenizer) -> None:
        super().__init__(checkpoint)
        self._tokenizer = tokenizer

    def encode(self, text: str) -> list[int]:
        """See `Writer.encode`."""
        return self._tokenizer.encode(text, parse_special=False)


class HubEncoder:
    """A checkpoint that gives no text: all numbers that come of its tokens."""

    def __init__(self, checkpoint: Checkpoint, tokenizer: Tokenizer) -> None:
        self._model = load_class(class_of(checkpoint), checkpoint, unused="pooler.")
        self._tokenizer = tokenizer

    def encode(self, text: str) -> list[int]:
        """See `Pooled.encode`."""
        return self._tokenizer.encode(text, parse_special=False)

    def row(self, tokens: Sequence[int]) -> FloatArray:
        """The logits, of beginnings and ends of answers both, or the hidden states, with the tokens before the last."""
        import torch

        with torch.no_grad():
            out = self._model(input_ids=torch.tensor([list(tokens)] * -(-_LEAST_ROWS // len(tokens))))
        row: FloatArray = np.stack([out[name][0].numpy() for name in _OUTPUTS if name in out])
        return row

    def close(self) -> None:
        """Let go of the weights."""
        self._model = None
