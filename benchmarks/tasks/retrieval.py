"""Retrieval by vectors, over folders as BEIR has them (arXiv 2104.08663).

A folder holds `corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`, `text`) and `qrels/SPLIT.tsv` with a
head and three columns: query, document, relevance. A folder is one language.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.metrics.retrieval import ndcg, recall, reciprocal_rank
from benchmarks.tasks.rows import Row, Source, read
from benchmarks.tasks.task import Asker, Figures, percent
from runtime.errors import InvalidRequest

Vectors = npt.NDArray[np.float32]
_BATCH = 16  # texts in one request


def _measured(k: int) -> str:
    return (
        "Documents in the order of the cosine of their vector and the query's. Of 100, means over the queries with a "
        f"relevant document: nDCG@{k} with the relevance as gain (trec_eval), the share of the relevant documents that "
        f"are among the first {k}, and one over the rank of the first relevant one."
    )


@dataclass(frozen=True)
class Collection:
    """One folder: texts by id, and how relevant documents are to queries."""

    language: str
    documents: Mapping[str, str]
    queries: Mapping[str, str]
    relevance: Mapping[str, Mapping[str, float]]

    @classmethod
    def read(cls, source: Source, split: str) -> Collection:
        """The collection of a folder; only queries with a judgement are kept.

        Raises:
            InvalidRequest: a file is missing or not of its format, or judges what is not there.
        """
        documents = {_id(row): _document(row) for row in _rows(source, "corpus.jsonl")}
        queries = {_id(row): row.text("text") for row in _rows(source, "queries.jsonl")}
        relevance = _judgements(source, split)
        for query in relevance:
            if query not in queries:
                raise InvalidRequest(f"{source.path}/qrels/{split}.tsv judges the query '{query}', which is not there.")
        asked = {query: text for query, text in queries.items() if max(relevance.get(query, {"": 0.0}).values()) > 0}
        if not asked:
            raise InvalidRequest(f"{source.path} has no query with a relevant document.")
        return cls(source.language, documents, asked, relevance)


def _rows(source: Source, name: str) -> list[Row]:
    path = source.path / name
    if not path.is_file():
        raise InvalidRequest(
            f"There is no {path}.", remedy="A folder must have corpus.jsonl, queries.jsonl and qrels/."
        )
    return list(read([Source(path, source.language)]))


def _id(row: Row) -> str:
    return row.text("_id")


def _document(row: Row) -> str:
    title, text = row.data.get("title") or "", row.data.get("text") or ""
    if not isinstance(title, str) or not isinstance(text, str) or not (title + text).strip():
        raise row.refusal("a document must have a text, and its title must be one")
    return f"{title} {text}".strip()


def _judgements(source: Source, split: str) -> dict[str, dict[str, float]]:
    path = source.path / "qrels" / f"{split}.tsv"
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise InvalidRequest(f"{path} cannot be read: {fault}.", remedy="Name another with --split.") from fault
    found: dict[str, dict[str, float]] = {}
    for number, line in enumerate(lines[1:], 2):
        try:
            query, document, value = line.split("\t")
            found.setdefault(query, {})[document] = float(value)
        except ValueError as fault:
            raise InvalidRequest(f"{path}, line {number}: there must be a query, a document and a number.") from fault
    return found


class Retrieval:
    """The task `demotic eval retrieval`; a question is a batch of texts to encode."""

    name = "retrieval"

    def __init__(self, sources: Sequence[Source], *, k: int, split: str, instruction: str | None) -> None:
        """Read the folders; `instruction` goes before the queries, as the model was trained.

        Raises:
            InvalidRequest: a folder is not of BEIR's layout, or two of them are in one language.
        """
        languages = [source.language for source in sources]
        if len(set(languages)) < len(languages):
            raise InvalidRequest(
                f"Two folders have the language {max(languages, key=languages.count)}.",
                remedy="Name the language of each: bul_Cyrl=FOLDER.",
            )
        self.measured = _measured(k)
        self.settings = {"split": split, "instruction": instruction}
        self._k = k
        self._collections = {str(source.path): Collection.read(source, split) for source in sources}
        self._texts: dict[str, tuple[str, ...]] = {}
        self.languages: dict[str, str] = {}
        for path, collection in self._collections.items():
            for kind, texts in (("queries", collection.queries), ("corpus", collection.documents)):
                whole = tuple(texts.values())
                for start in range(0, len(whole), _BATCH):
                    key = f"{path} {kind} {start}"
                    self._texts[key] = whole[start : start + _BATCH]
                    self.languages[key] = collection.language

    async def ask(self, key: str, asker: Asker) -> str:
        """The vectors of a batch, float32 in base64."""
        is_query = key.rsplit(" ", 2)[1] == "queries"
        instruction = self.settings["instruction"]
        more = {"instruction": instruction} if is_query and instruction else {}
        texts = self._texts[key]
        told = await asker.post("/embeddings", input=list(texts), encoding_format="float", **more)
        vectors = np.array([one["embedding"] for one in sorted(told["data"], key=_index)], dtype="<f4")
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise ValueError("not one vector a text")
        return base64.b64encode(vectors.tobytes()).decode()

    def figures(self, answers: Mapping[str, Any]) -> Figures:
        """The figures of each folder of which all texts are encoded."""
        columns = (f"nDCG@{self._k}", f"recall@{self._k}", f"MRR@{self._k}")
        found: dict[str, dict[str, float | None]] = {}
        notes = []
        for path, collection in self._collections.items():
            vectors = [self._vectors(path, kind, answers) for kind in ("queries", "corpus")]
            if vectors[0] is None or vectors[1] is None:
                notes.append(f"{path} has no figures: not all of its texts are encoded.")
                continue
            ranked = _rankings(collection, vectors[0], vectors[1], self._k)
            judged = [(ranking, collection.relevance[query]) for query, ranking in ranked.items()]
            values = (
                percent(measure(ranking, relevance, self._k) for ranking, relevance in judged)
                for measure in (ndcg, recall, reciprocal_rank)
            )
            found[collection.language] = dict(zip(columns, values, strict=True))
        sizes = {
            path: {"queries": len(one.queries), "documents": len(one.documents)}
            for path, one in self._collections.items()
        }
        return Figures(columns, found, {"collections": sizes}, notes=tuple(notes))

    def _vectors(self, path: str, kind: str, answers: Mapping[str, Any]) -> Vectors | None:
        """Shape (texts, width), each of length one; None where some are missing."""
        keys = [key for key in self._texts if key.startswith(f"{path} {kind} ")]
        if not all(answers.get(key) for key in keys):
            return None
        parts = [
            np.frombuffer(base64.b64decode(answers[key]), dtype="<f4").reshape(len(self._texts[key]), -1)
            for key in keys
        ]
        whole = np.concatenate(parts)
        lengths = np.linalg.norm(whole, axis=1, keepdims=True)
        return np.asarray(whole / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def _index(one: Mapping[str, Any]) -> int:
    return int(one["index"])


def _rankings(collection: Collection, queries: Vectors, documents: Vectors, k: int) -> dict[str, list[str]]:
    """The first `k` documents for each query, the nearest first; of equally near ones the first in the file."""
    names = list(collection.documents)
    found = {}
    for query, vector in zip(collection.queries, queries, strict=True):
        order = np.argsort(-(documents @ vector), kind="stable")[:k]
        found[query] = [names[place] for place in order]
    return found
