"""The trial of devices: this machine's own really computes, and what a child says of cards is understood."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from runtime.hardware import trial
from runtime.hardware.ggml import Outcome, bind, load_ggml, try_cards


def test_the_processor_computes_as_it_should() -> None:
    library = load_ggml()
    device = bind(library, "ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)(0)
    assert trial.try_device(library, device) == ""


def test_a_wrong_product_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = bind

    def broken(library: ctypes.CDLL, name: str, *types: Any) -> Any:
        # As a card whose kernels do nothing, and say so to nobody.
        return (lambda *_: 0) if name == "ggml_backend_graph_compute" else real(library, name, *types)

    monkeypatch.setattr(trial, "bind", broken)
    library = load_ggml()
    device = real(library, "ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)(0)
    assert "where 128 is right" in trial.try_device(library, device)


def test_the_command_says_nothing_where_all_is_well() -> None:
    command = [sys.executable, "-P", "-m", "runtime.hardware.trial"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (Outcome(0, "ggml_cuda_init: found 1 CUDA devices\n"), ""),
        (Outcome(0, "CUDA1 does not start\n"), "CUDA1 does not start"),
        (
            Outcome(-6, "ggml_cuda_init: found 1\nCUDA error: no kernel image is available\n  current device: 0\n"),
            "the trial ended with -6: CUDA error: no kernel image is available",
        ),
        (None, "they computed nothing in 60 s"),
    ],
)
def test_what_the_trial_says_of_cards_is_understood(outcome: Outcome | None, told: str) -> None:
    def run(_command: Sequence[str], _seconds: float) -> Outcome | None:
        return outcome

    assert try_cards(run) == told
