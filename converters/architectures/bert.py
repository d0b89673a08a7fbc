"""BERT, RoBERTa and XLM-RoBERTa, for vectors and for the scores of a classification head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from converters.architectures.base import Architecture, Shape, Value
from converters.architectures.joined import GELUS
from converters.tensors import Tensor, rows_of
from runtime.errors import ConversionRefused

_ATTENTION = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
_NORMS = ("attention.output.LayerNorm", "output.LayerNorm")


class Bert(Architecture):
    """The encoder; a head that guesses hidden words is left out, for llama.cpp has no place for it."""

    name = "bert"
    classes: ClassVar[tuple[str, ...]] = ("BertModel", "BertForMaskedLM", "BertForSequenceClassification")
    activations = GELUS
    prefix = "bert."
    embedding = "embeddings.word_embeddings.weight"
    is_tied_by_default = True
    is_decoder = False
    has_head = False
    ignored = ("position_ids", "cls.", "pooler.")
    # The two matrices of a classification head, as transformers calls them; the first one may be left out.
    dense: ClassVar[str] = "pooler.dense"
    labels_of: ClassVar[str] = "classifier"

    def __post_init__(self) -> None:
        super().__post_init__()
        if (kind := self.config.text("position_embedding_type", default="absolute")) != "absolute":
            raise ConversionRefused(f"{self.config.where} has positions of the kind '{kind}', which are not converted.")

    @property
    def is_tied(self) -> bool:
        """There is no head over the vocabulary."""
        return True

    @property
    def has_labels(self) -> bool:
        """Whether it is a classifier."""
        return any(name.endswith("ForSequenceClassification") for name in self.config.texts("architectures"))

    @property
    def offset(self) -> int:
        """Rows of the table of positions that are never used."""
        return 0

    @property
    def context_length(self) -> int:
        """See `Architecture.context_length`."""
        return super().context_length - self.offset

    def shapes(self) -> dict[str, Shape]:
        """See `Architecture.shapes`."""
        width, width_ff = self.width, self.width_ff
        shapes: dict[str, Shape] = {
            self.embedding: (self.vocabulary_size, width),
            "embeddings.position_embeddings.weight": (self.context_length + self.offset, width),
            "embeddings.token_type_embeddings.weight": (self._token_types, width),
        }
        shapes |= {f"embeddings.LayerNorm.{part}": (width,) for part in ("weight", "bias")}
        matrices = dict.fromkeys(_ATTENTION, (width, width))
        matrices |= {"intermediate.dense": (width_ff, width), "output.dense": (width, width_ff)}
        for block in range(self.num_blocks):
            above = f"encoder.layer.{block}"
            for name, shape in matrices.items():
                shapes |= {f"{above}.{name}.weight": shape, f"{above}.{name}.bias": shape[:1]}
            shapes |= {f"{above}.{name}.{part}": (width,) for name in _NORMS for part in ("weight", "bias")}
        if self.has_labels:
            shapes |= {f"{self.dense}.weight": (width, width), f"{self.dense}.bias": (width,)}
            shapes |= {f"{self.labels_of}.weight": (len(self._labels), width)}
            shapes |= {f"{self.labels_of}.bias": (len(self._labels),)}
        return shapes

    @property
    def _token_types(self) -> int:
        return self.config.integer("type_vocab_size", default=2)

    @property
    def _labels(self) -> list[str]:
        """Names of the classes in the order of their numbers; transformers does not write its default of two."""
        names = self.config.section("id2label").values
        default = {str(number): f"LABEL_{number}" for number in range(self.config.integer("num_labels", default=2))}
        by_number = {int(number): str(name) for number, name in (names or default).items()}
        return [by_number[number] for number in sorted(by_number)]

    def canonical(self, name: str) -> str:
        """See `Architecture.canonical`."""
        return name.removeprefix(self.prefix)

    def target(self, name: str) -> str:
        """The gguf package knows the head's names of one family only."""
        module, _, part = name.rpartition(".")
        heads = {self.dense: "cls", self.labels_of: "cls.output"}
        return f"{heads[module]}.{part}" if module in heads else super().target(name)

    def changed(self, name: str, tensor: Tensor) -> Tensor:
        """llama.cpp counts positions from 0."""
        return rows_of(tensor, self.offset, tensor.shape[0]) if "position_embeddings" in name else tensor

    def head_of(self, found: Mapping[str, Tensor]) -> Tensor | None:
        """None over the vocabulary."""
        del found
        return None  # mypy wants it said

    def hyperparameters(self) -> dict[str, Value]:
        """See `Architecture.hyperparameters`."""
        labels: dict[str, Value] = {}
        if self.has_labels and len(self._labels) > 1:
            labels["classifier.output_labels"] = self._labels
        return super().hyperparameters() | {
            "attention.layer_norm_epsilon": self.config.number("layer_norm_eps"),
            "attention.causal": False,
            **self.pooling_entries("rank" if self.has_labels else None),
            **labels,
        }

    def tokenizer_entries(self) -> dict[str, Value]:
        """See `Architecture.tokenizer_entries`."""
        return {"tokenizer.ggml.token_type_count": self._token_types}


class Roberta(Bert):
    """It counts positions from the id of the padding token on, and its head has other names."""

    classes: ClassVar[tuple[str, ...]] = (
        "RobertaModel", "RobertaForSequenceClassification", "XLMRobertaModel", "XLMRobertaForSequenceClassification",
        "CamembertModel", "CamembertForSequenceClassification",
    )  # fmt: skip
    prefix = "roberta."
    ignored = ("position_ids", "lm_head.", "pooler.")
    dense = "classifier.dense"
    labels_of = "classifier.out_proj"

    @property
    def offset(self) -> int:
        """See `Bert.offset`."""
        return self.config.integer("pad_token_id", default=1) + 1
