"""Which models fit this machine: it is probed once, and each model is planned for."""

from __future__ import annotations

from dataclasses import asdict

from runtime.errors import ModelFileInvalid
from runtime.hardware.fit import Fit, fit_of, fit_of_size
from runtime.hardware.probe import Machine, probe
from runtime.models.catalog import CatalogEntry
from runtime.models.encoding import encoding_of
from runtime.models.inspect import read_header
from runtime.models.store import ModelFile, Offer


class Fitting:
    """Tells of models whether they fit `machine` (None: this one), as the field `fit` of a JSON document."""

    def __init__(self, machine: Machine | None = None) -> None:
        self._machine = machine or probe()

    def of_file(self, model: ModelFile) -> dict[str, object]:
        """A model of this machine; one that is not assembled yet is planned for by its size."""
        if not model.path.is_file() and model.entry is not None:
            return self.of_entry(model.entry)
        try:
            header = read_header(model.path)
            return _field(fit_of(self._machine, header.shape(), encoding_of(header)))
        except ModelFileInvalid as fault:
            return _field(Fit(False, is_estimate=False, reason=str(fault)))

    def of_entry(self, entry: CatalogEntry) -> dict[str, object]:
        """A model of the catalogue that is not here."""
        file, size = entry.file or "", entry.size
        return _field(fit_of_size(self._machine, file=file, size_bytes=size, parameters=entry.parameters))

    def of_offer(self, offer: Offer) -> dict[str, object]:
        """A file of the hub."""
        parameters = offer.entry.parameters if offer.entry is not None else None
        return _field(
            fit_of_size(self._machine, file=offer.file.path, size_bytes=offer.file.size, parameters=parameters)
        )


def _field(fit: Fit) -> dict[str, object]:
    return {"fit": asdict(fit)}
