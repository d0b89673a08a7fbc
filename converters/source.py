"""A checkpoint computed by transformers in float32: what an artefact is held against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from converters.checkpoint import Checkpoint
from converters.tensors import FloatArray
from converters.tokenizers import read_tokenizer
from runtime.errors import ConversionRefused

# What maps configs to classes, as the classes that choose themselves do.
_MAPPINGS = {
    "AutoModelForCausalLM": "MODEL_FOR_CAUSAL_LM_MAPPING",
    "AutoModelForSeq2SeqLM": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING",
    "AutoModelForSequenceClassification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING",
    "AutoModel": "MODEL_MAPPING",
}


class SourceModel:
    """A decoder, or an encoder-decoder, in a checkpoint. Its weights take four bytes each until it is closed."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.has_encoder = checkpoint.config.flag("is_encoder_decoder", default=False)
        self._model = load_with("AutoModelForSeq2SeqLM" if self.has_encoder else "AutoModelForCausalLM", checkpoint)
        self._start: int | None = int(self._model.config.decoder_start_token_id) if self.has_encoder else None
        self.vocabulary_size: int = int(self._model.get_input_embeddings().weight.shape[0])
        self._tokenizer = read_tokenizer(checkpoint, self.vocabulary_size)

    def encode(self, text: str) -> list[int]:
        """Ids by the checkpoint's own tokenizer, with what belongs around a text."""
        return self._tokenizer.encode(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""
        return self._tokenizer.decode(tokens)

    def logits(self, tokens: Sequence[int]) -> FloatArray:
        """Logits for each of the tokens of one sequence, as `GgufModel.logits`: shape (len(tokens), vocabulary)."""
        import torch

        read = torch.tensor([list(tokens)])
        with torch.no_grad():
            if self._start is None:
                out = self._model(input_ids=read)
            else:
                out = self._model(input_ids=read, decoder_input_ids=torch.tensor([[self._start, *tokens[:-1]]]))
        found: FloatArray = out.logits[0].numpy()
        return found

    def greedy(self, tokens: Sequence[int], count: int) -> list[int]:
        """The `count` likeliest tokens that follow, or of an encoder-decoder answer, one after the other."""
        import torch

        found: list[int] = []
        read = torch.tensor([list(tokens)])
        with torch.no_grad():
            if self._start is None:
                name, fed, fixed = "input_ids", list(tokens), {}
            else:
                name, fed = "decoder_input_ids", [self._start]
                fixed = {"encoder_outputs": self._model.get_encoder()(input_ids=read)}
            state = None
            while len(found) < count:
                out = self._model(**{name: torch.tensor([fed])}, **fixed, past_key_values=state, use_cache=True)
                state, fed = out.past_key_values, [int(out.logits[0, -1].argmax())]
                found += fed
        return found

    def close(self) -> None:
        """Let go of the weights."""
        self._model = None


def load_with(auto_class: str, checkpoint: Checkpoint) -> Any:
    """The model as that class of transformers loads it, in float32, with the adapter that was merged into it, if any.

    Raises:
        ConversionRefused: it cannot.
    """
    import torch
    import transformers

    # Its bar would stand among what is told, also where that is JSON.
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    auto: Any = getattr(transformers, auto_class)
    try:
        model = (
            _of_tensors(getattr(transformers, _MAPPINGS[auto_class]), checkpoint)
            if checkpoint.is_merged
            else auto.from_pretrained(checkpoint.folder, dtype=torch.float32, trust_remote_code=False)
        )
    except (OSError, ValueError) as fault:
        raise ConversionRefused(
            f"transformers cannot read {checkpoint.folder}: {str(fault).partition(chr(10))[0].rstrip('.')}."
        ) from fault
    return model.eval()


def _of_tensors(mapping: Any, checkpoint: Checkpoint) -> Any:
    """The class of the checkpoint's config over its tensors, which are not those of its files.

    A head that differs from the embedding stays so where the config ties them, which transformers warns of.
    """
    import torch
    import transformers

    config: Any = transformers.AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False)
    config.vocab_size = checkpoint.config.integer("vocab_size")
    values = {name: torch.tensor(tensor.whole()) for name, tensor in checkpoint.tensors.items()}
    return mapping[type(config)].from_pretrained(None, config=config, state_dict=values, dtype=torch.float32)
