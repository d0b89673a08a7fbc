"""Energy counters and the machine's noise, as `demotic bench` reads them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.speed.energy import Energy
from benchmarks.speed.noise import Noise, Reading, reference_seconds


def zone(root: Path, name: str, kind: str, microjoules: int) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{kind}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text("100000000\n")
    return folder


def no_module(name: str) -> Any:
    raise ImportError(name)


def test_packages_and_memory_count_and_what_is_within_them_does_not(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 7)
    memory = zone(tmp_path, "intel-rapl:0:1", "dram", 99_000_000)
    zone(tmp_path, "intel-rapl:1", "psys", 7)
    energy = Energy.here(tmp_path, no_module)
    assert energy.read() == {"package-0": 0, "dram": 0}
    (package / "energy_uj").write_text("3500000")
    (memory / "energy_uj").write_text("1000000")  # past its end, and on from the beginning
    assert energy.read() == {"package-0": pytest.approx(2.5), "dram": pytest.approx(2)}
    assert energy.reasons == ("Energy of NVIDIA's cards is not told: nvidia-ml-py is not installed.",)


def test_memory_of_two_packages_has_two_names(tmp_path: Path) -> None:
    for package in (0, 1):
        zone(tmp_path, f"intel-rapl:{package}", f"package-{package}", 1)
        zone(tmp_path, f"intel-rapl:{package}:0", "dram", 1)
    assert list(Energy.here(tmp_path, no_module).read()) == ["package-0", "dram", "package-1", "dram#2"]


def test_a_machine_without_counters_says_why(tmp_path: Path) -> None:
    energy = Energy.here(tmp_path / "powercap", no_module)
    assert energy.read() == {}
    assert "there is no RAPL zone" in energy.reasons[0]


def test_counters_for_root_only_are_named_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 1)
    read = Path.read_text

    def refuse(self: Path, *rest: Any, **more: Any) -> str:
        if self.name == "energy_uj":
            raise PermissionError(self)
        return read(self, *rest, **more)

    monkeypatch.setattr(Path, "read_text", refuse)
    assert "by root only" in Energy.here(tmp_path, no_module).reasons[0]


def test_cards_are_read_in_joules(tmp_path: Path) -> None:
    counted = {0: 5000, 1: 7000}
    nvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: counted[handle],
    )
    energy = Energy.here(tmp_path, lambda _name: nvml)
    energy.read()
    counted[1] += 1500
    assert energy.read() == {"gpu 0": 0, "gpu 1": 1.5}


def test_a_library_without_a_driver_is_a_reason(tmp_path: Path) -> None:
    def fail() -> None:
        raise RuntimeError("Driver Not Loaded")

    energy = Energy.here(tmp_path, lambda _name: SimpleNamespace(nvmlInit=fail))
    assert energy.reasons[-1] == "Energy of NVIDIA's cards is not told: Driver Not Loaded."


def readings(seconds: float, *, busy: float, own: float, waited: float) -> tuple[Reading, Reading]:
    return Reading(0, 100, 50, 3), Reading(seconds, 100 + busy, 50 + own, 3 + waited)


def test_a_quiet_machine_gives_no_warning() -> None:
    noise = Noise(reference=[1.0, 1.02, 0.99, 1.0])
    noise.add(*readings(10, busy=20.5, own=20, waited=0.1))
    assert noise.warnings() == []


def test_other_programs_and_waiting_are_told() -> None:
    noise = Noise()
    noise.add(*readings(10, busy=25, own=20, waited=2))
    others, waited = noise.warnings()
    assert "kept 0.5 of" in others
    assert "for 20% of the time (bound: 5%)" in waited


def test_a_frequency_that_falls_is_throttling() -> None:
    noise = Noise(megahertz=[3000, 3000, 2900, 2500, 2000, 2000], reference=[1.0] * 6)
    (warning,) = noise.warnings()
    assert "by the processor's frequency it was 50% slower" in warning


def test_where_the_frequency_never_changes_the_reference_operation_counts() -> None:
    noise = Noise(megahertz=[2596.0] * 6, reference=[1.0, 1.0, 1.1, 1.2, 1.3, 1.3])
    (warning,) = noise.warnings()
    assert "by a reference operation it was 30% slower" in warning


def test_the_reference_operation_takes_a_short_while() -> None:
    assert 0.0005 < reference_seconds() < 1
