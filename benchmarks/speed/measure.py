"""Ways to run models in turns: each is loaded anew for every repetition, and does all jobs then."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from benchmarks.speed.asking import Sample, ask_together, prompt_of
from benchmarks.speed.energy import Energy
from benchmarks.speed.memory import PeakMemory
from benchmarks.speed.noise import Noise, Reading
from benchmarks.speed.plan import Job, SpeedPlan, Variant
from runtime.commands.interrupt import Interrupt
from runtime.errors import Cancelled, DemoticError
from runtime.hardware.plan import Plan
from runtime.hardware.probe import Machine
from runtime.model import Model, start_as

_WARM_UP_TOKENS = 4
_SEEDS_APART = 1 << 10  # more than a batch has sequences


@dataclass
class Measured:
    """All that was measured of one way to run a model; one loading, and one sample a job, for each repetition."""

    variant: Variant
    used: Plan
    loads: list[float] = field(default_factory=list)
    memory_before: list[int] = field(default_factory=list)
    memory_peak: list[int] = field(default_factory=list)
    card_memory_peak: list[int] = field(default_factory=list)
    samples: dict[Job, list[Sample]] = field(default_factory=dict)


@dataclass
class Run:
    """One `demotic bench`: what it measured, what it had to leave out, and how noisy it was."""

    plan: SpeedPlan
    machine: Machine
    interrupt: Interrupt
    on_step: Callable[[str], None] = lambda _name: None
    measured: list[Measured] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    noise: Noise = field(default_factory=Noise)
    energy: Energy = field(default_factory=Energy.here)

    def measure(self, variants: Sequence[Variant]) -> None:
        """Measure all of `variants` in turns, forwards and backwards, until done or interrupted.

        Raises:
            DemoticError: none of them can be run; the reason of the first. Where others can, it is left out.
        """
        first_fault: DemoticError | None = None
        for variant in variants:
            try:
                planned = variant.plan(self.machine, self.plan.limits)
            except DemoticError as error:
                first_fault = first_fault or error
                self.left_out.append(str(error))
            else:
                self.measured.append(Measured(variant, planned))
        if not self.measured and first_fault is not None:
            raise first_fault
        self.noise.note_speed()
        for repetition in range(self.plan.repetitions):
            turn = list(self.measured)
            for one in turn if repetition % 2 == 0 else turn[::-1]:
                try:
                    with suppress(Cancelled):  # Ctrl-C while it loads
                        self._once(one, repetition)
                except DemoticError as error:
                    self._drop(one, error)
                if self.interrupt.is_set:
                    return
            self.noise.note_speed()

    def _drop(self, failed: Measured, error: DemoticError) -> None:
        """Go on without a way that cannot be run."""
        self.measured.remove(failed)
        if not self.measured:
            raise error
        self.left_out.append(f"{failed.variant.name}: {error}")

    def _once(self, one: Measured, repetition: int) -> None:
        with PeakMemory() as memory:
            started = time.perf_counter()
            # Loading anew says how long it takes, and no state of one way is left for the next.
            with start_as(
                one.variant.card, one.used, self.plan.limits, lambda _share: not self.interrupt.is_set
            ) as model:
                one.loads.append(time.perf_counter() - started)
                one.used = model.plan  # a card that had less room than it said has fewer layers
                self._do_jobs(model, one, repetition)
        one.memory_before.append(memory.before)
        one.memory_peak.append(memory.peak)
        one.card_memory_peak.append(memory.card_peak)

    def _do_jobs(self, model: Model, one: Measured, repetition: int) -> None:
        jobs = [job for job in self.plan.jobs if self._has_room(one, job, is_first=repetition == 0)]
        for number in range(self.plan.warm_up):
            text = prompt_of(model, min(self.plan.prompt_tokens), 1 + number)
            if ask_together(model, [text], _WARM_UP_TOKENS, self.interrupt) is None:
                return
            self.on_step(one.variant.name)
        for place, job in list(enumerate(jobs))[:: 1 if repetition % 2 == 0 else -1]:
            # The same prompts for every model and on every machine, and never one twice.
            first_seed = (1 + repetition * len(self.plan.jobs) + place) * _SEEDS_APART
            prompts = [prompt_of(model, job.prompt_tokens, first_seed + each) for each in range(job.batch)]
            before, joules = Reading.now(), self.energy.read()
            sample = ask_together(model, prompts, job.output_tokens, self.interrupt)
            after, joules_after = Reading.now(), self.energy.read()
            if sample is None:
                return
            self.noise.add(before, after)
            spent = {name: value - joules[name] for name, value in joules_after.items() if name in joules}
            one.samples.setdefault(job, []).append(dataclasses.replace(sample, joules=spent))
            self.on_step(one.variant.name)

    def _has_room(self, one: Measured, job: Job, *, is_first: bool) -> bool:
        if job.batch <= one.used.max_sequences:
            return True
        if is_first:
            line = (
                f"{one.variant.name}: {job.batch} sequences at once; it has room for {one.used.max_sequences} "
                f"in a context of {one.used.context_length} tokens."
            )
            if line not in self.left_out:
                self.left_out.append(line)
        return False
