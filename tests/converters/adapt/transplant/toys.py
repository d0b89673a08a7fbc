"""Tokenizers whose whole vocabulary stands in the test, and checkpoints with them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers

from converters.adapt.transplant.transplant import Request, Transplanted, transplant
from converters.adapt.transplant.vocabulary import Vocabulary, vocabulary_of
from converters.progress import NoSteps
from converters.tokenizer_source import TokenizerSource
from runtime.models.files import NoProgress


def unigram(*pieces: str, special: Sequence[str] = ("<unk>", "<s>", "</s>")) -> tokenizers.Tokenizer:
    """Pieces of SentencePiece, longer ones likelier, after special tokens of which the first is the unknown one."""
    scored = [(piece, -1.0 / len(piece)) for piece in pieces]
    tokenizer = tokenizers.Tokenizer(models.Unigram([(name, 0.0) for name in special] + scored, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(list(special))
    return tokenizer


def wordpiece(*pieces: str) -> tokenizers.Tokenizer:
    """Pieces of WordPiece, after its special tokens."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {name: row for row, name in enumerate([*names, *pieces])}
    tokenizer = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens([AddedToken(name) for name in names])
    return tokenizer


def byte_level(*pieces: str) -> tokenizers.Tokenizer:
    """Pieces of byte-level BPE that no merge leads to, after RoBERTa's special tokens."""
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = tokenizers.Tokenizer(models.BPE({name: row for row, name in enumerate([*names, *pieces])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(names)
    return tokenizer


def rotated(tokenizer: tokenizers.Tokenizer, by: int) -> tokenizers.Tokenizer:
    """A Unigram tokenizer that reads texts alike, whose pieces have other ids: each `by` more, the last the first."""
    spec = json.loads(tokenizer.to_str())
    pieces = spec["model"]["vocab"]
    spec["model"]["vocab"] = pieces[-by:] + pieces[:-by]
    ids = {name: row for row, (name, _) in enumerate(spec["model"]["vocab"])}
    spec["model"]["unk_id"] = (spec["model"]["unk_id"] + by) % len(pieces)
    for added in spec["added_tokens"]:
        added["id"] = ids.get(added["content"], added["id"])
    for name, named in spec["post_processor"]["special_tokens"].items():
        named["ids"] = [ids.get(name, named["ids"][0])]
    return tokenizers.Tokenizer.from_str(json.dumps(spec))


def vocabulary(tokenizer: tokenizers.Tokenizer, **roles: int) -> Vocabulary:
    """The tokens of a tokenizer without other files."""
    return vocabulary_of(TokenizerSource("toy", tokenizer.to_str()), roles)


def run(source: Path, tokenizer: Path, output: Path, **options: Any) -> Transplanted:
    """Transplant without anyone looking on."""
    return transplant(Request(str(source), str(tokenizer), output, **options), NoProgress(), NoSteps())


def saved(tokenizer: tokenizers.Tokenizer, path: Path) -> Path:
    """Write a tokenizer and return the path."""
    tokenizer.save(str(path))
    return path


def write_vectors(path: Path, vectors: Mapping[str, Sequence[float]]) -> Path:
    """Write vectors in word2vec's text format and return the path."""
    lines = [f"{word} {' '.join(map(str, row))}" for word, row in vectors.items()]
    size = len(next(iter(vectors.values())))
    path.write_text("\n".join([f"{len(lines)} {size}", *lines]) + "\n", encoding="utf-8")
    return path


def named(source: Path, target: Path) -> Path:
    """A copy of an XLM-RoBERTa whose tokenizer says which tokens have which role, and return its folder."""
    shutil.copytree(source, target)
    names = {"bos": "<s>", "eos": "</s>", "unk": "<unk>", "pad": "<pad>", "mask": "<mask>"}
    text = json.dumps({f"{role}_token": name for role, name in names.items()})
    (target / "tokenizer_config.json").write_text(text, encoding="utf-8")
    return target


def read(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values
