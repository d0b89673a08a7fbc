"""What is wrong with an installation for its machine, and the exact commands that mend it.

Prebuilt CUDA wheels: https://abetlen.github.io/llama-cpp-python/whl/<tag>, Linux on x86-64 only, any Python 3; the
tags and the card generations in them are those of llama-cpp-python's build-wheels-cuda.yaml. Least drivers: CUDA
toolkit release notes, table "CUDA Toolkit and Corresponding Driver Versions".
"""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass

from runtime.hardware.probe import Machine, NvidiaCard

WHEEL_INDEX = "https://abetlen.github.io/llama-cpp-python/whl"

# tag, least major driver version, least compute capability; best first. The CUDA 12 wheels also carry PTX, which newer
# cards translate. A driver from 525 on runs all of CUDA 12, one from 450 on CUDA 11.
_CUDA_WHEELS = (
    ("cu132", 595, 7.5),
    ("cu130", 580, 7.5),
    ("cu125", 555, 6.0),
    ("cu124", 550, 6.0),
    ("cu123", 545, 6.0),
    ("cu122", 535, 6.0),
    ("cu121", 525, 6.0),
    ("cu118", 450, 6.0),
)
_LEAST_DRIVER = 450
# A driver runs programs of its own major version of CUDA, and of older ones: least driver, CUDA.
_DRIVER_CUDA = ((580, 13), (525, 12), (450, 11))

# A feature in llama_print_system_info, and the processor's flag that it needs.
_FEATURE_FLAGS = {
    "AVX": "avx", "AVX2": "avx2", "FMA": "fma", "F16C": "f16c", "BMI2": "bmi2", "AVX512": "avx512f",
    "AVX512_VNNI": "avx512_vnni", "AVX512_BF16": "bf16", "AVX_VNNI": "avx_vnni", "AMX_INT8": "amx_int8",
    "NEON": "neon", "DOTPROD": "dotprod", "MATMUL_INT8": "i8mm", "SVE": "sve",
}  # fmt: skip
# Those whose absence costs speed. Half-width VNNI is no loss where the AVX-512 form is used.
_FAST_FEATURES = (
    "AVX2", "FMA", "F16C", "AVX512", "AVX512_VNNI", "AVX_VNNI", "AMX_INT8", "DOTPROD", "MATMUL_INT8", "SVE",
)  # fmt: skip
# A cgroup that leaves less than this share of the machine is worth a word.
_SMALL_SHARE = 0.5


@dataclass(frozen=True)
class Advice:
    """One warning. `topic` is a stable key; each of `commands` is a whole line for a POSIX shell."""

    topic: str
    message: str
    commands: tuple[str, ...] = ()


def advise(machine: Machine, *, python: str = sys.executable) -> tuple[Advice, ...]:
    """List what keeps this machine from its best, worst first; `python` is the interpreter the commands name."""
    pip = f"{shlex.quote(python)} -m pip"
    found = (
        _broken_build(machine, pip),
        _foreign_instructions(machine, pip),
        _cuda_missing(machine, pip),
        _cuda_failing(machine, pip),
        _toolkit_too_new(machine),
        _unused_instructions(machine, pip),
        _onnx_without_cuda(machine, pip),
        _few_cpus(machine),
        _little_memory(machine),
    )
    return tuple(advice for advice in found if advice is not None)


def choose_cuda_wheel(driver_version: str, compute_capability: str) -> str | None:
    """The tag of the newest prebuilt CUDA wheel that this driver and card can run; None when none can.

    A card whose capability is unknown gets no CUDA 13 wheel, since that lacks the generations before Turing.
    """
    driver = _number(driver_version) or 0
    capability = _number(compute_capability) or 6.0
    return next((tag for tag, least, card in _CUDA_WHEELS if driver >= least and capability >= card), None)


def driver_cuda(driver_version: str) -> int | None:
    """The newest major version of CUDA that a driver runs; None where it runs none, or is not known."""
    driver = _number(driver_version) or 0
    return next((cuda for least, cuda in _DRIVER_CUDA if driver >= least), None)


def _broken_build(machine: Machine, pip: str) -> Advice | None:
    fault = machine.llama.fault
    if not fault:
        return None
    return Advice("llama-build-broken", f"llama.cpp cannot be used: {fault}.", (_rebuild(machine, pip),))


def _foreign_instructions(machine: Machine, pip: str) -> Advice | None:
    flags = set(machine.cpu_flags)
    foreign = [f for f in machine.llama.cpu_features if f in _FEATURE_FLAGS and _FEATURE_FLAGS[f] not in flags]
    if not flags or not foreign:
        return None
    message = f"llama.cpp was compiled for {', '.join(foreign)}, which this processor lacks: it may end at any moment."
    return Advice("cpu-features-missing", message, (_rebuild(machine, pip),))


def _unused_instructions(machine: Machine, pip: str) -> Advice | None:
    used, flags = set(machine.llama.cpu_features), set(machine.cpu_flags)
    unused = [name for name in _FAST_FEATURES if _FEATURE_FLAGS[name] in flags and name not in used]
    if "AVX512_VNNI" in used and "AVX_VNNI" in unused:
        unused.remove("AVX_VNNI")
    if not used or not unused:
        return None
    message = f"The processor has {', '.join(unused)}, which this llama.cpp build does not use."
    return Advice("cpu-features-unused", f"{message} A build of your own is faster.", (_rebuild(machine, pip),))


def _cuda_missing(machine: Machine, pip: str) -> Advice | None:
    if not machine.nvidia_cards or machine.llama.fault or _is_for_cuda(machine):
        return None
    card = _oldest(machine)
    message = f"The machine has an NVIDIA card ({card.name}), but this llama.cpp build cannot use it."
    driver = _number(card.driver_version)
    if driver is not None and driver < _LEAST_DRIVER:
        message += f" Its driver {card.driver_version} is too old for any CUDA wheel: install {_LEAST_DRIVER} or newer."
        return Advice("cuda-build-missing", message)
    how, commands = _cuda_builds(machine, pip)
    return Advice("cuda-build-missing", f"{message} {how}", commands)


def _cuda_failing(machine: Machine, pip: str) -> Advice | None:
    """A build for CUDA that sees no card, or whose card does not compute."""
    if not machine.nvidia_cards or machine.llama.fault or not _is_for_cuda(machine):
        return None
    fault = machine.llama.card_fault
    if _has_cuda(machine) and not fault:
        return None
    card = _oldest(machine)
    what = f"but {fault}" if fault else "but it finds none that it can start"
    message = f"llama.cpp was built for CUDA and the machine has an NVIDIA card ({card.name}), {what}."
    if (cuda := driver_cuda(card.driver_version)) is not None:
        message += f" The driver {card.driver_version} runs CUDA {cuda} and older."
    how, commands = _cuda_builds(machine, pip)
    return Advice("cuda-build-fails", f"{message} {how}", commands)


def _toolkit_too_new(machine: Machine) -> Advice | None:
    toolkit = _number(machine.cuda_toolkit)
    if not machine.nvidia_cards or toolkit is None:
        return None
    card = _oldest(machine)
    cuda = driver_cuda(card.driver_version)
    if cuda is None or int(toolkit) <= cuda:
        return None
    least = next((driver for driver, major in reversed(_DRIVER_CUDA) if major >= int(toolkit)), None)
    newer = f"install a driver from {least} on, or" if least else "install a newer driver, or"
    message = f"The CUDA toolkit here is {machine.cuda_toolkit}, but the driver {card.driver_version} runs CUDA {cuda}"
    return Advice("cuda-toolkit-too-new", f"{message}: what is compiled with it will not start; {newer} CUDA {cuda}.")


def _cuda_builds(machine: Machine, pip: str) -> tuple[str, tuple[str, ...]]:
    """How to get a build for these cards, in a sentence and as commands, the best one first."""
    card = _oldest(machine)
    cards = {_number(each.compute_capability) for each in machine.nvidia_cards} - {None}
    targets = ";".join(str(round(capability * 10)) for capability in sorted(filter(None, cards)))
    options = "-DGGML_CUDA=on" + (f" -DCMAKE_CUDA_ARCHITECTURES={targets}" if targets else "")
    build = _install(machine, pip, options)
    is_covered = machine.system == "Linux" and machine.architecture == "x86_64" and _number(card.driver_version)
    tag = choose_cuda_wheel(card.driver_version, card.compute_capability) if is_covered else None
    check = "Then run demotic doctor again: it lets the card compute."
    found = f" {machine.cuda_toolkit}" if machine.cuda_toolkit else ", whose nvcc is not found here"
    toolkit = f"the CUDA toolkit{found}"
    if tag is None:
        return f"No prebuilt wheel fits; compile it, which needs {toolkit}. {check}", (build,)
    wheel = f"{pip} install --force-reinstall --no-deps --index-url {WHEEL_INDEX}/{tag} {_pinned(machine)}"
    how = f"Where the index lacks this version, the second command compiles it, which needs {toolkit}. {check}"
    return how, (wheel, build)


def _onnx_without_cuda(machine: Machine, pip: str) -> Advice | None:
    onnx = machine.onnxruntime
    if not machine.nvidia_cards or onnx is None or "CUDAExecutionProvider" in onnx.providers:
        return None
    message = "The machine has an NVIDIA card, but this onnxruntime cannot use it: ONNX models run on the processor."
    if machine.system != "Linux" or machine.architecture != "x86_64":
        return Advice("onnxruntime-without-cuda", f"{message} There is no prebuilt one for {machine.architecture}.")
    command = f"{pip} uninstall --yes onnxruntime && {pip} install onnxruntime-gpu"
    return Advice("onnxruntime-without-cuda", message, (command,))


def _few_cpus(machine: Machine) -> Advice | None:
    if machine.usable_cpus >= machine.logical_cores * _SMALL_SHARE:
        return None
    message = f"This process may use {machine.usable_cpus} of {machine.logical_cores} CPUs"
    if machine.cpu_quota is None:
        return Advice("cpu-limited", f"{message}, as its affinity is set (taskset, docker run --cpuset-cpus).")
    message += f": the cgroup allows {machine.cpu_quota:g}."
    return Advice("cpu-limited", f"{message} Raise the container's limit (docker run --cpus) for more speed.")


def _little_memory(machine: Machine) -> Advice | None:
    if machine.memory_total >= machine.memory_installed * _SMALL_SHARE:
        return None
    share = f"{machine.memory_total / 2**30:.1f} of {machine.memory_installed / 2**30:.1f} GiB"
    message = f"The cgroup allows {share} of memory."
    return Advice("memory-limited", f"{message} Raise the container's limit (docker run --memory) for larger models.")


def _oldest(machine: Machine) -> NvidiaCard:
    """The card that a build must suit, for then it suits all."""
    return min(machine.nvidia_cards, key=lambda card: _number(card.compute_capability) or 0)


def _is_for_cuda(machine: Machine) -> bool:
    return "CUDA" in machine.llama.backends or _has_cuda(machine)


def _has_cuda(machine: Machine) -> bool:
    return any(device.backend == "CUDA" for device in machine.llama.devices)


def _number(version: str) -> float | None:
    """The leading "major.minor" of a version as a number: enough to compare drivers and capabilities."""
    return float(found[0]) if (found := re.match(r"\d+(\.\d+)?", version)) else None


def _rebuild(machine: Machine, pip: str) -> str:
    """Compile for this very processor, and keep CUDA where the build has it."""
    return _install(machine, pip, "-DGGML_NATIVE=on -DGGML_CUDA=on" if _has_cuda(machine) else "-DGGML_NATIVE=on")


def _install(machine: Machine, pip: str, options: str) -> str:
    flags = "--force-reinstall --no-deps --no-cache-dir --no-binary llama-cpp-python"
    return f'CMAKE_ARGS="{options}" {pip} install {flags} {_pinned(machine)}'


def _pinned(machine: Machine) -> str:
    version = machine.llama.version
    return f"llama-cpp-python=={version}" if version else "llama-cpp-python"
