"""What demotic.json tells of a folder of ONNX graphs; docs/onnx.md describes each entry.

`converters/onnx/settings.py` writes the file. Folders that other programs made have none: their settings are made from
what they do have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from runtime.errors import ModelFileInvalid, UnsupportedArchitecture
from runtime.models.encoding import Problem
from runtime.models.name import SETTINGS_FILE, is_safe_file

FORMAT = 1
# Rows of vocabularies, widths and so on: beyond what any model has.
_MOST = 2**24
_MAX_BYTES = 2**20

Shape = Literal["encoder", "pooled-decoder", "encoder-decoder", "decoder"]
Task = Literal[
    "features", "fill-mask", "classify", "token-classify", "question-answering", "reward", "translate", "text2text",
    "generate",
]  # fmt: skip
# The task of one of transformers' encoders, by how the name of its class ends.
HEADS: dict[str, Task] = {
    "ForMaskedLM": "fill-mask",
    "ForSequenceClassification": "classify",
    "ForTokenClassification": "token-classify",
    "ForQuestionAnswering": "question-answering",
}


@dataclass(frozen=True)
class Sizes:
    """Rows of the embedding and width of the hidden states; with a cache its layers, heads, and the size of one."""

    vocabulary: int
    width: int
    layers: int = 0
    heads: int = 0
    head_size: int = 0


@dataclass(frozen=True)
class Marks:
    """Ids of the tokens that stand for something; those that a model has."""

    pad: int | None = None
    bos: int | None = None
    eos: tuple[int, ...] = ()
    decoder_start: int | None = None
    forced_bos: int | None = None
    forced_eos: int | tuple[int, ...] | None = None
    mask: int | None = None


@dataclass(frozen=True)
class TokenizerSettings:
    """Which kind of tokenizer there is, in which files, and what these do not say.

    file: of the kind "tokenizer.json", and the SHA-256 of it where it is told.
    source, target, vocabulary, unk: of "sentencepiece": models of what is read and written, their ids, and the id of
        what has none.
    offset, pad, eos, sentinels: of "bytes". `unk` is there, too.
    """

    kind: Literal["tokenizer.json", "sentencepiece", "bytes"]
    file: str = "tokenizer.json"
    sha256: str | None = None
    source: str = ""
    target: str = ""
    vocabulary: str = ""
    unk: int = 0
    offset: int = 0
    pad: int = 0
    eos: int = 0
    sentinels: int = 0

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it is in."""
        match self.kind:
            case "tokenizer.json":
                return (self.file,)
            case "sentencepiece":
                return (self.source, self.target, self.vocabulary)
        return ()


@dataclass(frozen=True)
class Languages:
    """The languages of a translator.

    codes: the id of each.
    source: what is read: "source" and "target" are languages, "text" the ids of a text, numbers are ids.
    target: where the language of the answer goes besides: "forced_bos", the first token that is written;
        "decoder_start", the token before it; "in_source", nowhere but into `source`.
    """

    codes: Mapping[str, int]
    source: tuple[str | int, ...]
    target: Literal["forced_bos", "decoder_start", "in_source"]


@dataclass(frozen=True)
class Settings:
    """All that is known of the graphs in a folder. `inputs` and `outputs` are by the name of the graph.

    layout: whose graphs they are; those of optimum that write text are given the names that stand here by
        `runtime/backends/onnx/optimum.py`.
    first: of an encoder-decoder of optimum's, the graph that computes the keys and values of a source.
    """

    task: Task
    shape: Shape
    architecture: str
    graphs: Mapping[str, str]
    inputs: Mapping[str, tuple[str, ...]]
    outputs: Mapping[str, tuple[str, ...]]
    sizes: Sizes
    tokenizer: TokenizerSettings
    tokens: Marks = Marks()
    max_length: int | None = None
    labels: tuple[str, ...] = ()
    problem_type: Problem | None = None
    pooling: Literal["mean", "cls", "last"] | None = None
    global_attention: Literal["first", "question", "none"] | None = None
    languages: Languages | None = None
    generation: Mapping[str, Any] = field(default_factory=dict)
    layout: Literal["demotic", "optimum"] = "demotic"
    first: str | None = None
    format: int = FORMAT


def read_settings(folder: Path) -> Settings:
    """The settings of a folder, each held against what a model can have.

    Raises:
        ModelFileInvalid: they cannot be read, break a rule of the format, or name files that are not there.
        UnsupportedArchitecture: they are of a later format.
    """
    path = folder / SETTINGS_FILE
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise broken(path, f"is larger than {_MAX_BYTES >> 20} MiB")
        data = path.read_bytes()
    except OSError as fault:
        raise broken(path, f"cannot be read: {fault.strerror}") from fault
    try:
        version = msgspec.json.decode(data, type=dict[str, Any]).get("format")
        if isinstance(version, int) and version > FORMAT:
            raise UnsupportedArchitecture(
                f"{path} is of format {version}; this demotic knows {FORMAT}.", remedy="Install a newer demotic."
            )
        settings = msgspec.json.decode(data, type=Settings)
    except (msgspec.MsgspecError, UnicodeDecodeError) as fault:
        raise broken(path, f"breaks the format: {fault}") from fault
    if settings.format != FORMAT:
        raise broken(path, f"is of format {settings.format}, which there is not")
    check_settings(settings, folder)
    return settings


def check_settings(settings: Settings, folder: Path) -> None:
    """Refuse settings that contradict themselves or name files outside `folder`, or that are not there.

    Raises:
        ModelFileInvalid: they do.
    """
    path = folder / SETTINGS_FILE if settings.layout == "demotic" else folder
    wanted = {"encoder", "decoder"} if settings.shape == "encoder-decoder" else {"model"}
    if set(settings.graphs) != wanted or set(settings.inputs) != wanted or set(settings.outputs) != wanted:
        raise broken(path, f"names {', '.join(settings.graphs) or 'no'} graphs, where {settings.shape} has {wanted}")
    first = (settings.first,) if settings.first is not None else ()
    for name in (*settings.graphs.values(), *first, *settings.tokenizer.files):
        if not is_safe_file(name):
            raise broken(path, f"names {name!r:.80}, which is no file in the folder")
        if not (folder / name).is_file():
            raise broken(folder, f"has no {name}, which its settings name")
    sizes, tokens = settings.sizes, settings.tokens
    counts = {"vocabulary": sizes.vocabulary, "width": sizes.width}
    if settings.shape in {"decoder", "encoder-decoder"}:
        counts |= {"layers": sizes.layers, "heads": sizes.heads, "head_size": sizes.head_size}
    if settings.max_length is not None:
        counts["max_length"] = settings.max_length
    for what, count in counts.items():
        if not 0 < count < _MOST:
            raise broken(path, f"has {count} as '{what}'")
    forced = tokens.forced_eos if isinstance(tokens.forced_eos, tuple) else (tokens.forced_eos,)
    codes = settings.languages.codes.values() if settings.languages is not None else ()
    ids = (tokens.pad, tokens.bos, *tokens.eos, tokens.decoder_start, tokens.forced_bos, *forced, tokens.mask, *codes)
    for token in ids:
        # Some checkpoints have a padding token of -1, which stands for none.
        if token is not None and token != -1 and not 0 <= token < sizes.vocabulary:
            raise broken(path, f"names token {token}, where the embedding has {sizes.vocabulary} rows")
    if settings.task in {"classify", "token-classify"} and not settings.labels:
        raise broken(path, f"has no labels, which '{settings.task}' needs")
    if settings.task == "features" and settings.pooling is None:
        raise broken(path, "does not say how vectors are pooled")


def broken(path: Path, fault: str) -> ModelFileInvalid:
    """Make the error whose sentence is the path and `fault`."""
    return ModelFileInvalid(f"{path} {fault}.", remedy="Export the model anew: demotic convert SOURCE --to onnx.")
