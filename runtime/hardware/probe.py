"""What is here: processor, memory and their limits, the llama.cpp build, and on request cards and onnxruntime.

`probe()` is part of every start and stays light; `probe(full=True)` is `demotic doctor`'s and may start other programs.
A reading that is not to be had leaves its field empty; nothing here raises.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import platform
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runtime.errors import ModelLoadFailed
from runtime.hardware.ggml import LlamaBuild, Outcome, Runner, read_build, try_build, try_cards

# Names of the kernel (x86, then ARM) and of Darwin's sysctl, and what they are called here.
_FLAG_NAMES = {
    "avx": "avx", "avx2": "avx2", "fma": "fma", "f16c": "f16c", "bmi2": "bmi2", "avx512f": "avx512f",
    "avx512_vnni": "avx512_vnni", "avx_vnni": "avx_vnni", "amx_int8": "amx_int8", "avx512_bf16": "bf16",
    "asimd": "neon", "neon": "neon", "asimddp": "dotprod", "sve": "sve", "i8mm": "i8mm", "bf16": "bf16",
    "avx1.0": "avx", "feat_dotprod": "dotprod", "feat_i8mm": "i8mm", "feat_bf16": "bf16", "advsimd": "neon",
}  # fmt: skip
_NVIDIA_FIELDS = ("name", "memory.total", "memory.free", "driver_version", "compute_cap")
_MIB = 1024 * 1024
# cgroup v1 writes "no limit" as the largest multiple of the page size
_NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class NvidiaCard:
    """An NVIDIA card, whether or not any build can use it. Memory in bytes; what is not known is 0 or empty."""

    name: str
    memory_total: int = 0
    memory_free: int = 0
    driver_version: str = ""
    compute_capability: str = ""


@dataclass(frozen=True)
class OnnxBuild:
    """The onnxruntime that is installed, with its execution providers, best first."""

    version: str
    providers: tuple[str, ...]


@dataclass(frozen=True)
class Machine:
    """A machine as this process may use it. Memory in bytes.

    `usable_cpus` counts what affinity and the cgroup's quota leave, `usable_cores` the physical cores among them;
    `memory_total` and `memory_available` have the cgroup's limit applied, `memory_installed` has not.
    `nvidia_cards`, `cuda_toolkit` (its version, "" where there is none) and `onnxruntime` are read by the full probe
    only.
    """

    system: str
    architecture: str
    cpu_name: str
    physical_cores: int
    logical_cores: int
    usable_cpus: int
    usable_cores: int
    memory_installed: int
    memory_total: int
    memory_available: int
    cpu_flags: tuple[str, ...] = ()
    cpu_quota: float | None = None
    llama: LlamaBuild = field(default_factory=LlamaBuild)
    nvidia_cards: tuple[NvidiaCard, ...] = ()
    onnxruntime: OnnxBuild | None = None
    cuda_toolkit: str = ""


def run_command(command: Sequence[str], seconds: float) -> Outcome | None:
    """Run a command for at most so many seconds; its output and errors come back together."""
    import subprocess

    try:
        done = subprocess.run(  # noqa: S603 - the commands are constants of this package
            list(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return Outcome(done.returncode, done.stdout.decode("utf-8", "replace"))


def read_affinity() -> frozenset[int]:
    """Numbers of the CPUs that this process may run on; empty where the system does not say."""
    if not hasattr(os, "sched_getaffinity"):
        return frozenset()
    return frozenset(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Sources:
    """Where readings come from: `/proc` and `/sys` below `root`, and commands. Tests give a made-up tree."""

    root: Path = Path("/")
    system: str = field(default_factory=platform.system)
    architecture: str = field(default_factory=platform.machine)
    affinity: Callable[[], frozenset[int]] = read_affinity
    run: Runner = run_command
    build: Callable[[], LlamaBuild] = read_build

    def text(self, path: str | Path) -> str:
        """Text of a file below the root, 64 KiB at most; "" when it is not there."""
        try:
            with (self.root / path).open("rb") as file:
                return file.read(64 * 1024).decode("utf-8", "replace").strip("\0\n ")
        except OSError:
            return ""

    def number(self, path: str | Path) -> int | None:
        """The whole number in a file below the root; None when there is none."""
        text = self.text(path)
        return int(text) if re.fullmatch(r"-?\d{1,20}", text) else None


def probe(*, full: bool = False, sources: Sources | None = None) -> Machine:
    """Read the machine.

    `full` adds NVIDIA cards, the CUDA toolkit and onnxruntime, and tries llama.cpp in child processes: whether it can
    be loaded at all, and whether the cards that it sees compute.
    """
    here = sources or Sources()
    physical, logical, usable, cores = _count_cpus(here)
    quota = _cpu_quota(here)
    if quota is not None:
        usable = min(usable, max(1, int(quota)))
    installed, available = _host_memory(here)
    limit, left = _memory_limit(here)
    name, flags = _identify_cpu(here)
    fault = try_build(here.run) if full else ""
    return Machine(
        system=here.system,
        architecture=here.architecture,
        cpu_name=name,
        physical_cores=physical,
        logical_cores=logical,
        usable_cpus=usable,
        usable_cores=min(cores, usable),
        memory_installed=installed,
        memory_total=min(installed, limit),
        memory_available=max(0, min(available, left)),
        cpu_flags=flags,
        cpu_quota=quota,
        llama=LlamaBuild(version=_version_of("llama_cpp_python"), fault=fault) if fault else _build(here, full=full),
        nvidia_cards=_nvidia_cards(here) if full else (),
        onnxruntime=_onnxruntime() if full else None,
        cuda_toolkit=_cuda_toolkit(here) if full else "",
    )


def with_onnxruntime(machine: Machine, sources: Sources | None = None) -> Machine:
    """`machine` with its onnxruntime, and with its cards where that could use them; as it is where they were read.

    Raises:
        ModelLoadFailed: onnxruntime is not installed, or does not start.
    """
    build = machine.onnxruntime or _onnxruntime()
    if build is None:
        raise ModelLoadFailed(
            "onnxruntime, which runs ONNX graphs, cannot be imported.", remedy="Run `pip install onnxruntime`."
        )
    has_cuda = "CUDAExecutionProvider" in build.providers
    cards = machine.nvidia_cards or (_nvidia_cards(sources or Sources()) if has_cuda else ())
    return dataclasses.replace(machine, onnxruntime=build, nvidia_cards=cards)


def _build(here: Sources, *, full: bool) -> LlamaBuild:
    build = here.build()
    has_card = any(device.type in {"gpu", "igpu"} for device in build.devices)
    return dataclasses.replace(build, card_fault=try_cards(here.run)) if full and has_card else build


def with_cards(machine: Machine, sources: Sources | None = None) -> Machine:
    """`machine` with its NVIDIA cards, which a light probe leaves out."""
    return dataclasses.replace(machine, nvidia_cards=machine.nvidia_cards or _nvidia_cards(sources or Sources()))


def _count_cpus(here: Sources) -> tuple[int, int, int, int]:
    """Physical cores, logical cores, usable CPUs, and physical cores among the usable."""
    folder = here.root / "sys/devices/system/cpu"
    places: dict[int, tuple[int | None, int | None]] = {}
    for cpu in folder.glob("cpu[0-9]*") if folder.is_dir() else ():
        topology = cpu / "topology"
        place = here.number(topology / "physical_package_id"), here.number(topology / "core_id")
        if place[1] is not None and cpu.name[3:].isdigit():
            places[int(cpu.name[3:])] = place
    allowed = here.affinity()
    if places:
        usable = allowed & places.keys() or places.keys()
        return len(set(places.values())), len(places), len(usable), len({places[cpu] for cpu in usable})
    logical = os.cpu_count() or 1
    physical = logical
    if here.system != "Linux":
        import psutil

        physical = psutil.cpu_count(logical=False) or logical
    usable_cpus = len(allowed) or logical
    return physical, logical, usable_cpus, min(physical, usable_cpus)


def _host_memory(here: Sources) -> tuple[int, int]:
    rows = re.findall(r"^(\w+):\s+(\d+) kB$", here.text("proc/meminfo"), re.MULTILINE)
    sizes = {name: int(kib) * 1024 for name, kib in rows}
    if "MemTotal" in sizes:
        return sizes["MemTotal"], sizes.get("MemAvailable", sizes.get("MemFree", 0))
    import psutil

    memory = psutil.virtual_memory()
    return memory.total, memory.available


def _cgroups(here: Sources, controller: str) -> Iterator[Path]:
    """Folders of the cgroups that bind this process, its own first and then those above it, v1 and v2 alike."""
    mount = Path("sys/fs/cgroup")
    for line in (here.text("proc/self/cgroup") or f"0::/\n1:{controller}:/").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        # In a container the path may be the host's, which is not mounted here: then only the mount's top exists.
        parts = [part for part in path.split("/") if part not in {"", ".."}]
        for base in (controllers, controller) if controllers else ("", "unified"):
            for depth in range(len(parts), -1, -1):
                yield mount.joinpath(base, *parts[:depth])


def _cpu_quota(here: Sources) -> float | None:
    quotas = []
    for group in _cgroups(here, "cpu"):
        quota, period = here.number(group / "cpu.cfs_quota_us"), here.number(group / "cpu.cfs_period_us")
        if unified := re.fullmatch(r"(\d+) (\d+)", here.text(group / "cpu.max")):
            quota, period = int(unified[1]), int(unified[2])
        if quota and period and quota > 0:
            quotas.append(quota / period)
    return min(quotas, default=None)


def _memory_limit(here: Sources) -> tuple[int, int]:
    """The tightest cgroup limit, and the least that any leaves; the page cache it can drop counts as left."""
    limits = [(_NO_LIMIT, _NO_LIMIT)]
    for group in _cgroups(here, "memory"):
        for limit_name, usage_name, cache_name in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit = here.number(group / limit_name)
            if limit is None or limit >= _NO_LIMIT:
                continue
            cache = re.search(rf"^{cache_name} (\d+)$", here.text(group / "memory.stat"), re.MULTILINE)
            usage = (here.number(group / usage_name) or 0) - int(cache[1] if cache else 0)
            limits.append((limit, limit - max(0, usage)))
    return min(limit for limit, _ in limits), min(left for _, left in limits)


def _identify_cpu(here: Sources) -> tuple[str, tuple[str, ...]]:
    if here.system == "Darwin":
        done = here.run(["sysctl", "machdep.cpu", "hw.optional"], 2.0)
        fields = dict(re.findall(r"^([\w.]+): (.*)$", done.output if done else "", re.MULTILINE))
        words = [name.rpartition(".")[2] for name, value in fields.items() if value == "1"]
        words += f"{fields.get('machdep.cpu.features', '')} {fields.get('machdep.cpu.leaf7_features', '')}".split()
        words += ["neon"] if here.architecture == "arm64" else []
        name = fields.get("machdep.cpu.brand_string", "")
    else:
        fields = dict(re.findall(r"^([^\n:]+?)[\t ]*: (.*)$", here.text("proc/cpuinfo"), re.MULTILINE))
        words = f"{fields.get('flags', '')} {fields.get('Features', '')}".split()
        name = fields.get("model name") or here.text("proc/device-tree/model") or fields.get("Model", "")
    found = {_FLAG_NAMES[word.lower()] for word in words if word.lower() in _FLAG_NAMES}
    return name.strip() or here.architecture, tuple(sorted(found))


def _nvidia_cards(here: Sources) -> tuple[NvidiaCard, ...]:
    # compute_cap is not known to drivers before 510: ask again without it
    for columns in (_NVIDIA_FIELDS, _NVIDIA_FIELDS[:-1]):
        done = here.run(["nvidia-smi", f"--query-gpu={','.join(columns)}", "--format=csv,noheader,nounits"], 5.0)
        if done is not None and done.code == 0:
            rows = [[cell.strip() for cell in row.split(",")] for row in done.output.splitlines()]
            return tuple(_card_of(row) for row in rows if len(row) == len(columns))
    version = re.search(r"Module.*?\s(\d{3,}(?:\.\d+)+)", here.text("proc/driver/nvidia/version"))
    folder = here.root / "proc/driver/nvidia/gpus"
    models = [
        re.search(r"^Model:\s*(.+)$", here.text(gpu / "information"), re.MULTILINE)
        for gpu in (sorted(folder.iterdir()) if folder.is_dir() else ())
    ]
    driver = version[1] if version else ""
    return tuple(NvidiaCard(found[1].strip() if found else "NVIDIA", driver_version=driver) for found in models)


def _cuda_toolkit(here: Sources) -> str:
    for compiler in ("nvcc", "/usr/local/cuda/bin/nvcc"):
        done = here.run([compiler, "--version"], 5.0)
        if done is not None and (found := re.search(r"release (\d+\.\d+)", done.output)):
            return found[1]
    return ""


def _card_of(row: list[str]) -> NvidiaCard:
    sizes = [int(cell) * _MIB if cell.isdigit() else 0 for cell in row[1:3]]
    texts = ["" if cell.startswith("[") else cell for cell in [row[0], *row[3:], ""]]
    return NvidiaCard(texts[0], sizes[0], sizes[1], texts[1], texts[2])


def _onnxruntime() -> OnnxBuild | None:
    try:
        onnxruntime = importlib.import_module("onnxruntime")
    except (ImportError, OSError, RuntimeError):
        return None
    return OnnxBuild(onnxruntime.__version__, tuple(onnxruntime.get_available_providers()))


def _version_of(distribution: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
