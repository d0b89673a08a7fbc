"""A model hub on 127.0.0.1 that the real huggingface-hub client talks to, and that can misbehave on request."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeRepository:
    """A repository: its files by name, and whether people must accept a licence first."""

    files: dict[str, bytes]
    commit: str = COMMIT
    license: str = "apache-2.0"
    gated: bool = False
    revisions: tuple[str, ...] = ("main", "v1")


@dataclass(frozen=True)
class Request:
    """One request that the hub saw."""

    method: str
    path: str
    range: str | None
    authorization: str | None


@dataclass
class FakeHub:
    """The hub's content, its switches, and what it saw; the switches may be changed at any time."""

    repositories: dict[str, FakeRepository] = field(default_factory=dict)
    endpoint: str = ""
    requests: list[Request] = field(default_factory=list)
    num_body_bytes: int = 0
    # Switches.
    cut_after: int | None = None  # close the connection after so many bytes of a file
    num_cuts: int = 0  # for so many answers
    sends_wrong_bytes: bool = False
    knows_ranges: bool = True
    num_failures: int = 0  # answer so many requests for a file with 500
    answer: tuple[int, str] | None = None  # answer everything with this status and body

    def add(self, repo: str, **files: bytes) -> FakeRepository:
        """Put a repository there; '__' in a keyword stands for the dot of a file's name."""
        repository = FakeRepository({name.replace("__", "."): content for name, content in files.items()})
        self.repositories[repo] = repository
        return repository

    def downloads(self) -> list[Request]:
        """The requests for files' bytes."""
        return [request for request in self.requests if request.method == "GET" and "/resolve/" in request.path]


@contextmanager
def running_hub() -> Iterator[FakeHub]:
    """Serve a fake hub in a thread while the block runs."""
    hub = FakeHub()

    class Handler(_Handler):
        fake = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    fake: FakeHub

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        headers = self.headers
        self.fake.requests.append(Request(self.command, path, headers.get("Range"), headers.get("Authorization")))
        if self.fake.answer is not None:
            status, body = self.fake.answer
            self._send(status, body.encode(), {"Content-Type": "text/html"})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+?)(?:/(revision|tree)/(.+))?", path):
            self._answer_api(*found.groups())
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._answer_file(*found.groups())
        else:
            self._fail(404, "EntryNotFound")

    def _answer_api(self, repo: str, kind: str | None, revision: str | None) -> None:
        repository = self._repository(repo, revision)
        if repository is None:
            return
        listing = [
            {"type": "file", "path": name, "size": len(content), "oid": "0" * 40, "lfs": _lfs(content, "oid")}
            for name, content in repository.files.items()
        ]
        if kind == "tree":
            self._send_json(listing)
            return
        siblings = [
            {"rfilename": name, "size": len(content), "blobId": "0" * 40, "lfs": _lfs(content, "sha256")}
            for name, content in repository.files.items()
        ]
        self._send_json(
            {
                "id": repo,
                "modelId": repo,
                "sha": repository.commit,
                "private": False,
                "gated": "auto" if repository.gated else False,
                "tags": ["gguf", f"license:{repository.license}"],
                "siblings": siblings,
            }
        )

    def _answer_file(self, repo: str, revision: str, name: str) -> None:
        repository = self._repository(repo, revision)
        if repository is None:
            return
        if repository.gated and self.headers.get("Authorization") is None:
            self._fail(401, "GatedRepo")
            return
        if repository.gated and self.headers.get("Authorization") != "Bearer hf_accepted":
            self._fail(403, "GatedRepo")
            return
        content = repository.files.get(name)
        if content is None:
            self._fail(404, "EntryNotFound")
            return
        if self.fake.num_failures:
            self.fake.num_failures -= 1
            self._fail(500)
            return
        digest = hashlib.sha256(content).hexdigest()
        headers = {
            "ETag": f'"{digest}"',
            "X-Linked-Etag": f'"{digest}"',
            "X-Linked-Size": str(len(content)),
            "X-Repo-Commit": repository.commit,
            "Accept-Ranges": "bytes",
        }
        if self.fake.sends_wrong_bytes:
            content = bytes(len(content))
        start = self._start(len(content))
        if start is None:
            self._send(200, content, headers)
        elif start < len(content):
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._send(206, content[start:], headers)
        else:
            self._fail(416)

    def _start(self, size: int) -> int | None:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return min(int(asked.group(1)), size) if asked and self.fake.knows_ranges else None

    def _repository(self, repo: str, revision: str | None) -> FakeRepository | None:
        repository = self.fake.repositories.get(repo)
        if repository is None:
            self._fail(401, "RepoNotFound")  # the hub does not tell a missing repository from a private one
            return None
        if revision is not None and revision not in (*repository.revisions, repository.commit):
            self._fail(404, "RevisionNotFound")
            return None
        return repository

    def _send_json(self, document: object) -> None:
        self._send(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _fail(self, status: int, code: str = "") -> None:
        self._send(status, b"", {"X-Error-Code": code} if code else {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if "ETag" in headers:
            if self.fake.cut_after is not None and self.fake.num_cuts:
                self.fake.num_cuts -= 1
                body = body[: self.fake.cut_after]
            self.fake.num_body_bytes += len(body)
        self.wfile.write(body)


def _lfs(content: bytes, digest_key: str) -> dict[str, object]:
    return {digest_key: hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
