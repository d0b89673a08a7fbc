"""Whether a model makes vectors or scores of texts, and how: of a GGUF what its header says of pooling.

Keys and numbers are those of llama.cpp (`llama_pooling_type` in llama.h, llama-arch.cpp).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from runtime.errors import DemoticError, UnsupportedArchitecture
from runtime.models.gguf_format import StringArray
from runtime.models.header import Header

Pooling = Literal["mean", "cls", "last", "rank", "tokens"]
Head = Literal["labels", "reward", "token-classify", "fill-mask", "question-answering"]
Problem = Literal["regression", "single_label_classification", "multi_label_classification"]

# Encoders that llama.cpp computes without a KV cache. Text only; names as in llama-arch.cpp.
ENCODERS = frozenset({
    "bert", "eurobert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "modern-bert", "neo-bert", "nomic-bert",
    "nomic-bert-moe",
})  # fmt: skip

_VECTORS = frozenset({"mean", "cls", "last"})
_POOLING: dict[int, Pooling] = {1: "mean", 2: "cls", 3: "last", 4: "rank"}
# Those whose classification head llama.cpp computes.
_WITH_HEAD = frozenset({"bert", "jina-bert-v2", "modern-bert", "neo-bert", "qwen3"})
_HEADS = ("cls.output.weight", "cls.weight")


@dataclass(frozen=True)
class Encoding:
    """How a model makes one row of numbers of a sequence, or of each of its tokens.

    pooling: which hidden states become the vector; "rank": a classification head over one of them gives scores;
        "tokens": a head gives scores of each token.
    is_causal: every token sees only those before it.
    labels: what the scores of the head are of; empty where it names none.
    opening, closing: tokens that belong around every text, in files of which the tokenizer does not know it yet.
    num_separators: how often the closing token stands between two texts that are judged together.
    has_segments: the model was trained to tell those two texts apart by their token types, which llama.cpp does not.
    head: what the scores are of, where the model says it; a GGUF does not.
    problem: what the labels were trained as, where the model says it.
    mask: the token that hides a word.
    """

    pooling: Pooling
    is_causal: bool
    labels: tuple[str, ...] = ()
    opening: int | None = None
    closing: int | None = None
    num_separators: int = 1
    has_segments: bool = False
    head: Head | None = None
    problem: Problem | None = None
    mask: int | None = None

    @property
    def can_split(self) -> bool:
        """Whether a long sequence can be computed in pieces: nothing is wanted but what its last token has seen."""
        return self.is_causal and self.pooling in {"last", "rank"}

    @property
    def gives_scores(self) -> bool:
        """Whether the row holds scores, not a vector."""
        return self.pooling == "rank"

    @property
    def gives_vectors(self) -> bool:
        """Whether the row is a vector."""
        return self.pooling in _VECTORS

    @property
    def is_judge(self) -> bool:
        """Whether the scores are of the words that answer a question: what Qwen3-Reranker is as GGUF."""
        return self.gives_scores and self.is_causal and self.head is None

    @property
    def is_classifier(self) -> bool:
        """Whether the scores are of labels."""
        return self.gives_scores and not self.is_judge and (len(self.labels) > 1 or self.head is not None)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What it can be asked for: "embedding", "rerank", "score", "classify", "token-classify", "fill-mask"."""
        if self.gives_vectors:
            return ("embedding", "rerank", "score")
        if self.head in {"token-classify", "fill-mask"}:
            return (self.head,)
        if not self.gives_scores:
            return ()
        labels = ("classify",) if self.is_classifier else ()
        is_ranker = self.is_judge or (len(self.labels) < 2 and not self.has_segments)
        return (*(("rerank", "score") if is_ranker else ()), *labels)

    @property
    def purpose(self) -> str:
        """What the model is for, for a person who asked it for something else."""
        if self.gives_vectors:
            return "is an embedding model: it gives vectors (/v1/embeddings) and no text"
        match self.head:
            case "token-classify":
                return "labels the tokens of texts (/v1/token-classify)"
            case "fill-mask":
                return "guesses hidden words (/v1/fill-mask)"
            case "question-answering":
                return "finds answers in texts, for which there is no endpoint"
            case "reward":
                return "is a reward model: it gives scores (/v1/score, /v1/classify) and no text"
        if self.is_judge or len(self.labels) < 2:
            return "is a reranker: it gives scores (/v1/rerank, /v1/score) and no text"
        return "is a classifier: it gives the probabilities of labels (/v1/classify) and no text"


def encoding_of(header: Header) -> Encoding | None:
    """How the model encodes; None for one that generates text.

    An encoder whose header does not name its pooling gives the scores of its head, where it has one; else it is pooled
    by the mean, as sentence-transformers does.

    Raises:
        ModelFileInvalid: the header contradicts itself.
        UnsupportedArchitecture: scores of an architecture whose head is not computed.
    """
    number = header.size("pooling_type", 4, least=0, default=0)
    is_encoder = header.architecture in ENCODERS
    is_causal = not is_encoder and header.metadata.get(header.key("attention.causal"), True) is True
    if number == 0 and not is_encoder:
        return None
    has_head = header.architecture in _WITH_HEAD and any(name in header.tensors for name in _HEADS)
    pooling = _POOLING.get(number, "rank" if has_head else "mean")
    if pooling == "rank" and not has_head:
        raise _headless(header)
    is_roberta = is_encoder and header.text("tokenizer.ggml.model") == "t5"
    return Encoding(
        pooling,
        is_causal,
        labels=_labels(header),
        # Converters before June 2025 did not write that XLM-RoBERTa and Qwen3-Embedding want these
        # (https://github.com/ggml-org/llama.cpp/issues/14252, and 14280).
        opening=_unsaid_token(header, "bos") if is_roberta else None,
        closing=_unsaid_token(header, "eos") if is_causal and pooling == "last" else None,
        num_separators=_num_separators(header),
        has_segments=header.architecture == "bert" and _num_token_types(header) > 1,
    )


def _headless(header: Header) -> DemoticError:
    if header.architecture in _WITH_HEAD:
        return header.fault("says that it gives scores, but has no classification head")
    return UnsupportedArchitecture(
        f"{header.path} is a reranker of architecture '{header.architecture:.40}', whose head is not computed.",
        remedy=f"Choose one of {', '.join(sorted(_WITH_HEAD))}.",
    )


def _labels(header: Header) -> tuple[str, ...]:
    labels = header.metadata.get(header.key("classifier.output_labels"))
    if labels is None:
        return ()
    if not isinstance(labels, StringArray) or not len(labels):
        raise header.fault("has labels that are no texts")
    return tuple(labels[index] for index in range(len(labels)))


def _unsaid_token(header: Header, name: str) -> int | None:
    """The id of a token, where the header does not say whether texts get it."""
    token = header.metadata.get(f"tokenizer.ggml.{name}_token_id")
    is_said = f"tokenizer.ggml.add_{name}_token" in header.metadata
    return token if isinstance(token, int) and not is_said else None


def _num_separators(header: Header) -> int:
    """RoBERTa's family closes the first text twice; files of XLM-RoBERTa may not say so."""
    model = header.text("tokenizer.ggml.model")
    is_double = header.metadata.get("tokenizer.ggml.add_sep_token", model == "t5") is True
    return 2 if is_double and model != "bert" else 1


def _num_token_types(header: Header) -> int:
    table = header.tensors.get("token_types.weight")
    return table.shape[1] if table is not None and len(table.shape) == 2 else 1
