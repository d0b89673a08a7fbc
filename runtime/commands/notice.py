"""What a person is told before a model is used for the first time."""

from __future__ import annotations

import sys

from runtime.models.store import ModelFile, Store


def tell_licence(store: Store, file: ModelFile) -> None:
    """Name the licence of a model on standard error, once a model."""
    if file.license and store.first_use(file):
        where = f" ({file.entry.license_url})" if file.entry else ""
        print(f"{file.name} is licensed under {file.license}{where}.", file=sys.stderr)  # noqa: T201
