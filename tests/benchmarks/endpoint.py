"""A small OpenAI endpoint that streams with known delays, and fails where a test tells it to.

As a program it stands in for llama-server: it takes `--port`, and ignores the other arguments.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any

from tests.benchmarks.serving import JsonHandler, serving

MODEL = "fake-model"
PIECE = " 好a"  # three code points, five bytes, one token
Trouble = Callable[[int], str]


@dataclass
class FakeEndpoint:
    """Streams `max_tokens` pieces: the first after `first` seconds, then one every `gap` seconds.

    `trouble` is asked with the number of each request (0 and 1: the warm-up) and may answer "busy" (a 429), "error" (an
    error object in the stream), "cut" (the connection ends early), "hang" (nothing comes after the second piece).
    """

    first: float = 0.0
    gap: float = 0.0
    trouble: Trouble = lambda _: ""
    states_usage: bool = True
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)
    num_open: int = 0
    max_open: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)


def serve(fake: FakeEndpoint, port: int = 0) -> ThreadingHTTPServer:
    """The server of `fake`, listening, not yet running."""

    class Handler(JsonHandler):
        def got(self) -> None:
            self.send(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})

        def posted(self, body: dict[str, Any]) -> None:
            with fake.lock:
                number = len(fake.bodies)
                fake.bodies.append(body)
                fake.paths.append(self.path)
                fake.arrived.append(time.perf_counter())
                fake.num_open += 1
                fake.max_open = max(fake.max_open, fake.num_open)
            try:
                self._answer(body, fake.trouble(number))
            finally:
                with fake.lock:
                    fake.num_open -= 1

        def _answer(self, body: dict[str, Any], trouble: str) -> None:
            if trouble == "busy":
                self.send(429, {"error": {"message": "32 requests wait already."}})
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for number in range(body["max_tokens"]):
                fake.closing.wait(fake.gap if number else fake.first)
                if number == 2 and trouble == "cut":
                    return
                if number == 2 and trouble == "error":
                    self._event({"error": {"message": "The engine failed."}})
                    return
                if number == 2 and trouble == "hang":
                    fake.closing.wait(30)
                    return
                text = {"delta": {"content": PIECE}} if "messages" in body else {"text": PIECE}
                self._event({"choices": [text | {"finish_reason": None}]})
            self._event({"choices": [{"text": "", "finish_reason": "length"}]})
            if fake.states_usage:
                prompt = body.get("prompt") or body["messages"][0]["content"]
                usage = {"prompt_tokens": 2 * len(prompt.split()), "completion_tokens": body["max_tokens"]}
                self._event({"choices": [], "usage": usage | {"prompt_tokens_details": {"cached_tokens": 1}}})
            self.wfile.write(b"data: [DONE]\n\n")

        def _event(self, chunk: dict[str, Any]) -> None:
            # U+2028 ends a line for some readers, but not in server-sent events.
            chunk["note"] = "\u2028"
            self.wfile.write(f": a comment\n\ndata: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode())

    class Server(ThreadingHTTPServer):
        daemon_threads = False
        request_queue_size = 64

    server = Server(("127.0.0.1", port), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    return server


@contextmanager
def running(fake: FakeEndpoint) -> Iterator[FakeEndpoint]:
    """`fake` on a free port, until the end."""
    with serving(serve(fake)):
        try:
            yield fake
        finally:
            fake.closing.set()


if __name__ == "__main__":
    if "--version" in sys.argv:
        print("version: fake")  # noqa: T201
    else:
        serve(FakeEndpoint(first=0.05, gap=0.01), int(sys.argv[sys.argv.index("--port") + 1])).serve_forever()
