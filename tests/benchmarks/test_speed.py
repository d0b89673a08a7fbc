"""`demotic bench`: models in this process, and the command's two faces."""

from __future__ import annotations

import csv
import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from benchmarks.speed import memory
from benchmarks.speed.asking import ask_together, prompt_of
from benchmarks.speed.measure import Run
from benchmarks.speed.memory import PeakMemory
from benchmarks.speed.plan import QUICK, Job, SpeedPlan, Variant, variants_of
from benchmarks.speed.report import speed_report
from runtime.card import ModelCard
from runtime.commands.interrupt import Interrupt
from runtime.config import EngineConfig
from runtime.errors import InvalidRequest
from runtime.hardware.plan import Plan
from runtime.hardware.probe import Machine, probe
from runtime.model import Model
from runtime.models.store import Store
from tests.architecture.test_imports import HEAVY, modules_after
from tests.runtime.hardware import GIB, cuda

if TYPE_CHECKING:
    from tests.converters.onnx.sources import Sources

CHAT = "smollm2-135m-instruct"
SHORT = ("--prompt-tokens", "8", "--output-tokens", "4", "--warm-up", "0")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "demotic", "bench", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_the_command_measures_a_real_model_and_says_what_it_measured() -> None:
    words = ["--prompt-tokens", "16,48", "--output-tokens", "6", "--batch", "1,2", "--repetitions", "2", "--json"]
    done = bench(CHAT, *words)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    (model,) = report["models"]
    assert (model["model"], model["quantization"]) == (CHAT, "Q4_1")
    assert model["sha256"].startswith("b179c952")
    assert model["settings"]["device"] == "cpu"
    assert model["settings"]["sequences"] == 2
    works = [(job["kind"], job["batch"], job["prompt_tokens"]) for job in model["jobs"]]
    assert works == [
        *[("prompt", 1, 16), ("prompt", 1, 48), ("prompt", 2, 16), ("prompt", 2, 48)],
        *[("generation", 1, 16), ("generation", 2, 16)],
    ]
    for job in model["jobs"]:
        assert len(job["tokens_per_second"]["samples"]) == 2
        assert len(job["ttft_seconds"]["samples"]) == 2 * job["batch"]
        assert job["prompt_tokens"] - 6 <= job["counted_prompt_tokens"]["low"] <= job["prompt_tokens"]
        # The engine's parts, and what is left for itself, are the whole.
        assert sum(job["shares"].values()) == pytest.approx(1, abs=0.02)
        assert job["shares"]["computing"] > 0.5
        assert job["shares"]["tokenizing"] > 0
    for job in model["jobs"][:2]:
        rate, seconds = job["tokens_per_second"], job["ttft_seconds"]
        # At most one token of a prompt, the beginning of every sequence, is shared with another one.
        assert rate["high"] * seconds["low"] == pytest.approx(job["counted_prompt_tokens"]["high"], abs=2.5)
    for job in model["jobs"][4:]:
        assert job["itl_seconds"]["p50"] <= job["itl_seconds"]["p90"] <= job["itl_seconds"]["p99"]
        # Exactly as many tokens as were asked for, whatever the model would have liked.
        characters, rate = job["characters_per_token"]["median"], job["tokens_per_second"]["median"]
        assert characters > 0
        assert rate > 0
    assert len(model["load_seconds"]["samples"]) == 2
    assert model["memory_peak_bytes"]["high"] > model["memory_before_bytes"]["low"] + model["file_bytes"] // 4
    assert "with tokenization and sampling" in report["measured"]
    assert report["machine"]["versions"]["llama-cpp-python"]
    assert report["machine"]["build_features"]
    assert len(report["noise"]["reference_seconds"]) == 3


def test_without_a_model_the_default_one_is_measured_and_a_table_is_printed() -> None:
    done = bench(*SHORT, "--repetitions", "1")
    assert done.returncode == 0, done.stderr
    assert f"| {CHAT} | Q4_1 | cpu | f16 |" in done.stdout
    assert "Machine: " in done.stdout
    assert "Energy of the processor" in done.stdout or "energy, J/token" in done.stdout


def test_a_sweep_goes_on_without_what_is_not_there_and_writes_all_ways(tmp_path: Path) -> None:
    table, picture = tmp_path / "all.csv", tmp_path / "all.svg"
    words = ["--devices", "cpu,abacus", "--kv-type", "f16,q8_0", "--threads", "1", "--repetitions", "1"]
    done = bench(CHAT, *SHORT, *words, "--format", "csv", "--output", str(table), "--plot", str(picture))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert [(row["device"], row["kv_type"], row["threads"], row["kind"]) for row in rows] == [
        *[("cpu", "f16", "1", "prompt"), ("cpu", "f16", "1", "generation")],
        *[("cpu", "q8_0", "1", "prompt"), ("cpu", "q8_0", "1", "generation")],
    ]
    assert all(float(row["tokens_per_second"]) > 0 for row in rows)
    assert picture.read_text(encoding="utf-8").startswith("<?xml")
    again = bench(CHAT, *SHORT, "--output", str(table))
    assert again.returncode == 2
    assert "exists already" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((CHAT, "--devices", "abacus"), "finds no device 'abacus' here, only cpu"),
        ((CHAT, "--threads", "4096"), "CPUs can be used"),
        (("serv",), "There is no model named 'serv'"),
        ((CHAT, "--prompt-tokens", "9000", "--repetitions", "1", "--warm-up", "0"), "needs 9001 tokens"),
        ((CHAT, "--plot", "picture.doc"), "picture.doc is no name of a plot"),
        ((CHAT, "--output", "/no/such/folder/file.md"), "There is no folder"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments: tuple[str, ...], said: str) -> None:
    done = bench(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


@pytest.mark.parametrize("option", ["--batch", "--prompt-tokens", "--kv-type"])
def test_a_list_with_something_else_in_it_is_refused_by_name(option: str) -> None:
    done = bench(CHAT, option, "4,many")
    assert done.returncode == 2
    assert any(f"'{word}'" in done.stderr for word in ("4", "many"))
    assert option in done.stderr


@pytest.mark.parametrize(
    "arguments", [("bench", "--help"), ("bench", "compare", "--help"), ("bench", "serve", "--help")]
)
def test_showing_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert not modules_after(*arguments) & (
        HEAVY | {"httpx", "benchmarks.load", "benchmarks.report", "benchmarks.plots"}
    )


def test_ctrl_c_ends_with_what_was_measured_so_far() -> None:
    command = [sys.executable, "-m", "demotic", "bench", CHAT, *SHORT, "--repetitions", "100000", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    is_loaded = False
    while not is_loaded and process.poll() is None:
        time.sleep(0.2)
        is_loaded = any(mapped.path.endswith(".gguf") for mapped in psutil.Process(process.pid).memory_maps())
    time.sleep(3)  # for some repetitions
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
    report = json.loads(out)
    assert report["is_interrupted"] is True
    assert report["models"][0]["jobs"][1]["tokens_per_second"]["median"] > 0


def test_a_wish_to_stop_leaves_what_was_not_done_without_samples(_own_home: None) -> None:
    plan = SpeedPlan(prompt_tokens=(8,), output_tokens=(2,), repetitions=3, warm_up=0)
    with Interrupt() as interrupt:
        run = Run(plan, probe(), interrupt, lambda _name: setattr(interrupt, "is_set", True))
        run.measure([Variant(ModelCard.read(Store().resolve(CHAT)))])
    (one,) = run.measured
    assert [(job.kind, len(samples)) for job, samples in one.samples.items()] == [("prompt", 1)]
    assert (len(one.loads), len(one.memory_peak)) == (1, 1)


def test_ways_take_turns_forwards_and_backwards(_own_home: None) -> None:
    plan = SpeedPlan(prompt_tokens=(8,), output_tokens=(2,), threads=(1, 2), repetitions=2, warm_up=0)
    card, order = ModelCard.read(Store().resolve(CHAT)), list[str]()
    with Interrupt() as interrupt:
        run = Run(plan, probe(), interrupt, order.append)
        run.measure(variants_of([card], plan))
    one, two = f"{CHAT}, 1 thread", f"{CHAT}, 2 threads"
    assert order == [one, one, two, two, two, two, one, one]
    assert len(order) == 2 * plan.num_steps
    assert run.noise.seconds > 0


class Crowded(Variant):
    """Has room for one sequence."""

    def plan(self, machine: Machine, limits: EngineConfig) -> Plan:
        return dataclasses.replace(super().plan(machine, limits), max_sequences=1)


def test_a_batch_that_finds_no_room_is_left_out_and_named(_own_home: None) -> None:
    plan = SpeedPlan(prompt_tokens=(8,), output_tokens=(2,), batches=(1, 2), repetitions=2, warm_up=0)
    with Interrupt() as interrupt:
        run = Run(plan, probe(), interrupt)
        run.measure([Crowded(ModelCard.read(Store().resolve(CHAT)))])
    (one,) = run.measured
    assert {job.batch for job in one.samples} == {1}
    assert run.left_out == [f"{CHAT}: 2 sequences at once; it has room for 1 in a context of 512 tokens."]


def test_the_cross_product_of_a_sweep_is_complete(_own_home: None) -> None:
    card = ModelCard.read(Store().resolve(CHAT))
    plan = SpeedPlan(kv_types=("f16", "q8_0"), devices=("cpu",), threads=(1, 2), batches=(1, 4))
    names = [one.name for one in variants_of([card], plan)]
    assert names == [f"{CHAT}, cpu, {kv}, {threads}" for kv in ("f16", "q8_0") for threads in ("1 thread", "2 threads")]
    assert plan.jobs[-1] == Job("generation", 4, 64, 64)


def test_the_quick_plan_does_less_and_says_so() -> None:
    full = SpeedPlan()
    assert QUICK.repetitions < full.repetitions
    assert max(QUICK.prompt_tokens) < max(full.prompt_tokens)
    assert "512" in QUICK.left_out[0]


def test_an_asked_for_way_is_the_one_that_runs(_own_home: None) -> None:
    card = ModelCard.read(Store().resolve(CHAT))
    plan = Variant(card, "cpu", "q8_0", 1).plan(probe(), SpeedPlan().limits)
    assert (plan.kv_type, plan.threads, plan.threads_batch, plan.gpu_layers) == ("q8_0", 1, 1, 0)
    with pytest.raises(InvalidRequest, match="no device 'cuda'"):
        Variant(card, "cuda").plan(probe(), SpeedPlan().limits)


def test_prompts_have_nearly_the_length_that_is_asked_for_and_are_new_each_time(smollm2: Model) -> None:
    prompts = [prompt_of(smollm2, 64, seed) for seed in range(5)]
    assert len(set(prompts)) == 5
    for prompt in prompts:
        assert 56 <= len(smollm2.tokenize(prompt)) <= 64


def test_a_batch_is_answered_together_and_to_the_length_asked_for(smollm2: Model) -> None:
    texts = [prompt_of(smollm2, 16, seed) for seed in (101, 102, 103)]
    before = smollm2.client.statistics.totals
    with Interrupt() as interrupt:
        sample = ask_together(smollm2, texts, 12, interrupt)
    assert sample is not None
    after = smollm2.client.statistics.totals
    assert [one.num_output for one in sample.answers] == [12, 12, 12]
    # Three sequences to a step: far fewer steps than tokens.
    assert after.decode_tokens - before.decode_tokens == 36
    assert after.steps - before.steps < 20
    for one in sample.answers:
        assert 0 < one.first < one.end <= sample.seconds
        assert len(one.gaps) == len(one.pieces) - 1
    assert 0 < sample.spent.computing < sample.seconds


def test_the_peak_is_found_also_where_memory_is_given_back() -> None:
    with PeakMemory() as memory:
        block = bytearray(b"x" * 80_000_000)
        time.sleep(0.3)
        del block
    assert 60_000_000 < memory.peak - memory.before < 400_000_000


def test_graphs_are_measured_too_and_their_kv_type_is_not_chosen(sources: Sources) -> None:
    card = ModelCard.read(Store().resolve(str(sources.exported("gpt2").path)))
    plan = SpeedPlan(prompt_tokens=(8,), output_tokens=(3,), batches=(1, 2), repetitions=1, warm_up=0)
    with Interrupt() as interrupt:
        run = Run(plan, probe(), interrupt)
        run.measure([Variant(card), Variant(card, kv_type="q8_0")])
        (model,) = speed_report(run).models
    assert model.settings["device"] == "cpu"
    assert [job.kind for job in model.jobs] == ["prompt", "prompt", "generation", "generation"]
    assert all(sum(job.shares.values()) == pytest.approx(1, abs=0.02) for job in model.jobs)
    (line,) = run.left_out
    assert "ONNX graphs keep keys and values as f32" in line
    folder = card.file.path
    assert model.file_bytes == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_what_is_taken_of_a_card_is_told_at_its_most(monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter([6.0, 6.0, *[4.5] * 3, *[5.5] * 1000])
    monkeypatch.setattr(memory, "read_devices", lambda: (cuda(next(free), 8),))
    with PeakMemory() as peak:
        time.sleep(0.4)
    assert peak.card_peak == int(1.5 * GIB)
