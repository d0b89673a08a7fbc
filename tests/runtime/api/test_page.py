"""The page at `/`, in a real browser where there is one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.server import ServerProcess, serving
from tests.tiny.gguf import write_tiny_gguf

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
KEY = "secret-key"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("models") / "<b>tiny & small.gguf")


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[ServerProcess]:
    with serving(str(model)) as server:
        yield server


def rendered(url: str, profile: Path) -> str:
    """The page's document after its scripts have asked the server."""
    assert BROWSER is not None
    quiet = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
    command = [BROWSER, "--headless", "--no-sandbox", *quiet, "--disable-component-update", "--disable-sync"]
    done = subprocess.run(
        [*command, f"--user-data-dir={profile}", "--virtual-time-budget=5000", "--dump-dom", url],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    return done.stdout


def test_the_page_needs_no_key_and_asks_nobody_but_this_server(model: Path) -> None:
    with serving(str(model), "--api-key", KEY) as server:
        page = httpx.get(server.url)
        assert page.status_code == 200
        assert "connect-src 'self'" in page.headers["content-security-policy"]
        assert "https://" not in page.text and "http://" not in page.text
        assert KEY not in page.text and model.stem not in page.text


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
def test_a_browser_shows_models_figures_and_how_to_connect(server: ServerProcess, tmp_path: Path) -> None:
    httpx.post(f"{server.base_url}/completions", json={"prompt": "the", "max_tokens": 3}).raise_for_status()
    document = rendered(server.url, tmp_path)
    assert "The server is ok, with 1 model." in document
    assert f"{server.base_url}</pre>" in document
    # A model's name is text, whatever it looks like.
    assert "&lt;b&gt;tiny &amp; small</td>" in document and "<b>tiny" not in document
    assert ">ready</td>" in document and " MiB</td>" in document


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
def test_a_browser_is_asked_for_the_key_of_a_server_that_has_one(model: Path, tmp_path: Path) -> None:
    with serving(str(model), "--api-key", KEY) as server:
        document = rendered(server.url, tmp_path)
    assert "It has API keys" in document
    assert ">ready</td>" not in document
