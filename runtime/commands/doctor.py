"""`demotic doctor`: what this machine has, what a model would use of it, and what to mend."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from runtime.commands.exported import exported_facts
from runtime.config import EngineConfig
from runtime.errors import ModelLoadFailed
from runtime.hardware.advice import Advice, advise
from runtime.hardware.choice import plan_for, plan_for_folder
from runtime.hardware.fingerprint import fingerprint
from runtime.hardware.plan import Plan
from runtime.hardware.probe import Machine, probe
from runtime.models.encoding import encoding_of
from runtime.models.inspect import ModelShape, read_header
from runtime.models.onnx_folder import read_folder

TYPICAL_NAME = "a typical small model (Qwen3-0.6B, Q8_0)"
TYPICAL_SHAPE = ModelShape(
    architecture="qwen3",
    size_bytes=639_446_688,
    parameter_count=596_049_920,
    context_length=40_960,
    embedding_length=1024,
    block_count=28,
    head_count=16,
    head_counts_kv=(8,) * 28,
    key_length=128,
    value_length=128,
    vocabulary_size=151_936,
    sliding_window=0,
)


def doctor(model: Path | None, *, as_json: bool, machine: Machine | None = None) -> None:
    """Print the machine, the plan for a model with its reasons, warnings, and the commands that mend them.

    Args:
        model: a GGUF, or a folder of graphs; None plans for a typical small model and says so.
        as_json: one JSON document on standard output instead of tables.
        machine: the machine to judge; None for this one.

    Raises:
        ModelFileInvalid: the model's header or settings cannot be read.
    """
    here = machine or probe(full=True)
    name, facts, planned = _model(model, here)
    chosen, refusal = _plan(planned)
    found = advise(here)
    if as_json:
        document = {
            "machine": dataclasses.asdict(here),
            "fingerprint": fingerprint(here),
            "model": {"name": name, "path": str(model) if model else None, **facts},
            "plan": dataclasses.asdict(chosen) if chosen else None,
            "plan_error": refusal or None,
            "warnings": [dataclasses.asdict(advice) for advice in found],
        }
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
        return
    console = Console(highlight=False)
    console.print(_machine_table(here))
    console.print(_plan_table(chosen, name) if chosen else Text(f"No plan for {name}. {refusal}"))
    _print_advice(console, found)


def _model(path: Path | None, machine: Machine) -> tuple[str, dict[str, Any], Callable[[], Plan]]:
    """What a model is called, what it says of itself, and what plans for it."""
    limits = EngineConfig()
    if path is not None and path.is_dir():
        folder = read_folder(path)
        return folder.name, exported_facts(folder), lambda: plan_for_folder(machine, folder, limits)
    header = read_header(path) if path else None
    shape, encoding = (header.shape(), encoding_of(header)) if header else (TYPICAL_SHAPE, None)
    name = header.name if header else TYPICAL_NAME
    return name, dataclasses.asdict(shape), lambda: plan_for(machine, shape, limits, encoding)


def _plan(planned: Callable[[], Plan]) -> tuple[Plan | None, str]:
    try:
        return planned(), ""
    except ModelLoadFailed as refusal:
        return None, str(refusal)


def _machine_table(machine: Machine) -> Table:
    quota = "" if machine.cpu_quota is None else f", the cgroup allows {machine.cpu_quota:g} CPUs"
    llama, onnx = machine.llama, machine.onnxruntime
    rows = [
        ("System", f"{machine.system} on {machine.architecture}"),
        ("Processor", machine.cpu_name),
        ("Cores", f"{machine.physical_cores} physical, {machine.logical_cores} logical"),
        ("can be used", f"{machine.usable_cpus} CPUs on {machine.usable_cores} cores{quota}"),
        ("Instructions", ", ".join(machine.cpu_flags) or "unknown"),
        ("Memory", _memory(machine)),
        ("llama.cpp", llama.fault or f"llama-cpp-python {llama.version}"),
        ("compiled for", ", ".join(llama.cpu_features) or "unknown"),
    ]
    rows += [
        (
            f"device {d.name}",
            f"{d.description} ({d.backend}), {_size(d.memory_free)} of {_size(d.memory_total)} free, "
            + (llama.card_fault or "computes as it should"),
        )
        for d in llama.devices
        if d.type != "cpu"
    ]
    rows += [("NVIDIA card", _card(machine, index)) for index in range(len(machine.nvidia_cards))]
    if machine.nvidia_cards:
        rows.append(("CUDA toolkit", machine.cuda_toolkit or "not found"))
    rows.append(("onnxruntime", f"{onnx.version}: {', '.join(onnx.providers)}" if onnx else "not installed"))
    table = Table(title="This machine", title_justify="left", show_header=False)
    table.add_column("what", style="bold", no_wrap=True)
    table.add_column("value", overflow="fold")
    for what, value in rows:
        table.add_row(what, Text(value))
    return table


def _memory(machine: Machine) -> str:
    text = f"{_size(machine.memory_available)} of {_size(machine.memory_total)} available"
    if machine.memory_total < machine.memory_installed:
        text += f" (the cgroup's limit; {_size(machine.memory_installed)} installed)"
    return text


def _card(machine: Machine, index: int) -> str:
    card = machine.nvidia_cards[index]
    parts = [card.name]
    if card.memory_total:
        parts.append(f"{_size(card.memory_free)} of {_size(card.memory_total)} free")
    if card.driver_version:
        parts.append(f"driver {card.driver_version}")
    if card.compute_capability:
        parts.append(f"compute capability {card.compute_capability}")
    return ", ".join(parts)


def _plan_table(chosen: Plan, name: str) -> Table:
    table = Table(title=Text(f"Plan for {name}"), title_justify="left")
    table.add_column("setting", style="bold", no_wrap=True)
    table.add_column("value", no_wrap=True)
    table.add_column("why", overflow="fold")
    for setting, why in chosen.reasons.items():
        value = getattr(chosen, setting)
        if isinstance(value, bool):
            shown = "on" if value else "off"
        else:
            shown = _size(value) if setting == "estimated_bytes" else str(value)
        table.add_row(setting, shown, Text(why))
    return table


def _print_advice(console: Console, found: tuple[Advice, ...]) -> None:
    if not found:
        console.print("Nothing to mend: the installed builds suit this machine.")
        return
    console.print("Warnings", style="bold")
    for advice in found:
        console.print(Text(f"- {advice.message}"))
    if any(advice.commands for advice in found):
        console.print("Remedies", style="bold")
    # Whole lines, however narrow the terminal: they are there to be copied.
    for line in dict.fromkeys(command for advice in found for command in advice.commands):
        console.print(Text(f"  {line}"), soft_wrap=True)


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.0f} MiB"
