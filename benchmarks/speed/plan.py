"""What to measure: jobs of some lengths and batches, and the ways to run a model that take turns."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

from runtime.card import ModelCard
from runtime.config import EngineConfig
from runtime.errors import InvalidRequest
from runtime.hardware.plan import Plan
from runtime.hardware.probe import Machine
from runtime.hardware.room import KVType

KV_TYPES: tuple[KVType, ...] = get_args(KVType)
# Of a sequence, at least: the shortest context that the runtime gives out for each of its slots.
_LEAST_CELLS = 256
# Prompts may come out a little longer than asked for, where a model's tokenizer adds tokens of its own.
_SLACK = 16


@dataclass(frozen=True)
class Job:
    """`batch` sequences at once: prompts of about so many tokens, each with an answer of exactly so many."""

    kind: Literal["prompt", "generation"]
    batch: int
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class SpeedPlan:
    """What to measure of each model, and how often.

    threads, kv_types, devices: where there are none, what the machine's plan says.
    warm_up: requests after each loading that do not count. left_out: what a shorter plan does not measure, in words.
    """

    prompt_tokens: tuple[int, ...] = (64, 512)
    output_tokens: tuple[int, ...] = (64,)
    batches: tuple[int, ...] = (1,)
    threads: tuple[int, ...] = ()
    kv_types: tuple[KVType, ...] = ()
    devices: tuple[str, ...] = ()
    repetitions: int = 5
    warm_up: int = 1
    left_out: tuple[str, ...] = ()

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Prompts of each length, and answers of each length after the shortest prompt, at each batch."""
        return tuple(
            [Job("prompt", batch, length, 1) for batch in self.batches for length in self.prompt_tokens]
            + [
                Job("generation", batch, min(self.prompt_tokens), length)
                for batch in self.batches
                for length in self.output_tokens
            ]
        )

    @property
    def num_steps(self) -> int:
        """Jobs, and those that warm up, that one way to run a model gets."""
        return self.repetitions * (self.warm_up + len(self.jobs))

    @property
    def limits(self) -> EngineConfig:
        """An engine with room for the longest job."""
        longest = max(job.prompt_tokens + job.output_tokens for job in self.jobs) + _SLACK
        most = max(self.batches)
        default = EngineConfig()
        return dataclasses.replace(
            default,
            max_context=max(2 * _LEAST_CELLS, most * max(longest, _LEAST_CELLS)),
            max_sequences=most,
            max_waiting=max(default.max_waiting, most),
            # How fast tokens are guessed says more about the text than about the machine.
            max_draft=0,
        )


QUICK = SpeedPlan(
    prompt_tokens=(64, 256),
    output_tokens=(32,),
    batches=(1, 4),
    repetitions=3,
    left_out=("--quick leaves out prompts of 512 tokens, answers of 64, and two of five repetitions.",),
)


@dataclass(frozen=True)
class Variant:
    """A model and how to run it; None is what the machine's plan says."""

    card: ModelCard
    device: str | None = None
    kv_type: KVType | None = None
    threads: int | None = None

    @property
    def name(self) -> str:
        """The model, and what was asked for."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads" if self.threads else None
        return ", ".join(one for one in (self.card.name, self.device, self.kv_type, threads) if one is not None)

    def plan(self, machine: Machine, limits: EngineConfig) -> Plan:
        """How the model is run.

        Raises:
            InvalidRequest: the machine has not what was asked for.
            ModelLoadFailed: it has no room.
        """
        planned = self.card.plan(_with_device(machine, self.device, self.card), limits)
        if self.kv_type is not None and planned.provider is not None and self.kv_type != planned.kv_type:
            raise InvalidRequest(
                f"{self.name}: ONNX graphs keep keys and values as {planned.kv_type}.", param="kv_type"
            )
        if self.threads is not None and not 1 <= self.threads <= machine.usable_cpus:
            raise InvalidRequest(
                f"{self.name}: {machine.usable_cpus} CPUs can be used; more threads would wait for each other.",
                param="threads",
            )
        return dataclasses.replace(
            planned,
            kv_type=self.kv_type or planned.kv_type,
            threads=self.threads or planned.threads,
            threads_batch=self.threads or planned.threads_batch,
        )


def variants_of(cards: Sequence[ModelCard], plan: SpeedPlan) -> list[Variant]:
    """The cross product of models, devices, KV types and threads."""
    return [
        Variant(*combination)
        for combination in product(cards, plan.devices or (None,), plan.kv_types or (None,), plan.threads or (None,))
    ]


def _with_device(machine: Machine, device: str | None, card: ModelCard) -> Machine:
    """`machine` as if it had only that device, and the processor that all of them need."""
    if device is None:
        return machine
    build, graphs = machine.llama, machine.onnxruntime
    is_graphs = card.file.path.is_dir()
    there = ["cpu", *(one.backend.lower() for one in build.devices if one.type in {"gpu", "igpu"})]
    if is_graphs and graphs is not None:
        there = ["cpu", *(["cuda"] if "CUDAExecutionProvider" in graphs.providers and machine.nvidia_cards else [])]
    if device not in there:
        builder = "onnxruntime" if is_graphs else "llama.cpp build"
        raise InvalidRequest(
            f"{card.name}: this {builder} finds no device '{device}' here, only {', '.join(dict.fromkeys(there))}.",
            remedy="Run `demotic doctor`, which says what is missing.",
            param="devices",
        )
    devices = tuple(one for one in build.devices if one.type == "cpu" or one.backend.lower() == device)
    if graphs is not None and device == "cpu":
        graphs = dataclasses.replace(graphs, providers=("CPUExecutionProvider",))
    return dataclasses.replace(machine, llama=dataclasses.replace(build, devices=devices), onnxruntime=graphs)
