"""What a checkpoint's model card says that belongs into an artefact: licence, languages, base model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converters.checkpoint import Origin

if TYPE_CHECKING:
    from converters.architectures.base import Value

CARD_FILE = "README.md"


@dataclass(frozen=True)
class Card:
    """The facts of a card; `languages` and `base_models` as the card writes them."""

    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    languages: tuple[str, ...] = ()
    base_models: tuple[str, ...] = ()

    def metadata(self) -> dict[str, Value]:
        """Its entries in a GGUF."""
        texts = {"": self.license, ".name": self.license_name, ".link": self.license_link}
        entries: dict[str, Value] = {f"general.license{part}": text for part, text in texts.items() if text}
        if self.languages:
            entries["general.languages"] = self.languages
        if self.base_models:
            entries["general.base_model.count"] = len(self.base_models)
        for index, model in enumerate(self.base_models):
            organization, _, name = model.rpartition("/")
            entries[f"general.base_model.{index}.name"] = name
            if organization:
                entries[f"general.base_model.{index}.organization"] = organization
                entries[f"general.base_model.{index}.repo_url"] = f"https://huggingface.co/{model}"
        return entries

    def as_markdown(self) -> str:
        """A card that says the same, and where the rest is told."""
        values = {
            "license": self.license,
            "license_name": self.license_name,
            "license_link": self.license_link,
            "language": list(self.languages),
            "base_model": list(self.base_models),
        }
        # A line of JSON is a value of YAML too, and quotes what YAML would take for something else ("no").
        lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items() if value]
        return "\n".join(["---", *lines, "---", "", "Made by demotic; manifest.json tells of what.", ""])


def read_card(folder: Path, origin: Origin) -> Card:
    """The card in a folder; without one, what the hub says of the licence."""
    values = _front_matter(folder / CARD_FILE)
    license_text = values.get("license")
    return Card(
        license=str(license_text) if isinstance(license_text, str) else origin.license,
        license_name=_text(values.get("license_name")),
        license_link=_text(values.get("license_link")),
        languages=_texts(values.get("language")),
        base_models=_texts(values.get("base_model")),
    )


def _front_matter(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    from huggingface_hub import metadata_load
    from yaml import YAMLError  # type: ignore[import-untyped]  # comes with huggingface_hub, without types

    try:
        values = metadata_load(path)
    except (ValueError, OSError, YAMLError):  # a card that no tool reads says nothing
        return {}
    return values if isinstance(values, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _texts(value: Any) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    return tuple(each for each in listed if isinstance(each, str) and each.strip())
