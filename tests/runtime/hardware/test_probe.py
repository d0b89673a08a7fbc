"""The probe on made-up /proc and /sys trees, and on the machine of the test."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from runtime.hardware.ggml import LlamaBuild, Outcome, parse_features, read_build, try_build
from runtime.hardware.probe import NvidiaCard, Sources, probe, run_command
from tests.runtime.hardware import cuda

GIB = 2**30
MEMINFO = """MemTotal:       16777216 kB
MemFree:         1048576 kB
MemAvailable:    8388608 kB
"""


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def topology(*places: tuple[int, int]) -> dict[str, str]:
    """Files of /sys for CPUs at these (package, core) places."""
    files: dict[str, str] = {}
    for cpu, (package, core) in enumerate(places):
        folder = f"sys/devices/system/cpu/cpu{cpu}/topology"
        files |= {f"{folder}/physical_package_id": f"{package}\n", f"{folder}/core_id": f"{core}\n"}
    return files


def no_command(command: Sequence[str], seconds: float) -> Outcome | None:
    """A machine on which no command exists."""
    return None


def answering(answers: dict[str, Outcome]) -> Callable[[Sequence[str], float], Outcome | None]:
    """A runner that knows the output of commands holding one of these words."""

    def run(command: Sequence[str], seconds: float) -> Outcome | None:
        line = " ".join(command)
        return next((outcome for word, outcome in answers.items() if word in line), None)

    return run


def sources(
    root: Path,
    *,
    system: str = "Linux",
    architecture: str = "x86_64",
    cpus: Sequence[int] = (),
    run: Callable[[Sequence[str], float], Outcome | None] = no_command,
) -> Sources:
    return Sources(
        root=root,
        system=system,
        architecture=architecture,
        affinity=lambda: frozenset(cpus),
        run=run,
        build=lambda: LlamaBuild("0.3.36"),
    )


# 8 logical CPUs on 4 cores of one package, the second thread of core n being CPU n + 4
LAPTOP = {"proc/meminfo": MEMINFO, **topology(*[(0, n % 4) for n in range(8)])}


def test_threads_of_a_core_count_once(tmp_path: Path) -> None:
    write(tmp_path, LAPTOP)
    here = probe(sources=sources(tmp_path, cpus=range(8)))
    assert (here.physical_cores, here.logical_cores, here.usable_cpus, here.usable_cores) == (4, 8, 8, 4)
    assert here.memory_installed == here.memory_total == 16 * GIB
    assert here.memory_available == 8 * GIB


def test_equal_core_numbers_in_two_packages_are_two_cores(tmp_path: Path) -> None:
    write(tmp_path, topology((0, 0), (0, 1), (1, 0), (1, 1)))
    assert probe(sources=sources(tmp_path, cpus=range(4))).physical_cores == 4


def test_affinity_to_both_threads_of_one_core_leaves_one_core(tmp_path: Path) -> None:
    write(tmp_path, LAPTOP)
    here = probe(sources=sources(tmp_path, cpus=(0, 4)))
    assert (here.usable_cpus, here.usable_cores) == (2, 1)


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "250000 100000\n"}, 2.5),
        ({"sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1.0),
        (  # the tightest of the groups above counts
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
                "sys/fs/cgroup/a/cpu.max": "300000 100000\n",
            },
            3.0,
        ),
        (  # v1
            {
                "proc/self/cgroup": "4:memory:/\n2:cpu,cpuacct:/job\n",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "200000\n",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            },
            2.0,
        ),
        (  # v1 without a limit
            {
                "proc/self/cgroup": "2:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        (  # in a container the path is the host's, and the container's own group is the top of the mount
            {
                "proc/self/cgroup": "2:cpu:/docker/0123456789ab\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            0.5,
        ),
        ({"proc/self/cgroup": "0::/../../x\n", "sys/fs/cgroup/x/cpu.max": "150000 100000\n"}, 1.5),
        ({"proc/self/cgroup": "nonsense", "sys/fs/cgroup/cpu.max": "many\n"}, None),
        ({}, None),
    ],
)
def test_cpu_quota_of(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    write(tmp_path, LAPTOP | files)
    here = probe(sources=sources(tmp_path, cpus=range(8)))
    assert here.cpu_quota == quota
    assert here.usable_cpus == (8 if quota is None else max(1, int(quota)))
    assert here.usable_cores == min(4, here.usable_cpus)


@pytest.mark.parametrize(
    ("files", "total_gib", "available_gib"),
    [
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 16, 8),
        (
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.max": f"{4 * GIB}\n",
                "sys/fs/cgroup/memory.current": f"{3 * GIB}\n",
                "sys/fs/cgroup/memory.stat": f"anon 5\ninactive_file {GIB}\nactive_file 7\n",
            },
            4,
            2,  # 3 are used, of which 1 is page cache that can go
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/a\n",
                "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 * GIB}\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GIB}\n",
            },
            2,
            1,
        ),
        (  # used above the limit, for a moment
            {"sys/fs/cgroup/memory.max": f"{GIB}\n", "sys/fs/cgroup/memory.current": f"{2 * GIB}\n"},
            1,
            0,
        ),
        ({"sys/fs/cgroup/memory.max": f"{64 * GIB}\n"}, 16, 8),
    ],
)
def test_memory_limit_of(tmp_path: Path, files: dict[str, str], total_gib: int, available_gib: int) -> None:
    write(tmp_path, LAPTOP | files)
    here = probe(sources=sources(tmp_path, cpus=range(8)))
    assert (here.memory_total, here.memory_available) == (total_gib * GIB, available_gib * GIB)
    assert here.memory_installed == 16 * GIB


def test_x86_flags_and_name(tmp_path: Path) -> None:
    text = (
        "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu sse2 avx avx2 fma f16c avx512f avx512_vnni amx_int8\n"
    )
    write(tmp_path, {"proc/cpuinfo": text})
    here = probe(sources=sources(tmp_path))
    assert here.cpu_name == "Some CPU"
    assert here.cpu_flags == ("amx_int8", "avx", "avx2", "avx512_vnni", "avx512f", "f16c", "fma")


def test_arm_flags_and_the_name_of_the_board(tmp_path: Path) -> None:
    features = "processor\t: 0\nFeatures\t: fp asimd aes asimddp sve i8mm bf16\nCPU part\t: 0xd0b\n"
    write(tmp_path, {"proc/cpuinfo": features, "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0"})
    here = probe(sources=sources(tmp_path, architecture="aarch64"))
    assert here.cpu_name == "Raspberry Pi 5 Model B Rev 1.0"
    assert here.cpu_flags == ("bf16", "dotprod", "i8mm", "neon", "sve")


def test_macos_is_read_through_sysctl(tmp_path: Path) -> None:
    output = (
        "machdep.cpu.brand_string: Apple M2\n"
        "hw.optional.arm.FEAT_DotProd: 1\nhw.optional.arm.FEAT_I8MM: 1\nhw.optional.arm.FEAT_BF16: 0\n"
    )
    run = answering({"sysctl": Outcome(0, output)})
    here = probe(sources=sources(tmp_path, system="Darwin", architecture="arm64", run=run))
    assert here.cpu_name == "Apple M2"
    assert here.cpu_flags == ("dotprod", "i8mm", "neon")


@pytest.mark.parametrize("system", ["Linux", "Darwin", "FreeBSD", ""])
@pytest.mark.parametrize("full", [False, True])
def test_an_empty_tree_without_commands_still_gives_a_machine(tmp_path: Path, system: str, full: bool) -> None:
    here = probe(full=full, sources=sources(tmp_path, system=system))
    assert 1 <= here.usable_cores <= here.usable_cpus <= here.logical_cores
    assert 0 < here.memory_available <= here.memory_total
    assert here.cpu_flags == ()
    assert here.nvidia_cards == ()


def test_nvidia_smi_gives_the_cards(tmp_path: Path) -> None:
    rows = "NVIDIA GeForce RTX 4090, 24564, 23000, 550.54.15, 8.9\nNVIDIA T4, [N/A], [N/A], 550.54.15, 7.5\n"
    here = probe(full=True, sources=sources(tmp_path, run=answering({"nvidia-smi": Outcome(0, rows)})))
    mib = 2**20
    assert here.nvidia_cards == (
        NvidiaCard("NVIDIA GeForce RTX 4090", 24564 * mib, 23000 * mib, "550.54.15", "8.9"),
        NvidiaCard("NVIDIA T4", 0, 0, "550.54.15", "7.5"),
    )


def test_the_toolkit_is_found_where_it_is_installed_even_if_it_is_not_on_the_path(tmp_path: Path) -> None:
    told = Outcome(0, "Cuda compilation tools, release 12.4, V12.4.131\n")
    for compiler in ("nvcc", "/usr/local/cuda/bin/nvcc"):
        here = probe(full=True, sources=sources(tmp_path, run=answering({compiler: told})))
        assert here.cuda_toolkit == "12.4"
    assert probe(full=True, sources=sources(tmp_path, run=answering({}))).cuda_toolkit == ""


def test_only_the_full_probe_lets_cards_compute(tmp_path: Path) -> None:
    tried: list[Sequence[str]] = []

    def run(command: Sequence[str], _seconds: float) -> Outcome | None:
        tried.append(command)
        return Outcome(0, "CUDA0 does not start\n") if "runtime.hardware.trial" in command else None

    build = LlamaBuild("0.3.36", devices=(cuda(23, 24),))
    here = dataclasses.replace(sources(tmp_path, run=run), build=lambda: build)
    assert probe(full=True, sources=here).llama.card_fault == "CUDA0 does not start"
    tried.clear()
    assert probe(sources=here).llama.card_fault == "" and not tried


def test_an_old_nvidia_smi_is_asked_without_compute_capability(tmp_path: Path) -> None:
    answers = {
        "compute_cap": Outcome(2, 'Field "compute_cap" is not a valid field to query.'),
        "nvidia-smi": Outcome(0, "Tesla K80, 11441, 11000, 470.256.02\n"),
    }
    here = probe(full=True, sources=sources(tmp_path, run=answering(answers)))
    assert here.nvidia_cards == (NvidiaCard("Tesla K80", 11441 * 2**20, 11000 * 2**20, "470.256.02", ""),)


def test_the_kernel_module_gives_the_cards_where_nvidia_smi_is_missing_or_fails(tmp_path: Path) -> None:
    version = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\n"
    information = "Model: \t\t NVIDIA H200\nIRQ:   \t\t 77\n"
    write(
        tmp_path,
        {
            "proc/driver/nvidia/version": version,
            "proc/driver/nvidia/gpus/0000:01:00.0/information": information,
        },
    )
    for run in (no_command, answering({"nvidia-smi": Outcome(9, "couldn't communicate with the NVIDIA driver")})):
        here = probe(full=True, sources=sources(tmp_path, run=run))
        assert here.nvidia_cards == (NvidiaCard("NVIDIA H200", driver_version="580.95.05"),)


def test_the_light_probe_runs_no_command_and_imports_no_onnxruntime() -> None:
    code = (
        "import sys; from runtime.hardware.probe import Sources, probe\n"
        "def run(command, seconds): raise AssertionError(command)\n"
        "here = probe(sources=Sources(system='Linux', run=run))\n"
        "assert here.llama.devices, here\n"
        "assert not {'onnxruntime', 'subprocess'} & (set(sys.modules) - before), sorted(sys.modules)\n"
    )
    code = "import sys, llama_cpp; before = set(sys.modules)\n" + code
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_this_machine() -> None:
    here = probe(full=True)
    assert 1 <= here.usable_cores <= here.usable_cpus <= here.logical_cores
    assert here.usable_cores <= here.physical_cores <= here.logical_cores
    assert 0 < here.memory_available <= here.memory_total <= here.memory_installed
    assert here.llama.version
    assert not here.llama.fault
    assert any(device.backend == "CPU" and device.type == "cpu" for device in here.llama.devices)
    assert all(device.name and device.memory_total for device in here.llama.devices)
    assert here.onnxruntime is not None
    assert "CPUExecutionProvider" in here.onnxruntime.providers


def test_the_features_of_other_backends_are_not_the_processors() -> None:
    info = "CUDA : ARCHS = 750,800 | USE_GRAPHS = 1 | CPU : SSE3 = 1 | AVX2 = 1 | AVX512 = 0 | OPENMP = 1 | "
    assert parse_features(info) == ("SSE3", "AVX2", "OPENMP")
    assert parse_features("") == ()


def test_a_build_that_cannot_be_imported_is_a_fault_not_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    assert "cannot be imported" in read_build().fault


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("pass", ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "illegal instruction"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "signal 11"),
        ("raise OSError('libcudart.so.12 is missing')", "OSError: libcudart.so.12 is missing"),
    ],
)
def test_a_build_that_ends_its_process_is_tried_in_another(tmp_path: Path, code: str, fault: str) -> None:
    def run(command: Sequence[str], seconds: float) -> Outcome | None:
        return run_command([command[0], "-c", code], seconds)

    assert fault in try_build(run)
    here = probe(full=True, sources=sources(tmp_path, run=run))
    assert bool(here.llama.fault) == bool(fault)


def test_a_command_that_is_missing_or_too_slow_has_no_outcome() -> None:
    assert run_command(["/nowhere/to-be-found"], 1.0) is None
    assert run_command([sys.executable, "-c", "import time; time.sleep(60)"], 0.2) is None
