"""A tokenizer.json made of a SentencePiece model; the model itself says which ids are right.

Format: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sentencepiece
import tokenizers
from tokenizers import processors

from converters.checkpoint import Checkpoint
from converters.probes import PROBES
from converters.sentencepiece_layout import Layout, Pieces, layout_of
from converters.tokenizer_source import TokenizerSource
from runtime.errors import ConversionRefused

_MAX_BYTES = 64 * 2**20
_SPACE = "▁"
# Types of pieces, and of models.
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED = 1, 2, 3, 4
_UNIGRAM, _BPE = 1, 2
_GET_AGAIN = "Get it from where the checkpoint was published."


def sentencepiece_source(checkpoint: Checkpoint, path: Path) -> TokenizerSource:
    """The tokenizer in the model at `path`.

    Raises:
        ConversionRefused: it is damaged, neither BPE nor Unigram, or of a class of tokenizer that is not known.
    """
    data = _read(path)
    model = _parsed(data, path)
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=data)
    except RuntimeError as fault:
        raise ConversionRefused(f"{path} is damaged: {fault}.", remedy=_GET_AGAIN) from fault
    spec = model.trainer_spec
    pieces = Pieces([piece.piece for piece in model.pieces], processor.bos_id(), processor.eos_id(), processor.unk_id())
    layout = layout_of(checkpoint, pieces)
    if spec.model_type not in {_UNIGRAM, _BPE}:
        raise ConversionRefused(f"{path} is neither BPE nor Unigram, the kinds that llama.cpp knows.")
    text = _with_frame(_json(model, layout), layout, path)
    encode = _encoder(processor, layout)
    library = tokenizers.Tokenizer.from_str(text)
    is_exact = all(library.encode(probe.text).ids == encode(probe.text) for probe in PROBES)
    return TokenizerSource(str(path), text, encode, is_exact)


def _read(path: Path) -> bytes:
    if path.stat().st_size > _MAX_BYTES:
        raise ConversionRefused(f"{path} is larger than {_MAX_BYTES / 1e6:.0f} MB, so it is no SentencePiece model.")
    return path.read_bytes()


def _parsed(data: bytes, path: Path) -> Any:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # its types are another package
    from sentencepiece import sentencepiece_model_pb2

    model: Any = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]  # made when it is imported
    try:
        model.ParseFromString(data)
    except DecodeError as fault:
        raise ConversionRefused(f"{path} is no SentencePiece model.", remedy=_GET_AGAIN) from fault
    if not model.pieces:
        raise ConversionRefused(f"{path} is a SentencePiece model without pieces.", remedy=_GET_AGAIN)
    return model


def _encoder(processor: Any, layout: Layout) -> Callable[[str], list[int]]:
    def encode(text: str) -> list[int]:
        rows = [layout.row_of_piece[piece] for piece in processor.encode(text)]
        return [*layout.before, *rows, *layout.after]

    return encode


def _json(model: Any, layout: Layout) -> dict[str, Any]:
    trainer = model.trainer_spec
    rows = dict(layout.others)
    scores = dict.fromkeys(rows, 0.0)
    for piece, row in zip(model.pieces, layout.row_of_piece, strict=True):
        if row not in layout.others:
            rows[row], scores[row] = piece.piece, piece.score
    vocabulary = [[rows[row], scores[row]] for row in sorted(rows)]
    unknown = layout.row_of_piece[trainer.unk_id]
    if trainer.model_type == _BPE:
        kind = {
            "type": "BPE", "unk_token": rows[unknown], "fuse_unk": True, "byte_fallback": trainer.byte_fallback,
            "vocab": {text: row for row, (text, _) in enumerate(vocabulary)}, "merges": _merges(model),
        }  # fmt: skip
    else:
        kind = {
            "type": "Unigram", "unk_id": unknown, "byte_fallback": trainer.byte_fallback, "vocab": vocabulary,
        }  # fmt: skip
    return {
        "version": "1.0",
        "added_tokens": _added(model, layout),
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(model.normalizer_spec)},
        "pre_tokenizer": _pre_tokenizer(trainer),
        "post_processor": None,
        "decoder": _decoder(model.normalizer_spec),
        "model": kind,
    }


def _merges(model: Any) -> list[tuple[str, str]]:
    """SentencePiece merges the two pieces whose joining has the best score, wherever it comes from."""
    scores = {each.piece: each.score for each in model.pieces if each.type in {_NORMAL, _USER_DEFINED}}
    pairs = [
        (score, text[:at], text[at:])
        for text, score in scores.items()
        for at in range(1, len(text))
        if text[:at] in scores and text[at:] in scores
    ]
    return [(first, second) for _, first, second in sorted(pairs, key=lambda pair: -pair[0])]


def _normalizers(spec: Any) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    if spec.precompiled_charsmap:
        charsmap = base64.b64encode(spec.precompiled_charsmap).decode()
        steps.append({"type": "Precompiled", "precompiled_charsmap": charsmap})
    if spec.remove_extra_whitespaces:
        steps += [_replaced({"Regex": "^ +| +$"}, ""), _replaced({"Regex": " {2,}"}, " ")]
    if spec.add_dummy_prefix:
        steps.append({"type": "Prepend", "prepend": _SPACE})
    return [*steps, _replaced({"String": " "}, _SPACE)]


def _replaced(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def _pre_tokenizer(trainer: Any) -> dict[str, Any] | None:
    if trainer.model_type == _BPE:
        return None
    does_split = bool(trainer.split_by_whitespace)
    return {"type": "Metaspace", "replacement": _SPACE, "prepend_scheme": "never", "split": does_split}


def _decoder(spec: Any) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [_replaced({"String": _SPACE}, " "), {"type": "ByteFallback"}, {"type": "Fuse"}]
    if spec.add_dummy_prefix:
        steps.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {"type": "Sequence", "decoders": steps}


def _added(model: Any, layout: Layout) -> list[dict[str, Any]]:
    special = {_UNKNOWN: True, _CONTROL: True, _USER_DEFINED: False}
    by_row = {
        row: _added_token(row, piece.piece, is_special=special[piece.type], is_normalized=piece.type == _USER_DEFINED)
        for piece, row in zip(model.pieces, layout.row_of_piece, strict=True)
        if piece.type in special and row not in layout.others
    }
    for each in layout.added:
        token = _added_token(each.row, each.text, is_special=each.is_special, is_normalized=False)
        by_row[each.row] = {**token, "lstrip": each.takes_space_before}
    return [by_row[row] for row in sorted(by_row)]


def _added_token(row: int, text: str, *, is_special: bool, is_normalized: bool) -> dict[str, Any]:
    """SentencePiece looks for pieces that users defined where spaces are its own signs already: it `is_normalized`."""
    return {
        "id": row, "content": text, "special": is_special, "normalized": is_normalized,
        "lstrip": False, "rstrip": False, "single_word": False,
    }  # fmt: skip


def _with_frame(spec: dict[str, Any], layout: Layout, path: Path) -> str:
    """The JSON with what stands around a text, once the library has read it and its added tokens have their rows."""
    library = tokenizers.Tokenizer.from_str(json.dumps(spec))
    for each in layout.added:
        if library.token_to_id(each.text) != each.row:
            raise ConversionRefused(
                f"The tokens that were added to {path} leave rows free: '{each.text}' is row {each.row}.",
                remedy="Give the checkpoint a tokenizer.json.",
            )
    names = {row: str(library.id_to_token(row)) for row in (*layout.before, *layout.after)}
    template = " ".join([*(names[row] for row in layout.before), "$A", *(names[row] for row in layout.after)])
    library.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(name, row) for row, name in names.items()]
    )
    return library.to_str()
