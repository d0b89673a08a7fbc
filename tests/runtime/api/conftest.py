"""One server with both starters, for all tests of the endpoint."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import openai
import pytest

from tests.server import ServerProcess, serving


@pytest.fixture(scope="session")
def server(_own_home: None) -> Iterator[ServerProcess]:
    with serving("smollm2-135m-instruct", "gemma-3-270m", "--context", "2048") as running:
        yield running


@pytest.fixture(scope="session")
def client(server: ServerProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key="unused", max_retries=0) as made:
        yield made


@pytest.fixture(scope="session")
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60, headers={"content-type": "application/json"}) as made:
        yield made
