"""Pieces of work in order, the next ones done while one is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

_T = TypeVar("_T")

# Reading, encoding, hashing and writing all let other threads run; more would take more memory, and wait for the disk.
WORKERS = 2


def ahead(pool: Executor, work: Callable[[int, int], _T], spans: Iterable[tuple[int, int]]) -> Iterator[_T]:
    """What `work` makes of each span, in order; up to `WORKERS` are made beyond the one that is used."""
    waiting: deque[Future[_T]] = deque()
    for span in spans:
        waiting.append(pool.submit(work, *span))
        if len(waiting) > WORKERS:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
