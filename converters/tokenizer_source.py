"""The tokenizer of a checkpoint as tokenizer.json has it: the file itself, or made of the files that came before it.

These are a SentencePiece model, GPT-2's vocab.json with merges.txt, and BERT's vocab.txt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tokenizers

from converters.checkpoint import TOKENIZER_FILE, TOKENIZER_FILES, Checkpoint
from runtime.errors import ConversionRefused

_SENTENCEPIECE_FILES = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
# The files of a tokenizer, the best first; those that are neither JSON nor SentencePiece's are read by transformers.
_FILES = (
    (TOKENIZER_FILE,),
    *((name,) for name in _SENTENCEPIECE_FILES),
    ("vocab.json", "merges.txt"),
    ("vocab.txt",),
)
# SentencePiece's models whose pieces have their ids in another file: Marian's and M2M100's.
_PIECES = (("source.spm", "target.spm", "vocab.json"), ("sentencepiece.bpe.model", "vocab.json"))
# All that a tokenizer may be kept in.
ALL_FILES = frozenset({*TOKENIZER_FILES, *(name for names in (*_FILES, *_PIECES) for name in names)})
# Files beside any of them.
SETTINGS_FILES = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


@dataclass(frozen=True)
class TokenizerSource:
    """A tokenizer as JSON, and the file that it is from.

    encode: ids as that file's own library gives them, with what belongs around a text; None where it is `tokenizers`.
    is_exact: whether the JSON gives these ids on all of the corpus.
    """

    where: str
    text: str
    encode: Callable[[str], list[int]] | None = None
    is_exact: bool = True

    def library(self) -> tokenizers.Tokenizer:
        """The tokenizer as `tokenizers` reads it, neither cutting texts off nor filling them up.

        Raises:
            ConversionRefused: the JSON is damaged.
        """
        try:
            library = tokenizers.Tokenizer.from_str(self.text)
        except Exception as fault:  # tokenizers raises Exception itself
            raise ConversionRefused(f"{self.where} is damaged: {fault}.", remedy="Get it again.") from fault
        library.no_truncation()
        library.no_padding()
        return library

    def tokens(self) -> dict[int, str]:
        """The tokens by their ids, added ones among them.

        Raises:
            ConversionRefused: as `library`.
        """
        return {token: text for text, token in self.library().get_vocab(with_added_tokens=True).items()}


def tokenizer_source(checkpoint: Checkpoint) -> TokenizerSource:
    """Find the tokenizer of a checkpoint.

    Raises:
        ConversionRefused: there is none, or none can be made of what there is.
    """
    folder = checkpoint.path(TOKENIZER_FILE).parent
    chosen = choose_tokenizer({path.name for path in folder.iterdir()})
    if not chosen:
        raise ConversionRefused(
            f"{folder} has no tokenizer: there is none of {', '.join(' with '.join(names) for names in _FILES)}.",
            remedy="Get it from where the checkpoint was published.",
        )
    path = folder / chosen[0]
    if path.name == TOKENIZER_FILE:
        return TokenizerSource(str(path), path.read_text(encoding="utf-8"))
    if path.name in _SENTENCEPIECE_FILES:
        from converters.sentencepiece_source import sentencepiece_source

        return sentencepiece_source(checkpoint, path)
    return TokenizerSource(str(path), _made_by_transformers(checkpoint))


def choose_tokenizer(names: set[str]) -> tuple[str, ...]:
    """Which of a folder's files hold its tokenizer; none where it has none."""
    best, *others = _FILES
    return next((files for files in (best, *_PIECES, *others) if names.issuperset(files)), ())


def _made_by_transformers(checkpoint: Checkpoint) -> str:
    import transformers

    auto: Any = transformers.AutoTokenizer
    try:
        made = auto.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)
        text: str = made.backend_tokenizer.to_str()
    except Exception as fault:  # whatever reads the files raises what it likes
        raise ConversionRefused(
            f"transformers cannot read the tokenizer of {checkpoint.folder}: {str(fault).partition(chr(10))[0]}.",
            remedy="Give the checkpoint a tokenizer.json.",
        ) from fault
    return text
