"""`/metrics`: what the server and its workers do, as Prometheus reads it.

The server counts requests and times answers itself. What the workers count comes with their pulse and is read from the
pool when it is asked for. No label has a value that a client could make up.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self, get_args

import prometheus_client
import psutil
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.api.errors import error_body
from runtime.engine.client import EngineClient
from runtime.engine.messages import Delta, Finished
from runtime.engine.pool import ModelPool
from runtime.engine.served import ModelState, ModelStatistics
from runtime.engine.statistics import EngineStatistics
from runtime.errors import DemoticError

# The time at which a series began, for each of them: twice the text, and nothing that is asked for here.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's own

router = APIRouter(tags=["metrics"])

# Seconds, each at most twice the one before, so that quantiles between 5 ms and 60 s are not far off.
_BUCKETS = (
    *(0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5),
    *(10, 15, 20, 30, 60),
)
# What nginx logs where the client went away before there was an answer.
_CLIENT_GONE = 499
_NO_ENDPOINT = "other"


@router.get("/metrics", response_class=PlainTextResponse)
async def show_metrics(http: Request) -> PlainTextResponse:
    """What the server does, in Prometheus's text format."""
    metrics: Metrics = http.app.state.metrics
    text = prometheus_client.generate_latest(metrics.registry)
    return PlainTextResponse(text, media_type=prometheus_client.CONTENT_TYPE_LATEST)


class Metrics:
    """The figures of one server."""

    def __init__(self, pool: ModelPool) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_PoolCollector(pool))
        self._pool = pool
        self.requests = Counter(
            "demotic_http_requests",
            "HTTP requests answered, those that were refused among them; status 499: the client had gone.",
            ["endpoint", "status"],
            registry=self.registry,
        )
        self.requests_in_flight = Gauge(
            "demotic_http_requests_in_flight",
            "HTTP requests being answered, the one for these figures among them.",
            registry=self.registry,
        )
        self.answers = Counter(
            "demotic_answers",
            "Answers of models that ended, with the finish reason or the code of the error.",
            ["endpoint", "model", "outcome"],
            registry=self.registry,
        )
        self.first_token = Histogram(
            "demotic_time_to_first_token_seconds",
            "From the arrival of the request to the first text of an answer; the loading of the model is part of it.",
            ["model"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.between_tokens = Histogram(
            "demotic_inter_token_latency_seconds",
            "Between two pieces of text of an answer: one token each, or several where characters were held back.",
            ["model"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        for name in pool.statistics():
            self.first_token.labels(name)
            self.between_tokens.labels(name)

    def record(self, client: EngineClient, http: Request) -> AnswerRecord:
        """Note one answer of `client`, to the request `http`."""
        return AnswerRecord(self, http.scope["route"].path, self._pool.name_of(client) or "", http.state.arrived)


class AnswerRecord:
    """One answer on its way. However the block around its events is left, it is counted once."""

    def __init__(self, metrics: Metrics, endpoint: str, model: str, arrived: float) -> None:
        """`arrived` is when the request came, by `time.perf_counter`."""
        self._metrics = metrics
        self._endpoint = endpoint
        self._model = model
        self._first_token = metrics.first_token.labels(model)
        self._between_tokens = metrics.between_tokens.labels(model)
        self._arrived = arrived
        self._last: float | None = None
        self._outcome: str = "cancelled"

    def see(self, event: Delta | Finished) -> None:
        """Note an event that has come now."""
        if isinstance(event, Finished):
            self._outcome = event.reason
            return
        now = time.perf_counter()
        if self._last is None:
            self._first_token.observe(now - self._arrived)
        else:
            self._between_tokens.observe(now - self._last)
        self._last = now

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, DemoticError):
            body = error_body(error)["error"]
            self._outcome = body["code"] or body["type"]
        self._metrics.answers.labels(self._endpoint, self._model, self._outcome).inc()


class CountRequests:
    """ASGI middleware that counts requests by the route they took and the status they got."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, and count it when it is done."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})["arrived"] = time.perf_counter()
        status = None
        is_gone = False

        async def watch_receive() -> Message:
            nonlocal is_gone
            message = await receive()
            is_gone = is_gone or message["type"] == "http.disconnect"
            return message

        async def watch_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = _CLIENT_GONE if is_gone else message["status"]
            await send(message)

        try:
            with self._metrics.requests_in_flight.track_inprogress():
                await self._app(scope, watch_receive, watch_send)
        except Exception:
            # The answer to a fault of our own is made outside of all middleware.
            status = status or 500
            raise
        finally:
            endpoint = getattr(scope.get("route"), "path", _NO_ENDPOINT)
            self._metrics.requests.labels(endpoint, str(status or _CLIENT_GONE)).inc()


# The name, what it says, and how it is read. A counter's name gets `_total` behind it.
_COUNTERS: tuple[tuple[str, str, Callable[[ModelStatistics], int]], ...] = (
    (
        "demotic_prefill_tokens",
        "Tokens of prompts computed, again where a preempted request was computed anew.",
        lambda model: model.totals.prefill_tokens,
    ),
    (
        "demotic_decode_tokens",
        "Tokens generated, without those that end an answer.",
        lambda model: model.totals.decode_tokens,
    ),
    (
        "demotic_cached_tokens",
        "Tokens that needed no computing, since the KV cache held them from another request.",
        lambda model: model.totals.cached_tokens,
    ),
    (
        "demotic_preemptions",
        "Requests sent back to the queue, since KV cells ran out.",
        lambda model: model.totals.preemptions,
    ),
    (
        "demotic_drafted_tokens",
        "Tokens guessed ahead of the model.",
        lambda model: model.totals.drafted_tokens,
    ),
    (
        "demotic_accepted_tokens",
        "Tokens guessed ahead that were right.",
        lambda model: model.totals.accepted_tokens,
    ),
    (
        "demotic_worker_restarts",
        "Workers started because the one before had died.",
        lambda model: model.restarts,
    ),
)
_GAUGES: tuple[tuple[str, str, Callable[[EngineStatistics], int]], ...] = (
    ("demotic_requests_waiting", "Requests in the queue of the worker.", lambda engine: engine.num_waiting),
    ("demotic_requests_running", "Requests that the next step computes.", lambda engine: engine.num_running),
    (
        "demotic_sequences_kept",
        "Finished sequences kept for requests that begin alike.",
        lambda engine: engine.num_kept,
    ),
    ("demotic_kv_cells", "Cells of the KV cache, one for each token.", lambda engine: engine.num_cells),
    (
        "demotic_kv_cells_free",
        "Cells of the KV cache that hold nothing; those of kept sequences are not among them.",
        lambda engine: engine.num_free_cells,
    ),
)


class _PoolCollector(Collector):
    """The workers' figures, and memory, as they are when asked for."""

    def __init__(self, pool: ModelPool) -> None:
        self._pool = pool

    def collect(self) -> Iterator[Metric]:
        """All of them, by model."""
        models = self._pool.statistics()
        yield from _engines(models)
        state = GaugeMetricFamily(
            "demotic_model_state", "1 for the state that the model is in.", labels=["model", "state"]
        )
        memory = GaugeMetricFamily(
            "demotic_worker_resident_memory_bytes",
            "Memory of the worker's process, with what is in memory of the model's file.",
            labels=["model"],
        )
        adapters = GaugeMetricFamily(
            "demotic_adapter_bytes", "Adapters that are loaded, those of bundles among them.", labels=["model"]
        )
        for name, model in models.items():
            adapters.add_metric([name], model.adapter_bytes)
            for each in get_args(ModelState):
                state.add_metric([name, each], each == model.state)
            if model.pid is not None and (resident := _resident_bytes(model.pid)) is not None:
                memory.add_metric([name], resident)
        yield state
        yield memory
        yield adapters
        yield GaugeMetricFamily(
            "demotic_server_resident_memory_bytes",
            "Memory of the server's own process.",
            value=_resident_bytes(os.getpid()),
        )


def _engines(models: dict[str, ModelStatistics]) -> Iterator[Metric]:
    for name, text, of_model in _COUNTERS:
        counter = CounterMetricFamily(name, text, labels=["model"])
        for model, statistics in models.items():
            counter.add_metric([model], of_model(statistics))
        yield counter
    batch = SummaryMetricFamily("demotic_batch_size", "Requests computed in a step.", labels=["model"])
    for model, statistics in models.items():
        batch.add_metric([model], count_value=statistics.totals.steps, sum_value=statistics.totals.sequences)
    yield batch
    for name, text, of_engine in _GAUGES:
        gauge = GaugeMetricFamily(name, text, labels=["model"])
        for model, statistics in models.items():
            if statistics.engine is not None:
                gauge.add_metric([model], of_engine(statistics.engine))
        yield gauge


def _resident_bytes(pid: int) -> int | None:
    """None where there is no such process any more."""
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return None
