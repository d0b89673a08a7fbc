"""The chat template of a model with another tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from converters.adapt.transplant.vocabulary import Vocabulary
from converters.checkpoint import Checkpoint
from converters.special_tokens import chat_templates

_FILE, _OTHERS, _SETTINGS = "chat_template.jinja", "chat_template.json", "tokenizer_config.json"
_KEY = "tokenizer.chat_template"


def template_for(
    checkpoint: Checkpoint, old: Vocabulary, new: Vocabulary, files: Mapping[str, Path | str], notes: list[str]
) -> dict[str, str]:
    """The file with the model's own template, where the tokenizer has none and knows all tokens that it writes."""
    template = chat_templates(checkpoint).get(_KEY)
    if not isinstance(template, str) or _has_template(files):
        return {}
    written = [name for token in sorted(old.added) if (name := old.names[token]) and name in template]
    if unknown := [name for name in written if name not in new.ids]:
        shown = ", ".join(unknown[:5])
        notes.append(f"The model's chat template is left out: the new tokenizer lacks {shown}, which it writes.")
        return {}
    return {_FILE: template}


def _has_template(files: Mapping[str, Path | str]) -> bool:
    if _FILE in files or _OTHERS in files:
        return True
    settings = files.get(_SETTINGS, "{}")
    text = settings.read_text(encoding="utf-8") if isinstance(settings, Path) else settings
    return bool(json.loads(text).get("chat_template"))
