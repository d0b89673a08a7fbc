"""Which files of a folder that optimum exported are its tokenizer, and the special tokens in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from runtime.models.onnx_settings import TokenizerSettings, broken

_JSON, _IDS = "tokenizer.json", "vocab.json"
# By type of model: the SentencePiece models of what is read and written, whose pieces have their ids in vocab.json.
_PIECES = {"m2m_100": ("sentencepiece.bpe.model", "sentencepiece.bpe.model"), "marian": ("source.spm", "target.spm")}
_OFFSET, _BYTES = 3, 256  # ByT5's special tokens, and the bytes after them
# The languages of M2M100, whose rows come after the vocabulary in this order; no file says so. Source:
# FAIRSEQ_LANGUAGE_CODES in https://github.com/huggingface/transformers, tokenization_m2m_100.py.
_M2M100 = (
    "af am ar ast az ba be bg bn br bs ca ceb cs cy da de el en es et fa ff fi fr fy ga gd gl gu ha he hi hr ht hu hy "
    "id ig ilo is it ja jv ka kk km kn ko lb lg ln lo lt lv mg mk ml mn mr ms my ne nl no ns oc or pa pl ps pt ro ru "
    "sd si sk sl so sq sr ss su sv sw ta th tl tn tr uk ur uz vi wo xh yi yo zh zu"
).split()


class _Added(msgspec.Struct):
    """What is read of a tokenizer.json: tokens that were added to the vocabulary."""

    added_tokens: list[dict[str, object]] = []


def tokenizer_of(folder: Path, model_type: str, tokenizer_class: str, num_rows: int) -> TokenizerSettings:
    """The tokenizer of a model whose embedding has `num_rows` rows.

    Raises:
        ModelFileInvalid: there is none.
    """
    if (folder / _JSON).is_file():
        return TokenizerSettings("tokenizer.json", file=_JSON)
    if model_type in _PIECES and all((folder / name).is_file() for name in (*_PIECES[model_type], _IDS)):
        source, target = _PIECES[model_type]
        unknown = _ids(folder).get("<unk>", 0)
        return TokenizerSettings("sentencepiece", source=source, target=target, vocabulary=_IDS, unk=unknown)
    if tokenizer_class == "ByT5Tokenizer" and num_rows >= _OFFSET + _BYTES:
        sentinels = num_rows - _OFFSET - _BYTES
        return TokenizerSettings("bytes", offset=_OFFSET, pad=0, eos=1, unk=2, sentinels=sentinels)
    raise broken(folder, f"has no tokenizer that is read: no {_JSON}, nor the models of a translator")


def special_tokens(folder: Path, model_type: str) -> Mapping[str, int]:
    """Ids of the tokens that stand for something, such as languages, by their text.

    Raises:
        ModelFileInvalid: the file is damaged.
    """
    path = folder / _JSON
    if path.is_file():
        try:
            added = msgspec.json.decode(path.read_bytes(), type=_Added).added_tokens
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as fault:
            raise broken(path, f"cannot be read: {fault}") from fault
        return {str(each.get("content")): row for each in added if isinstance(row := each.get("id"), int)}
    if model_type not in _PIECES or not (folder / _IDS).is_file():
        return {}
    ids = _ids(folder)
    if model_type == "m2m_100":
        return ids | {f"__{code}__": len(ids) + at for at, code in enumerate(_M2M100)}
    return ids


def _ids(folder: Path) -> dict[str, int]:
    try:
        return msgspec.json.decode((folder / _IDS).read_bytes(), type=dict[str, int])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as fault:
        raise broken(folder / _IDS, f"cannot be read: {fault}") from fault
