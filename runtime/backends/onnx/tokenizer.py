"""The tokenizer beside the graphs, whichever of the kinds in docs/onnx.md it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import sentencepiece

from runtime.backends.onnx.tokenizer_json import JsonTokenizer
from runtime.errors import InvalidRequest
from runtime.models.name import SETTINGS_FILE
from runtime.models.onnx_folder import OnnxFolder
from runtime.models.onnx_settings import TokenizerSettings, broken
from runtime.text.bytes import ByteTokenizer
from runtime.text.sentinels import with_sentinels
from runtime.text.tokenizer import Tokenizer, to_utf8

_MAX_BYTES = 2**28
_SPACE = "▁"


def load_tokenizer(folder: OnnxFolder) -> Tokenizer:
    """The tokenizer of a folder; for one that fills gaps, with its sentinels.

    Raises:
        ModelFileInvalid: its files are damaged or not its own, or it has tokens that the graph's embedding has no row
            for.
    """
    settings = folder.settings
    rows, marks, told = settings.sizes.vocabulary, settings.tokens, settings.tokenizer
    for name in told.files:
        if (folder.path / name).stat().st_size > _MAX_BYTES:
            raise broken(folder.path / name, f"is larger than {_MAX_BYTES >> 20} MiB")
    tokenizer: Tokenizer
    match told.kind:
        case "tokenizer.json":
            keeps = marks.mask if settings.task == "fill-mask" else None
            tokenizer = JsonTokenizer(folder.path / told.file, num_rows=rows, ends=marks.eos, keeps=keeps)
            _require_own(folder.path / told.file, told.sha256)
        case "sentencepiece":
            tokenizer = PieceTokenizer(folder.path, told, num_rows=rows, ends=marks.eos)
        case "bytes":
            tokenizer = _byte_tokenizer(folder.path, told, rows)
    return with_sentinels(tokenizer) if settings.task == "text2text" else tokenizer


def _require_own(path: Path, sha256: str | None) -> None:
    """Refuse a tokenizer.json that is not the one that the graphs were written with, which would be read as well."""
    if sha256 is not None and hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise broken(path, f"is not the file that {SETTINGS_FILE} tells of: it is another vocabulary's, or was changed")


def _byte_tokenizer(path: Path, told: TokenizerSettings, rows: int) -> ByteTokenizer:
    names = {told.pad: "<pad>", told.eos: "</s>", told.unk: "<unk>"}
    size = told.offset + 256 + told.sentinels
    if len(names) != told.offset or max(names) >= told.offset or size > rows:
        raise broken(path, f"has a vocabulary of bytes that contradicts itself, or its {rows} rows")
    tokens = [rf"\xff\xfe{names[index]}" for index in range(told.offset)]
    tokens += [rf"\x{byte:02x}" for byte in range(256)]
    tokens += [rf"\xff\xfe<extra_id_{index}>" for index in range(told.sentinels)]
    return ByteTokenizer((token.encode() for token in tokens), ends=[told.eos], eos=told.eos)


class PieceTokenizer:
    """`Tokenizer` whose pieces SentencePiece finds and a file of the model numbers: M2M100's and Marian's.

    A text gets the end token and no language.
    """

    def __init__(self, folder: Path, told: TokenizerSettings, *, num_rows: int, ends: Sequence[int]) -> None:
        """`ends` are the tokens that end an answer; the first of them ends a text.

        Raises:
            ModelFileInvalid: a file is damaged, or has tokens beyond `num_rows`.
        """
        try:
            self._source, self._target = (
                sentencepiece.SentencePieceProcessor(model_file=str(folder / name))
                for name in (told.source, told.target)
            )
            self._ids: dict[str, int] = json.loads((folder / told.vocabulary).read_text(encoding="utf-8"))
            highest = max(self._ids.values())
        except Exception as fault:  # whatever reads the files raises what it likes
            raise broken(folder, f"has a damaged tokenizer: {fault}") from fault
        if highest >= num_rows:
            raise broken(
                folder / told.vocabulary,
                f"has tokens up to {highest}, but the graph's embedding has {num_rows} rows",
            )
        self.vocabulary_size = num_rows
        self._unknown = told.unk
        self._ends = tuple(ends)
        self._pieces: dict[int, str] = {token: piece for piece, token in self._ids.items()}

    def encode(self, text: str, *, parse_special: bool, is_beginning: bool = True) -> list[int]:  # noqa: ARG002  # of the Protocol
        """See `Tokenizer.encode`; names of control tokens are text, also where `parse_special`."""
        to_utf8(text)
        pieces: list[str] = self._source.encode(text, out_type=str)
        ids = [self._ids.get(piece, self._unknown) for piece in pieces]
        return [*ids, *self._ends[:1]] if is_beginning else ids

    def token_bytes(self, token: int) -> bytes:
        """See `Tokenizer.token_bytes`."""
        text = self.token_text(token)
        known: int = self._target.piece_to_id(text)
        if self._target.is_unknown(known) or self._target.is_control(known):
            return b""
        if self._target.is_byte(known):
            return bytes([int(text[3:5], 16)])
        data: bytes = text.replace(_SPACE, " ").encode()
        return data

    def token_text(self, token: int) -> str:
        """See `Tokenizer.token_text`; languages that no file names are ''."""
        if not 0 <= token < self.vocabulary_size:
            raise InvalidRequest(f"There is no token {token}: the vocabulary has {self.vocabulary_size}.")
        return self._pieces.get(token, "")

    def is_end(self, token: int) -> bool:
        """See `Tokenizer.is_end`."""
        return token in self._ends
