"""Load on an endpoint: what is sent, what is recorded, and that no error hides."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.load import Endpoint, Lengths, LoadRun, Workload, make_prompts, measure, passage
from benchmarks.load_report import load_report
from runtime.errors import DemoticError
from tests.benchmarks.endpoint import MODEL, FakeEndpoint, running
from tests.server import serving

WORK = Workload(
    clients=2, requests=6, prompt_tokens=16, shared_prefix=0, output_tokens=5, stagger=0, long_prompt=0, seed=1
)


def endpoint(url: str, **changes: Any) -> Endpoint:
    return replace(Endpoint(url=url, api_key="key", model=None, is_chat=False, timeout=20), **changes)


async def run(fake: FakeEndpoint, work: Workload = WORK, **changes: Any) -> LoadRun:
    with running(fake):
        return await measure(endpoint(fake.url, **changes), work)


async def test_times_and_rates_are_those_of_the_endpoint() -> None:
    fake = FakeEndpoint(first=0.2, gap=0.05)
    report = load_report(await run(fake))
    assert report.requests == {"sent": 6, "finished": 6, "failed": 0, "cut_off": 0}
    assert report.ttft_seconds.count == 6
    assert report.itl_seconds.count == 6 * 4
    assert report.ttft_seconds.p50 is not None
    assert 0.2 <= report.ttft_seconds.p50 < 0.3
    assert report.itl_seconds.p50 is not None
    assert 0.045 <= report.itl_seconds.p50 < 0.08
    # Three requests one after the other, each of 0.4 s.
    assert 1.2 <= report.seconds < 2
    assert report.output_tokens_per_second == pytest.approx(30 / report.seconds)
    assert report.characters_per_second == pytest.approx(90 / report.seconds)
    assert report.requests_per_second == pytest.approx(6 / report.seconds)
    assert report.stream_tokens_per_second.median is not None
    assert 12 < report.stream_tokens_per_second.median <= 20.5


async def test_so_many_clients_ask_at_a_time_and_every_prompt_is_asked_once() -> None:
    fake = FakeEndpoint(gap=0.02)
    await run(fake, replace(WORK, clients=3, requests=9))
    assert fake.max_open == 3
    prompts = [body["prompt"] for body in fake.bodies]
    assert len(prompts) == len(set(prompts)) == 11
    assert {(body["max_tokens"], body["temperature"], body["model"]) for body in fake.bodies[2:]} == {(5, 0, MODEL)}


async def test_the_start_is_told_after_the_warm_up_and_before_the_workload() -> None:
    fake, asked = FakeEndpoint(), []
    with running(fake):
        await measure(endpoint(fake.url), WORK, on_start=lambda: asked.append(len(fake.bodies)))
    assert asked == [2]


async def test_clients_start_one_after_the_other_where_that_is_asked_for() -> None:
    fake = FakeEndpoint(first=0.6)
    await run(fake, replace(WORK, clients=3, requests=3, stagger=0.2))
    first, *later = fake.arrived[2:]
    assert [round(each - first, 1) for each in later] == [pytest.approx(0.2, abs=0.11), pytest.approx(0.4, abs=0.11)]


async def test_lengths_of_prompts_follow_what_the_endpoint_counts() -> None:
    result = await run(FakeEndpoint(), replace(WORK, prompt_tokens=40))
    assert result.lengths == Lengths(per_passage=0, per_word=2)
    assert {one.prompt_tokens for one in result.outcomes} == {40}
    assert load_report(result).prompt_tokens == 240
    assert load_report(result).cached_tokens == 6


async def test_an_endpoint_without_token_counts_is_measured_in_pieces_and_the_report_says_so() -> None:
    report = load_report(await run(FakeEndpoint(states_usage=False)))
    assert (report.output_tokens, report.prompt_tokens) == (30, 0)
    assert "pieces" in report.output_tokens_counted_by
    assert load_report(await run(FakeEndpoint())).output_tokens_counted_by == "the endpoint"


async def test_chat_completions_are_asked_for_where_that_is_chosen() -> None:
    fake = FakeEndpoint()
    report = load_report(await run(fake, is_chat=True))
    assert set(fake.paths) == {"/v1/chat/completions"}
    assert report.characters == 90


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        ("busy", "HTTP 429: 32 requests wait already."),
        ("error", "in the stream: The engine failed."),
        ("cut", "the stream broke off"),
    ],
)
async def test_a_request_that_fails_is_counted_by_its_reason_and_is_in_no_rate(trouble: str, sentence: str) -> None:
    fake = FakeEndpoint(trouble=lambda number: trouble if number in {3, 6} else "")
    report = load_report(await run(fake))
    assert report.requests == {"sent": 6, "finished": 4, "failed": 2, "cut_off": 0}
    assert report.errors == {sentence: 2}
    assert report.output_tokens == 20
    assert report.ttft_seconds.count == 4


async def test_a_stream_that_hangs_fails_after_the_timeout() -> None:
    fake = FakeEndpoint(trouble=lambda number: "hang" if number == 2 else "")
    report = load_report(await run(fake, timeout=0.5))
    assert report.errors == {"ReadTimeout": 1}
    assert report.requests["finished"] == 5


async def test_an_endpoint_that_answers_nothing_at_all_is_one_sentence() -> None:
    with pytest.raises(DemoticError, match=r"does not list its models.*--url"):
        await measure(endpoint("http://127.0.0.1:9"), WORK)
    with pytest.raises(DemoticError, match="first request: ConnectError"):
        await measure(endpoint("http://127.0.0.1:9", model="m"), WORK)
    with pytest.raises(DemoticError, match="first request: HTTP 429: 32 requests wait"):
        await run(FakeEndpoint(trouble=lambda _: "busy"))


async def test_a_long_prompt_comes_while_all_streams_run() -> None:
    fake = FakeEndpoint(first=0.1, gap=0.02)
    result = await run(fake, replace(WORK, clients=3, requests=3, output_tokens=90, long_prompt=200))
    assert result.long is not None
    assert len(fake.bodies[5]["prompt"].split()) == 100
    assert all(one.pieces[0] < result.long.sent < one.pieces[-1] for one in result.outcomes)
    long = load_report(result).long_prompt
    assert long is not None
    assert (long.status, long.prompt_tokens, long.num_streams_throughout) == ("finished", 200, 3)
    assert long.itl_seconds_during.count >= 3
    assert long.itl_seconds_before.count > long.itl_seconds_during.count


def test_two_passages_tell_how_long_others_are() -> None:
    lengths = Lengths.from_counts((40, 240), (53, 253))
    assert lengths == Lengths(per_passage=13, per_word=1)
    assert [lengths.words(tokens) for tokens in (4, 64, 600)] == [2, 51, 587]


def test_prompts_differ_from_their_first_words_and_are_the_same_for_the_same_seed() -> None:
    prompts = make_prompts(replace(WORK, requests=50), Lengths())
    assert make_prompts(replace(WORK, requests=50), Lengths()) == prompts
    assert len({tuple(prompt.split()[:2]) for prompt in prompts}) == 50
    assert not set(make_prompts(replace(WORK, requests=50, seed=2), Lengths())) & set(prompts)
    assert [len(passage(words, 3).split()) for words in (1, 2, 30)] == [1, 2, 30]


def test_a_shared_prefix_is_shared_by_all_prompts_and_nothing_more() -> None:
    prompts = make_prompts(replace(WORK, requests=20, shared_prefix=50), Lengths(0, 1.25))
    (prefix,) = {prompt.split("\n")[0] for prompt in prompts}
    assert len(prefix.split()) == 40
    assert len({tuple(prompt.split("\n")[1].split()[:2]) for prompt in prompts}) == 20


def bench_serve(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "demotic", "bench", "serve", *arguments]


def test_ctrl_c_ends_with_what_was_measured_so_far() -> None:
    with running(FakeEndpoint(gap=0.05)) as fake:
        words = ["--url", fake.url, "--clients", "2", "--requests", "1000", "--output-tokens", "5", "--json"]
        process = subprocess.Popen(bench_serve(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 30
        while len(fake.bodies) < 6 and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, "")
    report = json.loads(out)
    assert report["is_interrupted"] is True
    assert report["requests"]["finished"] >= 2
    assert report["requests"]["cut_off"] in {1, 2}


def test_where_every_request_failed_the_status_says_so_and_the_page_names_the_reason() -> None:
    with running(FakeEndpoint(trouble=lambda number: "busy" if number > 1 else "")) as fake:
        done = subprocess.run(
            bench_serve("--url", fake.url, "--requests", "3"), check=False, capture_output=True, text=True
        )
    assert done.returncode == 1
    assert "0 of 3 requests finished" in done.stdout
    assert "Failed: 3 × HTTP 429: 32 requests wait already.\n" in done.stdout


def test_an_endpoint_that_is_not_there_is_one_line_and_status_2() -> None:
    done = subprocess.run(bench_serve("--url", "http://127.0.0.1:9"), check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("demotic: http://127.0.0.1:9/v1 does not list its models")


def test_the_command_measures_a_real_server() -> None:
    with serving("smollm2-135m-instruct", "--context", "1024") as server:
        words = ["--url", server.base_url, "--clients", "2", "--requests", "3", "--output-tokens", "6", "--json"]
        done = subprocess.run(bench_serve(*words), check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["model"] == "smollm2-135m-instruct"
    assert report["requests"] == {"sent": 3, "finished": 3, "failed": 0, "cut_off": 0}
    assert report["output_tokens_counted_by"] == "the endpoint"
    assert 58 <= report["prompt_tokens_each"]["median"] <= 70
    assert 3 <= report["output_tokens"] <= 18
    assert report["characters"] > 0
    assert report["output_tokens_per_second"] > 0
