"""A checkpoint computed by transformers in float32: what an artefact is held against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from converters.checkpoint import Checkpoint
from converters.tensors import FloatArray
from converters.tokenizers import read_tokenizer
from runtime.errors import ConversionRefused


class SourceModel:
    """A decoder in a checkpoint. Its weights take four bytes each in memory until it is closed."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        import torch
        import transformers

        # Its bar would stand among what is told, also where that is JSON.
        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        auto: Any = transformers.AutoModelForCausalLM
        try:
            self._model: Any = auto.from_pretrained(checkpoint.folder, dtype=torch.float32, trust_remote_code=False)
        except (OSError, ValueError) as fault:
            raise ConversionRefused(
                f"transformers cannot read {checkpoint.folder}: {str(fault).partition(chr(10))[0].rstrip('.')}."
            ) from fault
        self._model.eval()
        self.vocabulary_size: int = int(self._model.get_input_embeddings().weight.shape[0])
        self._tokenizer = read_tokenizer(checkpoint, self.vocabulary_size)

    def encode(self, text: str) -> list[int]:
        """Ids by the checkpoint's own tokenizer, with what belongs around a text."""
        return self._tokenizer.encode(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""
        return self._tokenizer.decode(tokens)

    def logits(self, tokens: Sequence[int]) -> FloatArray:
        """Logits after each of the tokens of one sequence: shape (len(tokens), vocabulary)."""
        import torch

        with torch.no_grad():
            found: FloatArray = self._model(input_ids=torch.tensor([list(tokens)])).logits[0].numpy()
        return found

    def greedy(self, tokens: Sequence[int], count: int) -> list[int]:
        """The `count` likeliest tokens that follow, one after the other."""
        import torch

        found: list[int] = []
        state, fed = None, list(tokens)
        with torch.no_grad():
            while len(found) < count:
                out = self._model(input_ids=torch.tensor([fed]), past_key_values=state, use_cache=True)
                state, fed = out.past_key_values, [int(out.logits[0, -1].argmax())]
                found += fed
        return found

    def close(self) -> None:
        """Let go of the weights."""
        self._model = None
