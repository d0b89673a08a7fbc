"""Threads are given up while others want the processors, and taken back when processors idle."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from pathlib import Path

from runtime.backends.llama.threads import ThreadGovernor
from runtime.hardware.contention import CpuUse, read_cpu_use


class Machine:
    """A clock and the sums the kernel would show, moved on by hand."""

    def __init__(self, most: int) -> None:
        self.now = 0.0
        self.waited = 0.0
        self.idle = 0.0
        self.reads = 0
        self.governor = ThreadGovernor(most, read=self.read, clock=lambda: self.now)
        self.governor.threads()

    def read(self) -> CpuUse:
        self.reads += 1
        return CpuUse(self.waited, self.idle)

    def after(self, seconds: float, *, waiting: float = 0.0, idling: float = 0.0) -> int:
        """Threads after so many seconds in which so many processors' worth waited and idled."""
        self.now += seconds
        self.waited += waiting * seconds
        self.idle += idling * seconds
        return self.governor.threads()


def test_a_machine_of_our_own_is_used_whole() -> None:
    machine = Machine(4)
    assert [machine.after(0.2, waiting=0.05) for _ in range(5)] == [4] * 5


def test_threads_that_wait_are_given_up_at_once_down_to_one() -> None:
    machine = Machine(8)
    assert machine.after(0.2, waiting=2.2) == 6
    assert machine.after(0.2, waiting=0.4) == 5
    assert machine.after(0.2, waiting=9.0) == 1
    assert machine.after(0.2, waiting=9.0) == 1


def test_processors_that_idle_are_taken_back_but_not_at_once() -> None:
    machine = Machine(4)
    assert machine.after(0.2, waiting=2.0) == 2
    assert machine.after(0.2, idling=2.0) == 2
    assert machine.after(0.9, idling=2.0) == 4
    assert machine.after(0.2, idling=2.0) == 4


def test_a_neighbour_that_stays_keeps_its_share() -> None:
    machine = Machine(2)
    assert machine.after(0.2, waiting=1.0) == 1
    assert [machine.after(0.5, waiting=0.0, idling=0.1) for _ in range(10)] == [1] * 10


def test_rises_that_prove_wrong_are_tried_less_and_less_often() -> None:
    machine = Machine(2)
    rises = []
    for _ in range(400):
        threads = machine.after(0.2, waiting=1.0 if machine.governor.threads() == 2 else 0.0, idling=4.0)
        if threads == 2:
            rises.append(machine.now)
    assert 3 <= len(rises) <= 7
    assert [later - earlier for earlier, later in itertools.pairwise(rises)][-1] > 16


def test_the_time_between_two_requests_is_not_judged() -> None:
    machine = Machine(2)
    assert machine.after(60.0, waiting=0.9, idling=2.0) == 2


def test_the_system_is_asked_ten_times_a_second_at_most_and_never_for_one_thread() -> None:
    machine = Machine(2)
    for _ in range(100):
        machine.after(0.01)
    assert machine.reads <= 12
    single = Machine(1)
    single.after(1.0)
    assert single.reads == 0


def test_a_system_that_tells_nothing_changes_nothing(tmp_path: Path) -> None:
    assert read_cpu_use(tmp_path) is None
    governor = ThreadGovernor(4, read=lambda: None)
    assert [governor.threads() for _ in range(3)] == [4, 4, 4]


def test_the_sums_are_read_from_the_kernels_files(tmp_path: Path) -> None:
    for thread, waited in (("10", 2_000_000_000), ("11", 500_000_000)):
        folder = tmp_path / "self" / "task" / thread
        folder.mkdir(parents=True)
        (folder / "schedstat").write_text(f"123456 {waited} 42\n")
    (tmp_path / "stat").write_text("cpu  100 0 50 30000 5 0 0 0 0 0\ncpu0 1 2 3\n")
    use = read_cpu_use(tmp_path)
    assert use is not None
    assert use.waited == 2.5
    assert use.idle > 0


def test_the_real_system_shows_when_processors_are_wanted_twice() -> None:
    before = read_cpu_use()
    if before is None:
        return  # Not Linux: nothing to follow, as the test above says.
    import os

    spinners = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(len(os.sched_getaffinity(0)))
    ]
    try:
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            pass
        after = read_cpu_use()
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()
    assert after is not None
    assert after.waited - before.waited > 0.1
