"""The tokenizer of an artefact: the files that go into it, and what the settings say of them.

Most checkpoints have a tokenizer.json, or one is made. M2M100 and Marian have SentencePiece models whose pieces get
their ids from vocab.json; ByT5's tokens are bytes.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sentencepiece

from converters.bytes import END, OFFSET, PAD, UNKNOWN, encode_bytes, is_of_bytes
from converters.checkpoint import TOKENIZER_FILE, Checkpoint
from converters.manifest import sha256_of_text
from converters.onnx.languages import languages_of
from converters.probes import PROBES
from converters.tokenizer_source import tokenizer_source
from runtime.errors import ConversionRefused

_NUM_BYTES = 256
_MASKS = ("<mask>", "[MASK]")
_VOCABULARY = "vocab.json"
# By type of model: the SentencePiece model of what is read, and of what is written.
_SENTENCEPIECE = {
    "m2m_100": ("sentencepiece.bpe.model", "sentencepiece.bpe.model"),
    "marian": ("source.spm", "target.spm"),
}


@dataclass(frozen=True)
class Carried:
    """A tokenizer as an artefact carries it.

    settings: the entry in demotic.json.
    files: by their name in the artefact, where they are now, or their text.
    encode: ids of a text, with the end token and without a language.
    languages: codes with their ids and where they go; None for models that know none.
    marks: ids of special tokens that only the tokenizer tells.
    """

    settings: Mapping[str, Any]
    files: Mapping[str, Path | str]
    encode: Callable[[str], list[int]]
    languages: dict[str, Any] | None = None
    marks: dict[str, int] = field(default_factory=dict)


def carried_tokenizer(checkpoint: Checkpoint, num_rows: int) -> Carried:
    """The tokenizer of a checkpoint whose embedding has `num_rows` rows.

    Raises:
        ConversionRefused: there is none, or it would read a text of the corpus otherwise than its source.
    """
    if is_of_bytes(checkpoint):
        return _of_bytes(num_rows)
    model_type = checkpoint.config.text("model_type", default="")
    if model_type in _SENTENCEPIECE and not checkpoint.path(TOKENIZER_FILE).is_file():
        return _of_pieces(checkpoint, *_SENTENCEPIECE[model_type], num_rows)
    return _of_json(checkpoint, num_rows)


def write_tokenizer(folder: Path, carried: Carried) -> None:
    """Write a tokenizer's files into an artefact."""
    for name, content in carried.files.items():
        if isinstance(content, Path):
            shutil.copyfile(content, folder / name)
        else:
            (folder / name).write_text(content, encoding="utf-8")


def _of_bytes(num_rows: int) -> Carried:
    import transformers

    sentinels = num_rows - OFFSET - _NUM_BYTES
    if sentinels < 0:
        raise ConversionRefused(f"A vocabulary of bytes has 259 tokens at least, the embedding has {num_rows} rows.")
    settings = {
        "kind": "bytes", "offset": OFFSET, "pad": PAD, "eos": END, "unk": UNKNOWN, "sentinels": sentinels,
    }  # fmt: skip

    def encode(text: str) -> list[int]:
        return encode_bytes(text, adds_end=True)

    _check(encode, transformers.ByT5Tokenizer(), {"<pad>", "</s>", "<unk>"})
    return Carried(settings, {}, encode)


def _of_json(checkpoint: Checkpoint, num_rows: int) -> Carried:
    source = tokenizer_source(checkpoint)
    if not source.is_exact:
        raise ConversionRefused(
            f"No tokenizer.json gives the ids of {Path(source.where).name} on all texts.",
            remedy="Give the checkpoint a tokenizer.json.",
        )
    library = source.library()
    vocabulary = library.get_vocab()
    _require_rows(vocabulary, num_rows, source.where)
    masks = [vocabulary[text] for text in _MASKS if text in vocabulary]
    return Carried(
        {"kind": "tokenizer.json", "file": TOKENIZER_FILE, "sha256": sha256_of_text(source.text)},
        {TOKENIZER_FILE: source.text},
        lambda text: list(library.encode(text).ids),
        languages_of(checkpoint, vocabulary),
        {"mask": masks[0]} if masks else {},
    )


def _of_pieces(checkpoint: Checkpoint, source: str, target: str, num_rows: int) -> Carried:
    """Pieces of SentencePiece with ids of vocab.json, and languages after them."""
    import transformers

    folder = checkpoint.folder
    for name in (source, target, _VOCABULARY):
        if not (folder / name).is_file():
            raise ConversionRefused(
                f"{folder} has no {name}.", remedy="Get it from where the checkpoint was published."
            )
    auto: Any = transformers.AutoTokenizer
    try:
        ids = json.loads((folder / _VOCABULARY).read_text(encoding="utf-8"))
        processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / source))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Marian's recommends a package
            theirs = auto.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        # With that package Marian's would change punctuation first, without it not: here it never does.
        theirs.punc_normalizer = str
        unknown = int(ids["<unk>"])
        end = int(ids["</s>"])
    except Exception as fault:  # whatever reads the files raises what it likes
        raise ConversionRefused(f"The tokenizer of {folder} is damaged: {fault}.", remedy="Get it again.") from fault
    # Languages of M2M100 come after the vocabulary, and no file says so.
    vocabulary = {
        **ids,
        **{theirs.get_lang_token(code): row for code, row in getattr(theirs, "lang_code_to_id", {}).items()},
    }

    def encode(text: str) -> list[int]:
        return [*(ids.get(piece, unknown) for piece in processor.encode(text, out_type=str)), end]

    _require_rows(vocabulary, num_rows, str(folder / _VOCABULARY))
    languages = languages_of(checkpoint, vocabulary)
    before = len(theirs("").input_ids) - 1  # the language that transformers has chosen, where there is one
    _check(encode, theirs, set(theirs.all_special_tokens), before)
    settings = {
        "kind": "sentencepiece", "source": source, "target": target, "vocabulary": _VOCABULARY, "unk": unknown,
    }  # fmt: skip
    return Carried(settings, {name: folder / name for name in (source, target, _VOCABULARY)}, encode, languages)


def _require_rows(vocabulary: Mapping[str, int], num_rows: int, where: str) -> None:
    if max(vocabulary.values(), default=-1) >= num_rows:
        raise ConversionRefused(
            f"{where} has tokens up to {max(vocabulary.values())}, the embedding has {num_rows} rows.",
            remedy="Get tokenizer and weights from one place.",
        )


def _check(encode: Callable[[str], list[int]], theirs: Any, special: set[str], before: int = 0) -> None:
    """Hold ids against those of transformers on the corpus; a special token's name is text to us, and not to them."""
    for probe in PROBES:
        if any(name in probe.text for name in special):
            continue
        wanted = list(theirs(probe.text).input_ids)[before:]
        if encode(probe.text) != wanted:
            raise ConversionRefused(
                f"The tokenizer that the artefact would have reads '{probe.name}' otherwise than transformers does.",
                remedy="Report it with the name of the model.",
            )
