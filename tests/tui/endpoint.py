"""A small endpoint of OpenAI's shape that answers what a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tui.events import Endpoint

KEY = "the-key"


@dataclass
class FakeEndpoint:
    """`script` is what the next answers are made of: strings are pieces of text, a `Call` is one; a dictionary in the
    place of an answer is an error object.

    `loaded` are the models that were to be loaded. An answer with a piece WAIT stands still there until `go_on` is set; one with CUT loses its connection there.
    """

    url: str = ""
    script: list[list[str | Call | Thought] | dict[str, str]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)
    models: list[dict[str, Any]] = field(default_factory=lambda: [{"id": "fake-model", "object": "model"}])

    async def connect(self) -> Endpoint:
        return Endpoint(self.url, KEY)

    def messages(self, request: int) -> list[str]:
        """The texts of one request's conversation."""
        return [message["content"] for message in self.requests[request]["messages"]]


@dataclass(frozen=True)
class Thought:
    """A piece of reasoning."""

    text: str


@dataclass(frozen=True)
class Call:
    """A call, whose arguments come in pieces; `more` are further fields of its first delta."""

    name: str
    pieces: tuple[str, ...]
    id: str | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def deltas(self, index: int) -> list[dict[str, Any]]:
        first = {"index": index, "id": self.id or f"call_{index}", "type": "function", **self.more}
        named = {"function": {"name": self.name, "arguments": ""}}
        return [first | named, *({"index": index, "function": {"arguments": piece}} for piece in self.pieces)]


WAIT = "\0wait"
CUT = "\0cut"


@contextmanager
def running_endpoint() -> Iterator[FakeEndpoint]:
    """A fake endpoint on a free port."""
    fake = FakeEndpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.headers["Authorization"] == f"Bearer {KEY}"
            self._send(200, {"object": "list", "data": fake.models})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.endswith("/models/load"):
                fake.loaded.append(body["model"])
                self._send(200, {})
                return
            fake.requests.append(body)
            answer = fake.script.pop(0)
            if isinstance(answer, dict):
                self._send(400, {"error": {"type": "invalid_request_error", "param": None, "code": None} | answer})
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            calls = [piece for piece in answer if isinstance(piece, Call)]
            for piece in answer:
                if isinstance(piece, Call):
                    for delta in piece.deltas(calls.index(piece)):
                        self._event({"choices": [{"delta": {"tool_calls": [delta]}, "finish_reason": None}]})
                elif isinstance(piece, Thought):
                    self._event({"choices": [{"delta": {"reasoning_content": piece.text}, "finish_reason": None}]})
                elif piece == CUT:
                    return
                elif piece == WAIT:
                    assert fake.go_on.wait(20)
                else:
                    self._event({"choices": [{"delta": {"content": piece}, "finish_reason": None}]})
            self._event({"choices": [{"delta": {}, "finish_reason": "tool_calls" if calls else "stop"}]})
            self._event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": len(answer)}})
            self.wfile.write(b"data: [DONE]\n\n")

        def _event(self, chunk: dict[str, Any]) -> None:
            self.wfile.write(f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode())

        def _send(self, status: int, body: dict[str, Any]) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def handle(self) -> None:
            with suppress(BrokenPipeError, ConnectionResetError):  # the client has stopped the answer
                super().handle()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield fake
    finally:
        fake.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
