"""A folder that an export made, as it is read again: its settings, its manifest, and its tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece
import tokenizers

from converters.bytes import encode_bytes
from converters.onnx.settings import FORMAT, SETTINGS_FILE
from converters.probes import DECLARATION
from runtime.errors import ConversionRefused, ModelNotFound, UnknownLanguage
from runtime.language.codes import parse
from runtime.models.onnx_folder import MANIFEST_FILE


@dataclass(frozen=True)
class Artefact:
    """What is in the folder: `settings` is demotic.json, `manifest` manifest.json, `graphs` the files by their role."""

    folder: Path
    settings: Mapping[str, Any]
    manifest: Mapping[str, Any]
    graphs: Mapping[str, Path]

    @property
    def writes(self) -> bool:
        """Whether it gives text."""
        return self.settings["shape"] in {"decoder", "encoder-decoder"}

    def languages(self) -> list[str]:
        """Languages of the corpus that it is said to be for, in the corpus's names; none where nothing is said."""
        settings = self.settings.get("languages") or {}
        named = [*(settings.get("codes") or {}), *(self.manifest.get("languages") or ())]
        return list(dict.fromkeys(name for name in map(language_of, named) if name in DECLARATION))

    def code_of(self, language: str) -> int | None:
        """The id of the token that names a language of the corpus; None where the model has none for it."""
        codes = (self.settings.get("languages") or {}).get("codes") or {}
        return next((row for code, row in codes.items() if language_of(code) == language), None)


# The ids of a text, with what belongs around it but no language.
Encode = Callable[[str], list[int]]


def language_of(code: str) -> str | None:
    """A model's own code of a language, such as bg_BG, as the corpus has it; None where it is none."""
    try:
        return str(parse(code))
    except UnknownLanguage:
        return None


def open_artefact(folder: Path) -> Artefact:
    """Read what is in a folder.

    Raises:
        ModelNotFound: there is no such folder.
        ConversionRefused: an export did not make it, or it is damaged.
    """
    if not folder.is_dir():
        raise ModelNotFound(str(folder), remedy="Make one: demotic convert SOURCE --to onnx.")
    settings, manifest = _read(folder / SETTINGS_FILE), _read(folder / MANIFEST_FILE)
    if settings is None or manifest is None:
        raise ConversionRefused(
            f"{folder} is no folder that demotic exported: it has no {SETTINGS_FILE} with a {MANIFEST_FILE}.",
            remedy="Make one of the checkpoint: demotic convert SOURCE --to onnx.",
        )
    if settings.get("format") != FORMAT:
        raise ConversionRefused(f"{folder} has settings in format {settings.get('format')}, {FORMAT} is known.")
    try:
        graphs = {role: folder / name for role, name in settings["graphs"].items()}
    except (KeyError, AttributeError, TypeError) as fault:
        raise ConversionRefused(
            f"{folder / SETTINGS_FILE} does not name the graphs.", remedy="Export again."
        ) from fault
    if missing := [path.name for path in graphs.values() if not path.is_file()]:
        raise ConversionRefused(f"{folder} lacks {', '.join(missing)}.", remedy="Export again.")
    return Artefact(folder, settings, manifest, graphs)


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise ConversionRefused(f"{path} is damaged: {fault}.", remedy="Export again.") from fault
    return values if isinstance(values, dict) else None


def encode_of(artefact: Artefact) -> Encode:
    """How an artefact's tokenizer reads a text.

    Raises:
        ConversionRefused: its files are damaged.
    """
    settings, folder = artefact.settings["tokenizer"], artefact.folder
    try:
        match settings["kind"]:
            case "bytes":
                return lambda text: encode_bytes(text, adds_end=True)
            case "sentencepiece":
                return _of_pieces(settings, folder, artefact.settings["tokens"]["eos"][0])
            case _:
                return _of_json(folder / "tokenizer.json", artefact)
    except Exception as fault:  # tokenizers and sentencepiece raise what they like
        raise ConversionRefused(f"The tokenizer of {folder} cannot be read: {fault}", remedy="Export again.") from fault


def _of_json(path: Path, artefact: Artefact) -> Encode:
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    codes = set(((artefact.settings.get("languages") or {}).get("codes") or {}).values())
    return lambda text: [row for row in tokenizer.encode(text).ids if row not in codes]


def _of_pieces(settings: Mapping[str, Any], folder: Path, end: int) -> Encode:
    ids: dict[str, int] = json.loads((folder / settings["vocabulary"]).read_text(encoding="utf-8"))
    source = sentencepiece.SentencePieceProcessor(model_file=str(folder / settings["source"]))
    return lambda text: [*(ids.get(piece, settings["unk"]) for piece in source.encode(text, out_type=str)), end]
