"""Where the pieces of a SentencePiece model stand in a vocabulary, and which tokens stand beside them.

No file says that: it is in the code of the tokenizers' classes, and written down here for those of Llama, T5 and
XLM-RoBERTa. Source: the files tokenization_*.py of https://github.com/huggingface/transformers, version 4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from converters.checkpoint import Checkpoint
from converters.config import Config
from runtime.errors import ConversionRefused

# By class of tokenizer, else by type of model.
_KINDS: dict[str, Literal["llama", "t5", "xlm-roberta"]] = {
    "LlamaTokenizer": "llama", "GemmaTokenizer": "llama", "T5Tokenizer": "t5", "MT5Tokenizer": "t5",
    "XLMRobertaTokenizer": "xlm-roberta",
    "llama": "llama", "mistral": "llama", "gemma": "llama", "gemma2": "llama", "gemma3_text": "llama",
    "t5": "t5", "mt5": "t5", "xlm-roberta": "xlm-roberta",
}  # fmt: skip
_T5_EXTRA_IDS = 100


@dataclass(frozen=True)
class Pieces:
    """The pieces of a model: texts, and the numbers of those that begin, end and stand for what is unknown, or -1."""

    texts: list[str]
    bos: int
    eos: int
    unk: int


@dataclass(frozen=True)
class Added:
    """A token that is looked for in the text itself."""

    text: str
    row: int
    is_special: bool
    takes_space_before: bool = False


@dataclass(frozen=True)
class Layout:
    """A vocabulary: the row of each piece, rows that are no pieces, tokens added, and what stands around a text."""

    row_of_piece: list[int]
    others: dict[int, str] = field(default_factory=dict)
    added: list[Added] = field(default_factory=list)
    before: list[int] = field(default_factory=list)
    after: list[int] = field(default_factory=list)


def layout_of(checkpoint: Checkpoint, pieces: Pieces) -> Layout:
    """The layout that the class of a checkpoint's tokenizer has.

    Raises:
        ConversionRefused: the class is not known.
    """
    settings = Config(checkpoint.json("tokenizer_config.json"), str(checkpoint.folder / "tokenizer_config.json"))
    named = settings.text("tokenizer_class", default=checkpoint.config.text("tokenizer_class", default=""))
    kind = _KINDS.get(named.removesuffix("Fast") or checkpoint.config.text("model_type", default=""))
    size = len(pieces.texts)
    added = _added(checkpoint, settings)
    match kind:
        case "llama":
            before = [pieces.bos] if settings.flag("add_bos_token", default=True) else []
            after = [pieces.eos] if settings.flag("add_eos_token", default=False) else []
            return Layout(list(range(size)), {}, added, _known(before), _known(after))
        case "t5":
            if not any(each.text == "<extra_id_0>" for each in added):
                extra = settings.integer("extra_ids", default=_T5_EXTRA_IDS)
                added += [Added(f"<extra_id_{at}>", size + extra - 1 - at, is_special=True) for at in range(extra)]
            return Layout(list(range(size)), {}, sorted(added, key=lambda each: each.row), [], [pieces.eos])
        case "xlm-roberta":
            # fairseq's rows: <s>, <pad>, </s>, <unk>, then the pieces that are words, then <mask>.
            rows = [3 if piece in {pieces.unk, pieces.bos, pieces.eos} else piece + 1 for piece in range(size)]
            first = {0: "<s>", 1: "<pad>", 2: "</s>", 3: "<unk>"}
            marks = [Added(text, row, is_special=True) for row, text in first.items()]
            marks.append(Added("<mask>", size + 1, is_special=True, takes_space_before=True))
            known = {each.row for each in marks}
            return Layout(rows, first, [*marks, *(each for each in added if each.row not in known)], [0], [2])
    raise ConversionRefused(
        f"{checkpoint.folder} has a SentencePiece model, but its vocabulary is laid out as a "
        f"'{named or checkpoint.config.text('model_type', default='class without a name')}' knows, which demotic does "
        "not.",
        remedy="Give the checkpoint a tokenizer.json: transformers' save_pretrained writes one.",
    )


def _known(pieces: list[int]) -> list[int]:
    return [piece for piece in pieces if piece >= 0]


def _added(checkpoint: Checkpoint, settings: Config) -> list[Added]:
    """Tokens that were added to a vocabulary after it was trained, by row."""
    found: list[Added] = []
    for row, entry in settings.section("added_tokens_decoder").values.items():
        match entry:
            case {"content": str(text)} if row.isdecimal():
                found.append(
                    Added(text, int(row), bool(entry.get("special")), takes_space_before=bool(entry.get("lstrip")))
                )
    if not found:
        special = _special_texts(checkpoint)
        for text, number in checkpoint.json("added_tokens.json").items():
            if isinstance(number, int):
                found.append(Added(text, number, text in special))
    return sorted(found, key=lambda each: each.row)


def _special_texts(checkpoint: Checkpoint) -> set[str]:
    values: list[Any] = []
    for file in ("special_tokens_map.json", "tokenizer_config.json"):
        for name, value in checkpoint.json(file).items():
            if name == "additional_special_tokens" and isinstance(value, list):
                values += value
            elif name.endswith("_token"):
                values.append(value)
    texts = [value.get("content") if isinstance(value, dict) else value for value in values]
    return {text for text in texts if isinstance(text, str)}
