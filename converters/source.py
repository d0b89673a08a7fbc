"""A checkpoint computed by transformers in float32: what an artefact is held against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.checkpoint import Checkpoint
from converters.likelihood import likeliest
from converters.tensors import FloatArray
from runtime.errors import ConversionRefused

# What maps configs to classes, as the classes that choose themselves do.
_MAPPINGS = {
    "AutoModelForCausalLM": "MODEL_FOR_CAUSAL_LM_MAPPING",
    "AutoModelForSeq2SeqLM": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING",
    "AutoModelForSequenceClassification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING",
    "AutoModel": "MODEL_MAPPING",
}


class Writing:
    """A decoder, or an encoder-decoder, in a checkpoint. Its weights take four bytes each until it is closed.

    least_rows: tokens that are computed together at least; fewer are computed several times.
    """

    least_rows = 1

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.has_encoder = checkpoint.config.flag("is_encoder_decoder", default=False)
        self._model = load_with("AutoModelForSeq2SeqLM" if self.has_encoder else "AutoModelForCausalLM", checkpoint)
        self._start: int | None = int(self._model.config.decoder_start_token_id) if self.has_encoder else None
        self.vocabulary_size: int = int(self._model.get_input_embeddings().weight.shape[0])

    def logits(self, tokens: Sequence[int]) -> FloatArray:
        """Logits for each of the tokens of one sequence, as `ServedModel.logits`: shape (len(tokens), vocabulary)."""
        import torch

        copies = -(-self.least_rows // len(tokens))
        read = torch.tensor([list(tokens)] * copies)
        with torch.no_grad():
            if self._start is None:
                out = self._model(input_ids=read)
            else:
                written = torch.tensor([[self._start, *tokens[:-1]]] * copies)
                out = self._model(input_ids=read, decoder_input_ids=written)
        found: FloatArray = out.logits[0].numpy()
        return found

    def greedy(self, tokens: Sequence[int], count: int, among: npt.NDArray[np.int64] | None = None) -> list[int]:
        """The `count` likeliest tokens that follow, or of an encoder-decoder answer, one after the other.

        Where `among` is given, ascending, they are of these tokens.
        """
        import torch

        found: list[int] = []
        copies = self.least_rows
        read = torch.tensor([list(tokens)] * copies)
        with torch.no_grad():
            if self._start is None:
                name, fed, fixed = "input_ids", list(tokens), {}
            else:
                name, fed = "decoder_input_ids", [self._start]
                fixed = {"encoder_outputs": self._model.get_encoder()(input_ids=read)}
            state = None
            while len(found) < count:
                out = self._model(
                    **{name: torch.tensor([fed] * copies)}, **fixed, past_key_values=state, use_cache=True
                )
                state, fed = out.past_key_values, [likeliest(out.logits[0, -1].numpy(), among)]
                found += fed
        return found

    def close(self) -> None:
        """Let go of the weights."""
        self._model = None


class SourceModel(Writing):
    """Such a model with its tokenizer, as it is converted."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        from converters.tokenizers import read_tokenizer  # needs gguf, which transformers' side does not

        super().__init__(checkpoint)
        self._tokenizer = read_tokenizer(checkpoint, self.vocabulary_size)

    def encode(self, text: str) -> list[int]:
        """Ids by the checkpoint's own tokenizer, with what belongs around a text."""
        return self._tokenizer.encode(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""
        return self._tokenizer.decode(tokens)


def load_with(auto_class: str, checkpoint: Checkpoint) -> Any:
    """The model as that class of transformers loads it, in float32, with the adapter that was merged into it, if any.

    Raises:
        ConversionRefused: it cannot.
    """
    import torch
    import transformers

    auto: Any = getattr(transformers, auto_class)
    with _reading(checkpoint):
        if not checkpoint.is_merged:
            options = {"dtype": torch.float32, "trust_remote_code": False}
            return auto.from_pretrained(checkpoint.folder, **options).eval()
        # A head that differs from the embedding stays so where the config ties them, which transformers warns of.
        config, values = _config_and_tensors(checkpoint)
        kind = getattr(transformers, _MAPPINGS[auto_class])[type(config)]
        return kind.from_pretrained(None, config=config, state_dict=values, dtype=torch.float32).eval()


def load_class(name: str, checkpoint: Checkpoint, *, unused: str = "") -> Any:
    """The model as the class of this name loads it, in float32, with attention written out as products.

    unused: parts with this in their names may lack weights.

    Raises:
        ConversionRefused: it cannot, or the checkpoint lacks weights, which transformers would draw by chance.
    """
    import torch
    import transformers

    kind: Any = getattr(transformers, name)
    options = {"dtype": torch.float32, "attn_implementation": "eager", "output_loading_info": True}
    with _reading(checkpoint):
        if checkpoint.is_merged or any(path.suffix == ".msgpack" for path in checkpoint.weight_files):
            config, values = _config_and_tensors(checkpoint)
            model, told = kind.from_pretrained(None, config=config, state_dict=values, **options)
        else:
            model, told = kind.from_pretrained(checkpoint.folder, local_files_only=True, **options)
    missing = sorted(each for each in told["missing_keys"] if not (unused and unused in each))
    if missing:
        raise ConversionRefused(
            f"{checkpoint.folder} lacks {len(missing)} of the weights of {name}: {', '.join(missing[:5])}.",
            remedy="Get the checkpoint again, or correct the class that its config.json names.",
        )
    return model.eval()


@contextmanager
def _reading(checkpoint: Checkpoint) -> Iterator[None]:
    import transformers

    # Its bar would stand among what is told, also where that is JSON.
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    except (OSError, ValueError) as fault:
        raise ConversionRefused(
            f"transformers cannot read {checkpoint.folder}: {str(fault).partition(chr(10))[0].rstrip('.')}."
        ) from fault


def _config_and_tensors(checkpoint: Checkpoint) -> tuple[Any, dict[str, Any]]:
    """The config and the tensors of a checkpoint whose weights transformers cannot read from its files."""
    import torch
    import transformers

    config: Any = transformers.AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False)
    config.vocab_size = checkpoint.config.integer("vocab_size")
    return config, {name: torch.tensor(tensor.whole()) for name, tensor in checkpoint.tensors.items()}
