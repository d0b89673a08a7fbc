"""The decoder of a Gemma 3 that also sees images: the published sizes from 4B on."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

from converters.architectures.gemma import Gemma3
from converters.config import Config

# Where the decoder's tensors are, by the version of transformers that saved them.
_PREFIXES = {
    "language_model.model.": "model.",
    "model.language_model.": "model.",
    "language_model.lm_head.": "lm_head.",
}


class Gemma3Multimodal(Gemma3):
    """Its text: images are left out."""

    classes: ClassVar[tuple[str, ...]] = ("Gemma3ForConditionalGeneration",)
    ignored = (*Gemma3.ignored, "vision_tower.", "multi_modal_projector.")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.notes.append("Only text is read: what the checkpoint knows of images is left out.")

    @cached_property
    def config(self) -> Config:
        """The decoder's section; published ones name only what differs from transformers' defaults."""
        from transformers import Gemma3TextConfig

        section = self.checkpoint.config.section("text_config")
        return Config(Gemma3TextConfig(**section.values).to_dict(), section.where)

    def canonical(self, name: str) -> str:
        """See `Architecture.canonical`."""
        for stored, usual in _PREFIXES.items():
            if name.startswith(stored):
                return usual + name.removeprefix(stored)
        return super().canonical(name)
