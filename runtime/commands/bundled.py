"""What is told of a bundle beside what its model says."""

from __future__ import annotations

from pathlib import Path

from runtime.models.bundles import Bundle
from runtime.models.gguf_format import parse
from runtime.models.header import Header


def bundle_facts(bundle: Bundle, model: Header) -> dict[str, object]:
    """All that the recipe tells, and the figures of its evaluation; `model` is what it is run with."""
    recipe, defaults = bundle.recipe, bundle.recipe.defaults
    shown = {**defaults.options(), **({"system": defaults.system} if defaults.system else {})}
    return {
        "title": recipe.description or recipe.name,
        "source": f"bundle: {bundle.origin.source}",
        "size_bytes": bundle.size_bytes,
        "base": recipe.base.reference,
        "base_size_bytes": recipe.base.size,
        "adapter": None if bundle.adapter is None else _adapter(bundle.adapter, model),
        "vocabulary": None if recipe.vocabulary is None else f"{recipe.vocabulary.rows:,} rows",
        "has_own_template": recipe.template is not None,
        "has_chat_template": recipe.template is not None or model.chat_template is not None,
        "defaults": shown or None,
        "evaluation": bundle.evaluation or None,
    }


def _adapter(path: Path, model: Header) -> str:
    file = parse(path)
    adapter = Header(path, file.version, file.alignment, file.metadata, file.tensors, file.file_size)
    share = adapter.parameter_count / model.parameter_count
    return f"{adapter.parameter_count:,} parameters, {share:.3%} of the model's"
