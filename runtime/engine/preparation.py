"""Requests whose constraints and locks are being made ready, in a thread of its own.

A large grammar, or a vocabulary that is read for the first time, must not stop the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from runtime.engine.constraints import ConstraintCompiler, Matcher
from runtime.engine.messages import Generate
from runtime.errors import DemoticError, InferenceFailed
from runtime.language.lock import LockMaker, ScriptLock

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_log = logging.getLogger("demotic.engine")


@dataclass(frozen=True)
class Restrictions:
    """What an answer may be: what it must match, and the scripts that it is kept in."""

    matcher: Matcher | None = None
    lock: ScriptLock | None = None


class Preparation:
    """Belongs to the engine's thread; only the compiling itself happens elsewhere."""

    def __init__(self, compiler: ConstraintCompiler, wake: Callable[[], None] | None) -> None:
        """`wake` is called from the other thread when something is ready; without it `begin` waits for that."""
        self._compiler = compiler
        self._wake = wake
        self._jobs: dict[str, tuple[Generate, Future[Restrictions]]] = {}

    @property
    def requests(self) -> list[Generate]:
        """Those that are not ready, or have not been taken."""
        return [request for request, _ in self._jobs.values()]

    def begin(self, request: Generate) -> None:
        """Make the constraint and the lock of `request` ready."""
        job = self._thread.submit(self._prepare, request)
        self._jobs[request.request_id] = request, job
        if self._wake is None:
            job.exception()
        else:
            wake = self._wake
            job.add_done_callback(lambda _job: wake())

    def take(self) -> list[tuple[Generate, Restrictions | DemoticError]]:
        """The requests that are ready, each with its restrictions or with why it has none; they are given out once."""
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
        # Made when it is first needed: most requests have neither.
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(1, "demotic-constraints")

    @cached_property
    def _locks(self) -> LockMaker:
        return LockMaker(self._compiler.vocabulary)

    def _prepare(self, request: Generate) -> Restrictions:
        return Restrictions(
            None if request.constraint is None else self._compiler.compile(request.constraint),
            None if request.lock is None else self._locks.make(request.lock),
        )


def _result(job: Future[Restrictions]) -> Restrictions | DemoticError:
    fault = job.exception()
    if fault is None:
        return job.result()
    if isinstance(fault, DemoticError):
        return fault
    _log.error("a constraint could not be made ready", exc_info=fault)
    return InferenceFailed("What the answer must match could not be made ready; the engine's log says more.")
