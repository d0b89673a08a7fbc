"""Whom tasks are put to: an endpoint that runs already, or one of our own for a model, started for them and stopped."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.digest import digest_of
from benchmarks.load import Endpoint
from benchmarks.programs import HOST
from benchmarks.servers import free_port, running_command
from runtime.commands.progress import progress_for
from runtime.models.store import Store


@dataclass(frozen=True)
class Target:
    """The address of an endpoint with a served model's name, or without an address a model as `demotic run` takes it.

    `timeout` is in seconds without a byte.
    """

    url: str | None
    api_key: str
    model: str | None
    timeout: float


@dataclass(frozen=True)
class Asked:
    """Whom we ask, and the SHA-256 of the model where its files are here."""

    endpoint: Endpoint
    model_sha256: str | None


@contextmanager
def asked(target: Target) -> Iterator[Asked]:
    """The endpoint of `target`, ready, until the block is left.

    Raises:
        DemoticError: there is no such model, or its server does not start.
    """
    if target.url is not None:
        yield Asked(Endpoint(target.url, target.api_key, target.model, is_chat=False, timeout=target.timeout), None)
        return
    model = Store().resolve(target.model, download=True, progress=progress_for(as_json=False))
    digest, _ = digest_of(model.path)
    reference = [] if target.model is None else [target.model]
    # A key of its own, so that one which the environment has for other servers does not shut us out.
    key = secrets.token_urlsafe()
    port = free_port()
    with running_command(
        [sys.executable, "-m", "demotic", "serve", *reference, "--host", HOST, "--port", str(port)],
        port,
        name="demotic serve",
        ready="/health",
        environment={"DEMOTIC_API_KEY": key},
    ) as server:
        yield Asked(Endpoint(server.url, key, None, is_chat=False, timeout=target.timeout), digest)
