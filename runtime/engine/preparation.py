"""Requests whose constraints are being made ready, in a thread of its own: a large grammar must not stop the others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from runtime.engine.constraints import ConstraintCompiler, Matcher
from runtime.engine.messages import Generate
from runtime.errors import DemoticError, InferenceFailed

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_log = logging.getLogger("demotic.engine")


class Preparation:
    """Belongs to the engine's thread; only the compiling itself happens elsewhere."""

    def __init__(self, compiler: ConstraintCompiler, wake: Callable[[], None] | None) -> None:
        """`wake` is called from the other thread when something is ready; without it `begin` waits for that."""
        self._compiler = compiler
        self._wake = wake
        self._jobs: dict[str, tuple[Generate, Future[Matcher]]] = {}

    @property
    def requests(self) -> list[Generate]:
        """Those that are not ready, or have not been taken."""
        return [request for request, _ in self._jobs.values()]

    def begin(self, request: Generate) -> None:
        """Make the constraint of `request` ready."""
        job = self._thread.submit(self._compile, request)
        self._jobs[request.request_id] = request, job
        if self._wake is None:
            job.exception()
        else:
            wake = self._wake
            job.add_done_callback(lambda _job: wake())

    def take(self) -> list[tuple[Generate, Matcher | DemoticError]]:
        """The requests that are ready, each with its matcher or with why it has none; they are given out once."""
        ready = [(request, job) for request, job in self._jobs.values() if job.done()]
        for request, _ in ready:
            del self._jobs[request.request_id]
        return [(request, _result(job)) for request, job in ready]

    def drop(self, request_id: str) -> Generate | None:
        """Forget a request that is not ready, and return it; None where there is none of that id."""
        request, job = self._jobs.pop(request_id, (None, None))
        if job is not None:
            job.cancel()
        return request

    def close(self) -> None:
        """Wait for what is being made ready, and make nothing ready any more."""
        if "_thread" in vars(self):
            self._thread.shutdown(cancel_futures=True)

    @cached_property
    def _thread(self) -> ThreadPoolExecutor:
        # Made when it is first needed: most requests have no constraint.
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(1, "demotic-constraints")

    def _compile(self, request: Generate) -> Matcher:
        assert request.constraint is not None  # noqa: S101  # only such requests are begun
        return self._compiler.compile(request.constraint)


def _result(job: Future[Matcher]) -> Matcher | DemoticError:
    fault = job.exception()
    if fault is None:
        return job.result()
    if isinstance(fault, DemoticError):
        return fault
    _log.error("a constraint could not be made ready", exc_info=fault)
    return InferenceFailed("What the answer must match could not be made ready; the engine's log says more.")
