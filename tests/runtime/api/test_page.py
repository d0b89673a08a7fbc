"""The page at `/`, in a real browser where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.browser import CHROMIUM, browser
from tests.server import ServerProcess, serving
from tests.tiny.gguf import write_tiny_gguf

KEY = "secret-key"
HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("models") / "<b>tiny & small.gguf")


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[ServerProcess]:
    with serving(str(model)) as server:
        yield server


@pytest.fixture(scope="module")
def locked(model: Path) -> Iterator[ServerProcess]:
    """A server that has a key."""
    with serving(str(model), "--api-key", KEY) as server:
        yield server


def test_the_page_asks_nobody_but_this_server(server: ServerProcess, model: Path) -> None:
    page = httpx.get(server.url)
    assert page.status_code == 200
    assert "connect-src 'self'" in page.headers["content-security-policy"]
    assert "https://" not in page.text and "http://" not in page.text
    assert model.stem not in page.text


@pytest.mark.parametrize("path", ["/", "/docs", "/metrics", "/v1/models"])
def test_without_the_key_a_browser_gets_a_401_with_a_page_that_asks_for_it(path: str, locked: ServerProcess) -> None:
    page = httpx.get(f"{locked.url}{path}", headers=HTML)
    assert page.status_code == 401
    assert page.headers["content-type"].startswith("text/html")
    assert 'type="password"' in page.text
    assert "https://" not in page.text and "http://" not in page.text
    # It tells nothing of the server, and is no answer for programs.
    assert KEY not in page.text and "tiny" not in page.text
    for headers in ({}, HTML | {"Authorization": "Bearer wrong"}):
        refused = httpx.get(f"{locked.url}{path}", headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")


@needs_chromium
def test_a_browser_shows_models_figures_and_how_to_connect(server: ServerProcess, tmp_path: Path) -> None:
    httpx.post(f"{server.base_url}/completions", json={"prompt": "the", "max_tokens": 3}).raise_for_status()
    with browser(tmp_path) as chromium:
        chromium.open(server.url)
        # The figures come after the summary.
        shown = chromium.wait_for(" MiB")
        assert "The server is ok, with 1 model." in shown
        assert chromium.run("document.getElementById('base-url').textContent") == server.base_url
        # A model's name is text, whatever it looks like.
        assert "<b>tiny & small\tready\t" in shown
        assert chromium.run("document.querySelectorAll('td b').length") == 0
        assert 'api_key="unused"' in shown


@needs_chromium
def test_a_browser_shows_the_document_and_sends_a_request_from_it(server: ServerProcess, tmp_path: Path) -> None:
    with browser(tmp_path) as chromium:
        chromium.open(f"{server.url}/docs")
        shown = chromium.wait_for("/v1/embeddings")
        assert "Small language models in every language, on this machine." in shown
        for button in ("button", ".try-out button", ".execute"):
            script = f"document.querySelector('.opblock[id*=health] {button}')"
            chromium.wait_for("there", f"{script} ? 'there' : 'not yet'")
            chromium.run(f"{script}.click()")
        assert '"status": "ok"' in chromium.wait_for("Server response")


@needs_chromium
def test_a_browser_asks_for_the_key_and_shows_the_page_and_the_document_with_it(
    locked: ServerProcess, tmp_path: Path
) -> None:
    with browser(tmp_path) as chromium:
        chromium.open(locked.url)
        assert "ready" not in chromium.wait_for("This server has API keys")
        for key, text in (("wrong", "does not know this key"), (KEY, "The server is ok, with 1 model.")):
            chromium.run(f"document.getElementById('key').value = '{key}'")
            chromium.run("document.querySelector('button').click()")
            chromium.wait_for(text)
        shown = chromium.wait_for(" MiB")
        assert "<b>tiny & small\tready\t" in shown and 'api_key="KEY"' in shown
        # It is known to the pages that the first one links to, and after a reload, for as long as the tab is there.
        chromium.run("document.querySelector('a[href=metrics]').click()")
        chromium.wait_for("demotic_requests_running{")
        chromium.run("location.href = '/openapi.json'")
        chromium.wait_for('"/v1/chat/completions"')
        chromium.open(locked.url)
        chromium.wait_for("The server is ok, with 1 model.")
        chromium.open(f"{locked.url}/docs")
        chromium.wait_for("/v1/chat/completions")
    assert KEY not in "\n".join(locked.lines)
