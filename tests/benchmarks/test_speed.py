"""`demotic bench`: one model in process, and the command's two faces."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import psutil
import pytest

from benchmarks.speed.measure import PeakMemory, SpeedPlan, measure, prompt_of
from runtime.card import ModelCard
from runtime.commands.interrupt import Interrupt
from runtime.model import Model
from runtime.models.store import Store
from tests.architecture.test_imports import HEAVY, modules_after

CHAT = "smollm2-135m-instruct"


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "demotic", "bench", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_the_command_measures_a_real_model_and_says_what_it_measured() -> None:
    words = ["--prompt-tokens", "32", "--prompt-tokens", "96", "--output-tokens", "8", "--repetitions", "2", "--json"]
    done = bench(CHAT, *words)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    (model,) = report["models"]
    assert model["model"] == CHAT
    for asked, prompt in zip((32, 96), model["prompts"], strict=True):
        assert asked - 6 <= prompt["prompt_tokens"]["median"] <= asked
        rate, seconds = prompt["tokens_per_second"], prompt["ttft_seconds"]
        assert rate["low"] <= rate["median"] <= rate["high"]
        # At most one token of a prompt, the beginning of every sequence, is shared with another one.
        assert rate["high"] * seconds["low"] == pytest.approx(prompt["prompt_tokens"]["high"], abs=2.5)
    generation = model["generation"]
    assert 1 <= generation["output_tokens"]["high"] <= 8
    assert generation["tokens_per_second"]["median"] > 0
    assert generation["characters_per_second"]["median"] > 0
    assert model["load_seconds"] > 0
    assert model["rss_peak_bytes"] > model["rss_before_bytes"] + model["file_bytes"] // 4
    assert "with tokenization and sampling" in report["measured"]
    assert report["machine"]["versions"]["llama-cpp-python"]


def test_without_a_model_the_default_one_is_measured_and_a_table_is_printed() -> None:
    done = bench("--prompt-tokens", "8", "--output-tokens", "2", "--repetitions", "1", "--warm-up", "0")
    assert done.returncode == 0, done.stderr
    assert f"| {CHAT} |" in done.stdout
    assert "Machine: " in done.stdout


def test_a_word_that_is_no_command_is_a_model() -> None:
    done = bench("serv")
    assert done.returncode == 2
    assert "demotic: There is no model named 'serv'" in done.stderr


def test_a_prompt_that_no_context_holds_is_one_line() -> None:
    done = bench(CHAT, "--prompt-tokens", "9000", "--repetitions", "1", "--warm-up", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", [("bench", "--help"), ("bench", "serve", "--help")])
def test_showing_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert not modules_after(*arguments) & (
        HEAVY | {"httpx", "benchmarks.load", "benchmarks.report", "benchmarks.speed.measure"}
    )


def test_ctrl_c_ends_with_what_was_measured_so_far() -> None:
    command = [sys.executable, "-m", "demotic", "bench", CHAT, "--prompt-tokens", "8", "--output-tokens", "8"]
    process = subprocess.Popen(
        [*command, "--repetitions", "100000", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    is_loaded = False
    while not is_loaded and process.poll() is None:
        time.sleep(0.2)
        is_loaded = any(mapped.path.endswith(".gguf") for mapped in psutil.Process(process.pid).memory_maps())
    time.sleep(5)  # for the warm-up and some rounds
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
    report = json.loads(out)
    assert report["is_interrupted"] is True
    assert report["models"][0]["generation"]["tokens_per_second"]["median"] > 0


def test_a_wish_to_stop_leaves_the_figures_empty(_own_home: None) -> None:
    plan = SpeedPlan(prompt_tokens=(8,), output_tokens=2, repetitions=3, warm_up=0)
    steps: list[None] = []
    with Interrupt() as interrupt:

        def stop() -> None:
            steps.append(None)
            interrupt.is_set = True

        speed = measure(ModelCard.read(Store().resolve(CHAT)), plan, interrupt, stop)
    assert len(steps) == 1
    assert speed.prompts[0].ttft_seconds.median is not None
    assert speed.generation.tokens_per_second.median is None


def test_prompts_have_nearly_the_length_that_is_asked_for_and_are_new_each_time(smollm2: Model) -> None:
    prompts = [prompt_of(smollm2, 64, seed) for seed in range(5)]
    assert len(set(prompts)) == 5
    for prompt in prompts:
        assert 56 <= len(smollm2.tokenize(prompt)) <= 64


def test_the_peak_is_found_also_where_memory_is_given_back() -> None:
    with PeakMemory() as memory:
        block = bytearray(b"x" * 80_000_000)
        time.sleep(0.3)
        del block
    assert 60_000_000 < memory.peak - memory.before < 400_000_000
