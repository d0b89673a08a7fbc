"""An embedding as two factors, coordinates by primitives, in the layout of the models published with OFA.

These are `yihongLiu/ofa-multi-*` and `ofa-mono-*`: classes XLMRobertaAssembledForMaskedLM and
RobertaAssembledForMaskedLM, whose head multiplies by the same two matrices. Source: https://arxiv.org/abs/2311.08849.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from converters.checkpoint import Checkpoint
from converters.config import Config
from converters.tensors import FloatArray, Tensor, of_array
from runtime.errors import ConversionRefused, InvalidRequest, UnsupportedArchitecture

# By the class with one matrix, the one with two.
CLASSES = {
    "XLMRobertaForMaskedLM": "XLMRobertaAssembledForMaskedLM",
    "RobertaForMaskedLM": "RobertaAssembledForMaskedLM",
}
_WHOLE_CLASSES = {factorised: whole for whole, factorised in CLASSES.items()}
RANK_KEY = "num_primitive"
EMBEDDING = "roberta.embeddings.word_embeddings.weight"
COORDINATES = "roberta.embeddings.target_coordinates.weight"
PRIMITIVES = "roberta.embeddings.primitive_embeddings.weight"
HEAD_BIAS = "lm_head.vocab_project.bias"
# The same two matrices as the published files name them a second time.
TIED = {"lm_head.vocab_project.weight": COORDINATES, "lm_head.down_project.weight": PRIMITIVES}
_WHOLE_HEAD, _WHOLE_BIASES = "lm_head.decoder.weight", ("lm_head.bias", "lm_head.decoder.bias")
# Below this share of the largest, a singular value is noise of float64.
_NOISE = 1e-7


@dataclass(frozen=True)
class Factors:
    """Two matrices whose product is near to an embedding of shape (tokens, width).

    coordinates: (tokens, rank), of orthonormal columns; read a piece at a time.
    primitives: (rank, width).
    kept: the share of the embedding's squared norm that the product has.
    """

    coordinates: Tensor
    primitives: FloatArray
    kept: float


def factorise(embedding: Tensor, rank: int) -> Factors:
    """The factors of an embedding by its truncated singular value decomposition: U, and S times the transpose of V.

    Its right singular vectors are the eigenvectors of a small matrix, summed up a piece at a time in float64.

    Raises:
        InvalidRequest: the rank is not from 1 to the width.
    """
    width = embedding.shape[1]
    if not 0 < rank <= width:
        raise InvalidRequest(f"An embedding of width {width} has no rank of {rank}.", remedy=f"Give one below {width}.")
    squares = np.zeros((width, width))
    for rows in embedding.blocks():
        wide = rows.astype(np.float64)
        squares += wide.T @ wide
    values, vectors = np.linalg.eigh(squares)
    values, vectors = values[::-1].clip(0), vectors[:, ::-1]
    sizes = np.sqrt(values[:rank])
    inverse = np.divide(1, sizes, out=np.zeros(rank), where=sizes > _NOISE * (sizes[0] or 1))
    turn = vectors[:, :rank] * inverse
    coordinates = replace(
        embedding,
        shape=(embedding.shape[0], rank),
        read=lambda start, stop: (embedding.read(start, stop).astype(np.float64) @ turn).astype(np.float32),
    )
    primitives = (vectors[:, :rank] * sizes).T.astype(np.float32)
    return Factors(coordinates, primitives, float(values[:rank].sum() / (values.sum() or 1)))


def factorised(checkpoint: Checkpoint, rank: int) -> tuple[Checkpoint, float]:
    """The checkpoint with its embedding, and the head that is tied to it, as two factors; and what of it is kept.

    Raises:
        UnsupportedArchitecture: no class with factors is published for its class.
        ConversionRefused: the head is not the embedding, or tensors are missing.
        InvalidRequest: as `factorise`.
    """
    names = checkpoint.config.texts("architectures")
    named = next((CLASSES[name] for name in names if name in CLASSES), None)
    if named is None:
        raise UnsupportedArchitecture(
            f"{checkpoint.folder} is a {' and '.join(names) or 'model'}, of which there is no class with two factors.",
            remedy=f"Leave out --rank. There are those of {' and '.join(CLASSES)}.",
        )
    tensors = dict(checkpoint.tensors)
    if not checkpoint.config.flag("tie_word_embeddings", default=True):
        raise ConversionRefused(
            f"{checkpoint.folder} has a head of its own, and its factors would be the embedding's.",
            remedy="Leave out --rank.",
        )
    tensors.pop(_WHOLE_HEAD, None)
    biases = [tensors.pop(name) for name in _WHOLE_BIASES if name in tensors]
    if EMBEDDING not in tensors or not biases:
        raise ConversionRefused(
            f"{checkpoint.folder} lacks {HEAD_BIAS if EMBEDDING in tensors else EMBEDDING}.",
            remedy="Get the checkpoint again.",
        )
    factors = factorise(tensors.pop(EMBEDDING), rank)
    dtype = factors.coordinates.dtype
    tensors |= {
        COORDINATES: factors.coordinates,
        # As torch's linear layers have it: a row for each output.
        PRIMITIVES: of_array(np.ascontiguousarray(factors.primitives.T), dtype),
        HEAD_BIAS: biases[0],
    }
    values = {**checkpoint.config.values, "architectures": [named], RANK_KEY: rank}
    changed = replace(checkpoint, config=Config(values, checkpoint.config.where), tensors=tensors)
    return changed, factors.kept


def is_factorised(config: Config) -> bool:
    """Whether a checkpoint is of a class with two factors."""
    return any(name in _WHOLE_CLASSES for name in config.texts("architectures"))


def expanded(checkpoint: Checkpoint) -> Checkpoint:
    """A factorised checkpoint with one matrix, the product of both, as the class without factors has it.

    Raises:
        ConversionRefused: a factor is missing, or they do not fit each other.
    """
    tensors = {name: tensor for name, tensor in checkpoint.tensors.items() if name not in TIED}
    coordinates, primitives = factors_of(checkpoint.tensors, str(checkpoint.folder))
    for name in (COORDINATES, PRIMITIVES):
        tensors.pop(name, None)

    @cache
    def up() -> FloatArray:
        return np.ascontiguousarray(primitives.whole().T)

    tensors[EMBEDDING] = replace(
        coordinates,
        shape=(coordinates.shape[0], primitives.shape[0]),
        read=lambda start, stop: coordinates.read(start, stop) @ up(),
    )
    if HEAD_BIAS in tensors:
        tensors[_WHOLE_BIASES[0]] = tensors.pop(HEAD_BIAS)
    names = [_WHOLE_CLASSES.get(name, name) for name in checkpoint.config.texts("architectures")]
    values = {key: value for key, value in checkpoint.config.values.items() if key != RANK_KEY}
    config = Config({**values, "architectures": names}, checkpoint.config.where)
    return replace(checkpoint, config=config, tensors=tensors, is_merged=True)


def factors_of(tensors: Mapping[str, Tensor], where: str) -> tuple[Tensor, Tensor]:
    """The coordinates (tokens, rank) and the primitives (width, rank), under either of their names.

    Raises:
        ConversionRefused: one is missing, or they do not fit each other.
    """
    names = {whole: tied for tied, whole in TIED.items()}
    found = [tensors.get(name) or tensors.get(names[name]) for name in (COORDINATES, PRIMITIVES)]
    match found:
        case [Tensor(shape=(_, rank)) as coordinates, Tensor(shape=(_, same)) as primitives] if rank == same:
            return coordinates, primitives
    raise ConversionRefused(
        f"{where} has no {COORDINATES} with {PRIMITIVES} of the same rank.", remedy="Get the checkpoint again."
    )
