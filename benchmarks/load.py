"""Load on an OpenAI endpoint: clients that ask at the same time, and the moment when each piece of each answer came.

What it records is plain: times, characters, and the token counts that the endpoint itself states. Figures are made of
it in `benchmarks/load_report.py`.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
from rich.console import Console
from rich.progress import Progress

from benchmarks.load_report import load_report, print_report
from runtime.errors import DemoticError

INTERRUPTED = 130
UNDISTURBED_PART = 8  # of a stream: so much of it comes before the long prompt does
LONG_OUTPUT_TOKENS = 8
CALIBRATION_WORDS = (40, 240)

_WHO = "baker sailor teacher doctor farmer painter miller weaver singer tailor".split()
_WHERE = "Lisbon Sofia Nairobi Hanoi Lima Tbilisi Cairo Oslo Quito Pune".split()
_WHAT = "lemons letters candles ropes books seeds bells maps blankets lanterns".split()
_DID = "carried sold lost found painted counted mended borrowed hid weighed".split()
_THEN = "because before while until although after".split()

Status = Literal["running", "finished", "failed"]


@dataclass(frozen=True)
class Endpoint:
    """Where to ask, and how. `timeout` is in seconds without a byte; without `model`, the first that is served."""

    url: str
    api_key: str
    model: str | None
    is_chat: bool
    timeout: float

    @property
    def base_url(self) -> str:
        """The address that paths like `/completions` are put after."""
        url = self.url.rstrip("/")
        return url if urlsplit(url).path else f"{url}/v1"


@dataclass(frozen=True)
class Workload:
    """What to ask for. Lengths of prompts are wishes: how long they were is in the answers."""

    clients: int
    requests: int
    prompt_tokens: int
    shared_prefix: int
    output_tokens: int
    stagger: float
    long_prompt: int
    seed: int


@dataclass(frozen=True)
class Lengths:
    """How many tokens a passage has for the endpoint's tokenizer: so many each, and so many for each of its words."""

    per_passage: float = 5.0
    per_word: float = 1.25

    @classmethod
    def from_counts(cls, words: tuple[int, int], tokens: tuple[int, int]) -> Lengths:
        """The line through two passages."""
        per_word = max(0.1, (tokens[1] - tokens[0]) / (words[1] - words[0]))
        return cls(tokens[0] - per_word * words[0], per_word)

    def words(self, tokens: int) -> int:
        """Words of a passage of about so many tokens."""
        return max(2, round((tokens - self.per_passage) / self.per_word))


@dataclass
class Outcome:
    """One request: when it was sent, when each piece of text came (`time.perf_counter`), and how it ended."""

    sent: float = 0.0
    pieces: list[float] = field(default_factory=list)
    num_characters: int = 0
    ended: float = 0.0
    status: Status = "running"
    error: str = ""
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None

    def has_less_than(self, pieces: int) -> bool:
        """Whether it runs and has not so many pieces of text yet."""
        return self.status == "running" and len(self.pieces) < pieces


@dataclass(frozen=True)
class LoadRun:
    """All that was recorded in one run; a request that is still "running" was cut off by Ctrl-C."""

    endpoint: Endpoint
    workload: Workload
    lengths: Lengths
    outcomes: tuple[Outcome, ...]
    long: Outcome | None
    is_interrupted: bool


def passage(words: int, seed: int) -> str:
    """A story of so many words that breaks off where it must go on; two seeds differ from their first words on."""
    choose = random.Random(seed)  # noqa: S311  # the same prompts for whoever repeats a measurement
    told = [f"{choose.choice(_WHERE)}", f"{choose.randrange(10**6)}:"]
    while len(told) < words:
        told += f"the {choose.choice(_WHO)} of {choose.choice(_WHERE)} {choose.choice(_DID)}".split()
        told += f"{choose.randrange(2, 99)} {choose.choice(_WHAT)} {choose.choice(_THEN)}".split()
    return " ".join(told[: max(words, 1)])


def make_prompts(workload: Workload, lengths: Lengths) -> list[str]:
    """The prompts of a workload: all distinct, after the prefix that they share."""
    prefix = passage(lengths.words(workload.shared_prefix), workload.seed) if workload.shared_prefix else ""
    own = lengths.words(workload.prompt_tokens)
    texts = [passage(own, _seed(workload, number)) for number in range(workload.requests)]
    return [f"{prefix}\n{text}" if prefix else text for text in texts]


def _seed(workload: Workload, number: int) -> int:
    return workload.seed * 1_000_003 + number + 1


async def measure(
    endpoint: Endpoint,
    workload: Workload,
    on_end: Callable[[Outcome], None] = lambda _: None,
    lengths: Lengths | None = None,
    on_start: Callable[[], None] = lambda: None,
) -> LoadRun:
    """Send the workload, after two requests that warm up and tell how long a passage is in tokens.

    `on_start` is called between these two and the workload, `on_end` with each request of the workload that ended.
    Errors of single requests are recorded. Ctrl-C ends the run with what has come.

    Raises:
        DemoticError: the endpoint does not answer the first request.
    """
    async with _Client.connect(endpoint) as client:
        found = await _warm_up(client, workload)
        lengths = lengths or found
        run = _Run(client, workload, make_prompts(workload, lengths), on_end)
        long_prompt = passage(lengths.words(workload.long_prompt), _seed(workload, -1))
        work = run.with_long_prompt(long_prompt) if workload.long_prompt else run.closed_loop()
        on_start()
        is_interrupted = await until_done_or_interrupted(work)
    return LoadRun(client.endpoint, workload, lengths, tuple(run.outcomes), run.long, is_interrupted)


async def _warm_up(client: _Client, workload: Workload) -> Lengths:
    counts: list[int] = []
    for number, words in enumerate(CALIBRATION_WORDS):
        outcome = await client.ask(passage(words, _seed(workload, -2 - number)), max_tokens=2)
        if outcome.status != "finished":
            error = outcome.error.rstrip(".")
            raise DemoticError(f"{client.endpoint.base_url} did not answer the first request: {error}.")
        counts.append(outcome.prompt_tokens or 0)
    return Lengths.from_counts(CALIBRATION_WORDS, (counts[0], counts[1])) if all(counts) else Lengths()


async def until_done_or_interrupted(work: Any) -> bool:
    """Run `work`; True where Ctrl-C cut it short. A second Ctrl-C is Python's own."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    is_interrupted = False

    def on_interrupt() -> None:
        nonlocal is_interrupted
        is_interrupted = True
        loop.remove_signal_handler(signal.SIGINT)
        task.cancel()

    loop.add_signal_handler(signal.SIGINT, on_interrupt)
    try:
        await task
    except asyncio.CancelledError:
        if not is_interrupted:
            raise
    finally:
        loop.remove_signal_handler(signal.SIGINT)
    return is_interrupted


class _Run:
    """One workload under way."""

    def __init__(
        self, client: _Client, workload: Workload, prompts: list[str], on_end: Callable[[Outcome], None]
    ) -> None:
        self.outcomes: list[Outcome] = []
        self.long: Outcome | None = None
        self._client = client
        self._workload = workload
        self._prompts = iter(prompts)
        self._on_end = on_end

    async def closed_loop(self) -> None:
        """Every client asks again as soon as it has its answer, until all prompts are asked."""
        async with asyncio.TaskGroup() as group:
            for number in range(min(self._workload.clients, self._workload.requests)):
                group.create_task(self._ask_in_turn(number * self._workload.stagger))

    async def with_long_prompt(self, prompt: str) -> None:
        """One stream a client; the long prompt comes when all have run for a while."""
        streams = self._workload.clients
        async with asyncio.TaskGroup() as group:
            for number in range(streams):
                group.create_task(self._ask_next(number * self._workload.stagger))
            undisturbed = max(1, self._workload.output_tokens // UNDISTURBED_PART)
            while len(self.outcomes) < streams or any(one.has_less_than(undisturbed) for one in self.outcomes):
                await asyncio.sleep(0.01)
            self.long = Outcome()
            await self._client.ask(prompt, max_tokens=LONG_OUTPUT_TOKENS, outcome=self.long)

    async def _ask_in_turn(self, delay: float) -> None:
        await asyncio.sleep(delay)
        while await self._ask_next():
            pass

    async def _ask_next(self, delay: float = 0.0) -> bool:
        """Ask the next prompt; False where there is none left."""
        await asyncio.sleep(delay)
        prompt = next(self._prompts, None)
        if prompt is None:
            return False
        outcome = Outcome()
        self.outcomes.append(outcome)
        await self._client.ask(prompt, max_tokens=self._workload.output_tokens, outcome=outcome)
        self._on_end(outcome)
        return True


class _Client:
    """Streams answers of one endpoint."""

    def __init__(self, http: httpx.AsyncClient, endpoint: Endpoint) -> None:
        self._http = http
        self.endpoint = endpoint

    @classmethod
    @asynccontextmanager
    async def connect(cls, endpoint: Endpoint) -> AsyncIterator[_Client]:
        """A client that knows which model to ask."""
        async with http_client(endpoint) as http:
            yield cls(http, await with_model(http, endpoint))

    async def ask(self, prompt: str, *, max_tokens: int, outcome: Outcome | None = None) -> Outcome:
        """Stream one answer; whatever goes wrong with it is recorded in its outcome."""
        outcome = outcome or Outcome()
        path, body = self._request(prompt, max_tokens)
        outcome.sent = time.perf_counter()
        try:
            async with self._http.stream("POST", path, json=body) as response:
                if response.status_code != 200:
                    error = error_text(await response.aread())
                    outcome.status, outcome.error = "failed", f"HTTP {response.status_code}: {error}"
                else:
                    await _record(response, outcome)
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            outcome.status, outcome.error = "failed", f"{type(fault).__name__}: {fault}".rstrip(": ")
        finally:
            outcome.ended = time.perf_counter()
        return outcome

    def _request(self, prompt: str, max_tokens: int) -> tuple[str, dict[str, Any]]:
        body: dict[str, Any] = {"model": self.endpoint.model, "max_tokens": max_tokens, "temperature": 0}
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        if self.endpoint.is_chat:
            messages = [{"role": "user", "content": prompt}]
            return f"{self.endpoint.base_url}/chat/completions", body | {"messages": messages}
        return f"{self.endpoint.base_url}/completions", body | {"prompt": prompt}


def http_client(endpoint: Endpoint) -> httpx.AsyncClient:
    """A client with the endpoint's key, for as many requests at once as there are."""
    headers = {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    return httpx.AsyncClient(headers=headers, limits=limits, timeout=endpoint.timeout)


async def with_model(http: httpx.AsyncClient, endpoint: Endpoint) -> Endpoint:
    """The endpoint with the name of the model to ask: the first that it lists, where none was named.

    Raises:
        DemoticError: it lists none, or is not there.
    """
    if endpoint.model is not None:
        return endpoint
    try:
        response = await http.get(f"{endpoint.base_url}/models")
        response.raise_for_status()
        return replace(endpoint, model=str(response.json()["data"][0]["id"]))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError) as fault:
        raise DemoticError(
            f"{endpoint.base_url} does not list its models: {str(fault) or type(fault).__name__}.",
            remedy="Is the server running? Name another with --url, its key with --api-key, its model with --model.",
        ) from fault


async def _record(response: httpx.Response, outcome: Outcome) -> None:
    """Note each piece of a streamed answer at the moment it comes."""
    is_done = False
    async with aclosing(_data_lines(response)) as lines:
        async for data in lines:
            if data == b"[DONE]":
                is_done = True
                break
            try:
                _record_chunk(json.loads(data), outcome)
            except (ValueError, LookupError, TypeError, AttributeError):
                outcome.status, outcome.error = "failed", "a chunk of the stream is not of OpenAI's shape"
            if outcome.status == "failed":
                return
    if not is_done and outcome.finish_reason is None:
        outcome.status, outcome.error = "failed", "the stream broke off"
        return
    outcome.status = "finished"


def _record_chunk(chunk: dict[str, Any], outcome: Outcome) -> None:
    if chunk.get("error"):
        outcome.status, outcome.error = "failed", f"in the stream: {chunk['error']['message']}"
        return
    for choice in chunk.get("choices") or ():
        said = choice.get("delta") or {}
        text = choice.get("text") or f"{said.get('reasoning_content') or ''}{said.get('content') or ''}"
        if text:
            outcome.pieces.append(time.perf_counter())
            outcome.num_characters += len(text)
        outcome.finish_reason = choice.get("finish_reason") or outcome.finish_reason
    if usage := chunk.get("usage"):
        outcome.prompt_tokens = usage.get("prompt_tokens")
        outcome.completion_tokens = usage.get("completion_tokens")
        outcome.cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")


async def _data_lines(response: httpx.Response) -> AsyncGenerator[bytes]:
    """Contents of the `data:` lines. httpx's own lines also end at U+2028 and others, which JSON may hold."""
    rest = b""
    async for part in response.aiter_bytes():
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line.removeprefix(b"data:").strip()


def error_text(body: bytes) -> str:
    """What an endpoint says of a fault."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return body[:200].decode(errors="replace").strip() or "no reason given"


def bench(endpoint: Endpoint, workload: Workload, *, as_json: bool) -> int:
    """`demotic bench serve`: measure and print; the exit status is 130 after Ctrl-C, 1 where no request succeeded."""
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("requests", total=workload.requests)
        run = asyncio.run(measure(endpoint, workload, lambda _: progress.advance(task)))
    print_report(load_report(run), as_json=as_json)
    if run.is_interrupted:
        return INTERRUPTED
    return 0 if any(outcome.status == "finished" for outcome in run.outcomes) else 1
