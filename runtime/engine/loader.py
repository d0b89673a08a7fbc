"""How the models of a server are planned and started, each in a process of its own."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from runtime.card import ModelCard
from runtime.config import EngineConfig, WorkerConfig
from runtime.engine.messages import Load
from runtime.engine.remote import WorkerClient
from runtime.hardware.plan import Plan
from runtime.hardware.probe import Machine, probe
from runtime.model import Model
from runtime.models.adapter import AdapterFiles
from runtime.models.store import ModelFile


class WorkerLoader:
    """`runtime.engine.pool.Loader` over files, by the names that they are served as."""

    def __init__(
        self,
        files: Mapping[str, ModelFile],
        limits: EngineConfig,
        config: WorkerConfig | None = None,
        adapters: AdapterFiles | None = None,
        prefix_dir: Path | None = None,
    ) -> None:
        """`prefix_dir` is where the workers save prefixes; None: nowhere."""
        self._files = files
        self._adapters = adapters or AdapterFiles()
        self._limits = limits
        self._prefix_dir = os.fsencode(prefix_dir.absolute()) if prefix_dir is not None else None
        self._config = config or WorkerConfig()

    def read(self, name: str) -> ModelCard:
        """Read and check the file's header anew: it may have changed since the model was loaded before.

        Raises:
            ModelFileInvalid, UnsupportedArchitecture: the file cannot be run.
        """
        return ModelCard.read(self._files[name])

    def plan(self, card: ModelCard, *, spare_bytes: int = 0) -> Plan:
        """How to run the model now, or if so many bytes more of memory were free, on cards too.

        Raises:
            ModelLoadFailed: the machine cannot hold it.
        """
        return card.plan(_with_spare(probe(), spare_bytes), self._limits)

    def start(self, card: ModelCard, plan: Plan, progress: Callable[[float], bool]) -> Model:
        """Load the model into a new process, and the adapters given for it and those of bundles on it.

        Raises as `WorkerClient` does.
        """
        limits = self._limits
        file = os.fsencode(card.file.path.absolute())
        load = Load(
            file, plan, limits.max_waiting, limits.max_draft, limits.max_answer, card.encoding, self._prefix_dir
        )
        client = WorkerClient(card.name, load, self._config, progress=progress)
        model = Model(card, client.plan, client)
        try:
            for adapter, path in self._adapters.given.get(card.name, {}).items():
                model.attach(path, adapter)
            for key, path in self._adapters_of_bundles(card):
                if key not in model.adapters:
                    model.attach(path, key)
        except BaseException:
            model.close()
            raise
        return model

    def adapters(self, name: str) -> tuple[str, ...]:
        """Names of the adapters that a model may be asked for; a bundle has its own, and none besides."""
        return () if self._files[name].bundle is not None else tuple(self._adapters.of(name))

    def attach(self, model: Model, adapter: str) -> None:
        """Load an adapter that the model does not have yet: that of its bundle, if it is in one.

        Raises:
            AdapterNotFound: there is none of that name.
            ModelFileInvalid, ModelLoadFailed: it does not fit the model.
        """
        bundle = model.card.bundle
        own = bundle.adapter if bundle is not None and bundle.adapter_key == adapter else None
        model.attach(own or self._adapters.find(model.name, adapter), adapter)

    def _adapters_of_bundles(self, card: ModelCard) -> Iterator[tuple[str, Path]]:
        """Those of bundles that are run with the file of `card`, by their names in the worker."""
        for file in self._files.values():
            bundle = file.bundle if file.path == card.file.path else None
            if bundle is not None and bundle.adapter is not None and bundle.adapter_key is not None:
                yield bundle.adapter_key, bundle.adapter


def _with_spare(machine: Machine, spare: int) -> Machine:
    devices = tuple(
        dataclasses.replace(device, memory_free=min(device.memory_total, device.memory_free + spare))
        for device in machine.llama.devices
    )
    return dataclasses.replace(
        machine,
        memory_available=min(machine.memory_total, machine.memory_available + spare),
        llama=dataclasses.replace(machine.llama, devices=devices),
    )
