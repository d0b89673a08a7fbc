"""What transformers computes of the checkpoints that the graphs were made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from tests.converters.onnx.sources import Sources

_CLASSES = {
    "features": "AutoModel",
    "mt5": "MT5EncoderModel",
    "classify": "AutoModelForSequenceClassification",
    "ner": "AutoModelForTokenClassification",
    "mlm": "AutoModelForMaskedLM",
}


def tokenizer_of(sources: Sources, name: str) -> Any:
    """The tokenizer, with the special tokens that its vocabulary names."""
    path = sources.checkpoint(name) / "tokenizer.json"
    make: Any = transformers.PreTrainedTokenizerFast
    found = make(tokenizer_file=str(path))
    vocabulary = found.get_vocab()
    for kind, spellings in (
        ("mask_token", ("<mask>", "[MASK]")),
        ("unk_token", ("<unk>", "[UNK]")),
        ("pad_token", ("<pad>", "[PAD]")),
    ):
        for text in spellings:
            if text in vocabulary:
                setattr(found, kind, text)
    return found


def model_of(sources: Sources, name: str, kind: str) -> Any:
    """The model with its head."""
    return getattr(transformers, _CLASSES[kind]).from_pretrained(sources.checkpoint(name)).eval()


def computed(model: Any, ids: list[int], types: list[int] | None = None) -> npt.NDArray[np.float32]:
    """The first output for one sequence alone, without its batch."""
    inputs = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.int64)}
    if types is not None:
        inputs["token_type_ids"] = torch.tensor([types])
    with torch.no_grad():
        found: npt.NDArray[np.float32] = model(**inputs)[0][0].numpy()
    return found


def pipeline(sources: Sources, name: str, kind: str, task: str, **options: Any) -> Any:
    """A pipeline of transformers over a checkpoint."""
    make: Any = transformers.pipeline
    return make(task, model=model_of(sources, name, kind), tokenizer=tokenizer_of(sources, name), **options)
