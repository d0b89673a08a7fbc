"""Qwen2, Qwen2.5 and Qwen3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import gguf
import tokenizers

from converters.architectures.base import Output, Value
from converters.architectures.decoder import Decoder
from converters.checkpoint import TOKENIZER_FILE
from converters.tensors import Tensor, rows_of, stacked
from runtime.errors import ConversionRefused

# What Qwen3-Reranker answers, and the order of its scores.
ANSWERS = ("yes", "no")


class Qwen2(Decoder):
    """Biases on queries, keys and values; a window only where the config says that it is used."""

    name = "qwen2"
    classes = ("Qwen2ForCausalLM", "Qwen2Model")
    has_qkv_bias: ClassVar[bool | None] = True

    @property
    def window(self) -> int | None:
        """See `Decoder.window`."""
        return super().window if self.config.flag("use_sliding_window", default=False) else None


class Qwen3(Qwen2):
    """Norms on queries and keys, and heads wider than the hidden state divided among them."""

    name = "qwen3"
    classes = ("Qwen3ForCausalLM", "Qwen3Model")
    has_qkv_bias = None
    has_qk_norm = True

    def hyperparameters(self) -> dict[str, Value]:
        """See `Architecture.hyperparameters`."""
        entries = super().hyperparameters()
        if self.options.is_reranker:
            entries |= {"pooling_type": int(gguf.PoolingType.RANK), "classifier.output_labels": ANSWERS}
        return entries

    def head_of(self, found: Mapping[str, Tensor]) -> Tensor | None:
        """Of a reranker the two rows alone, which `added` gives."""
        head = super().head_of(found)
        self._whole_head = head or found[self.embedding]
        return None if self.options.is_reranker else head

    def added(self) -> Iterator[Output]:
        """The rows of a reranker's head."""
        yield from super().added()
        if self.options.is_reranker:
            library = tokenizers.Tokenizer.from_file(str(self.checkpoint.path(TOKENIZER_FILE)))
            ids = [library.token_to_id(answer) for answer in ANSWERS]
            rows = [row for row in ids if row is not None]
            if len(rows) < len(ANSWERS):
                raise ConversionRefused(f"{self.checkpoint.folder} has no tokens 'yes' and 'no', so it is no reranker.")
            head = stacked([rows_of(self._whole_head, row, row + 1) for row in rows])
            yield Output("cls.output.weight", head, stays_f32=False)
