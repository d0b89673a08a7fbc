"""A checkpoint that gives vectors or scores, computed by transformers in float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from converters.architectures.qwen import ANSWERS
from converters.checkpoint import Checkpoint
from converters.source import load_with
from converters.tensors import FloatArray
from converters.tokenizers import read_tokenizer
from runtime.models.encoding import Encoding


class SourceVectors:
    """The checkpoint that a file was made of, pooled as the file is. Its weights take four bytes each until closed."""

    def __init__(self, checkpoint: Checkpoint, encoding: Encoding) -> None:
        self.encoding = encoding
        self._judges = encoding.gives_scores and encoding.is_causal
        auto = (
            "AutoModelForCausalLM" if self._judges
            else "AutoModelForSequenceClassification" if encoding.gives_scores
            else "AutoModel"
        )  # fmt: skip
        self._model: Any = load_with(auto, checkpoint)
        rows = int(self._model.get_input_embeddings().weight.shape[0])
        self._tokenizer = read_tokenizer(checkpoint, rows)
        library = self._tokenizer.library
        self._answers = [library.token_to_id(answer) for answer in ANSWERS] if self._judges and library else []

    def encode(self, text: str) -> list[int]:
        """Ids by the checkpoint's own tokenizer, with what belongs around a text."""
        return self._tokenizer.encode(text)

    def row(self, tokens: Sequence[int]) -> FloatArray:
        """The vector, not normalised, or the scores: shape (width,)."""
        import torch

        with torch.no_grad():
            out = self._model(input_ids=torch.tensor([list(tokens)]))
            if self._judges:
                found = torch.softmax(out.logits[0, -1, self._answers], dim=0)
            elif self.encoding.gives_scores:
                found = out.logits[0]
            else:
                states = out.last_hidden_state[0]
                found = {"mean": states.mean(dim=0), "cls": states[0], "last": states[-1]}[self.encoding.pooling]
        row: FloatArray = found.numpy()
        return row

    def close(self) -> None:
        """Let go of the weights."""
        self._model = None
